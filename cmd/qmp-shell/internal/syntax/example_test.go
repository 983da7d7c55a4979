package syntax_test

import (
	"errors"
	"fmt"

	"github.com/goqmp/qmp/cmd/qmp-shell/internal/syntax"
)

func ExampleParse() {
	text := ""
	for _, line := range []string{
		"block-dirty-bitmap-add node=disk name=b0 granularity=65536",
		"transaction(",
		"blockdev-snapshot node=disk overlay=top )",
		"set_link name = net0",
	} {
		text += line
		cmd, err := syntax.Parse(text)
		switch {
		case errors.Is(err, syntax.ErrIncomplete):
			text += "\n"
			continue
		case err != nil:
			fmt.Println(err)
		default:
			fmt.Printf("%s\n", cmd.Wire())
		}
		text = ""
	}
	// Output:
	// {"execute":"block-dirty-bitmap-add","arguments":{"node":"disk","name":"b0","granularity":65536}}
	// {"execute":"transaction","arguments":{"actions":[{"type":"blockdev-snapshot","data":{"node":"disk","overlay":"top"}}]}}
	// column 10: expected KEY=VALUE, got "name" (an argument has a name, as in id=disk0; no spaces around the =)
}

func ExampleAt() {
	text := "transaction( blockdev-backup device=disk sync="
	at := syntax.At(text, len(text))
	fmt.Println(at.Command, at.Path, at.Place == syntax.Value)
	// Output: transaction [actions 0 data sync] true
}
