//go:build oldshell

package syntax

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

var update = flag.Bool("update", false, "write what the old qmp-shell sends to testdata/oldshell.json")

// The old program itself still sends what is recorded. It is a part of QEMU's sources,
// which "make iotests" fetches; that command then runs this test.
func TestOldShellSends(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal(err)
	}
	folder := oldShell(t)
	scripts := readScripts(t)
	sent := oldSends(t, python, folder, scripts)
	for i, s := range scripts {
		got := sent[i]
		if *update {
			scripts[i].Sent = got
		} else if strings.Join(got, "\n") != strings.Join(s.Sent, "\n") {
			t.Errorf("%s: the old program sends\n%s\nwhich is recorded as\n%s", s.Feature, strings.Join(got, "\n"), strings.Join(s.Sent, "\n"))
		}
	}
	if *update {
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "\t")
		if err := enc.Encode(scripts); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(scriptsFile, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// oldShell returns the folder of the Python module with the old program.
func oldShell(t *testing.T) string {
	t.Helper()
	for _, version := range []string{"10.0", "7.2"} {
		folder, err := qemutest.Cache("qemu-tests", version, "python")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(folder, "qemu/qmp/qmp_shell.py")); err == nil {
			return folder
		}
	}
	t.Fatal("QEMU's old qmp-shell is not in the cache; make iotests fetches it")
	return ""
}

// oldSends runs the old program against a simulated machine, and returns what it sends
// for each script. A command between two scripts tells them apart.
func oldSends(t *testing.T, python, folder string, scripts []script) [][]string {
	t.Helper()
	const between = "next-script"
	var input strings.Builder
	for _, s := range scripts {
		input.WriteString(strings.Join(s.Lines, "\n") + "\n" + between + "\n")
	}
	vm := qmptest.Start(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "-c", "from qemu.qmp.qmp_shell import main; main()", vm.Addr())
	cmd.Env = append(os.Environ(), "PYTHONPATH="+folder, "HOME="+t.TempDir(), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stdin = strings.NewReader(input.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	sent := [][]string{{}}
	for _, m := range vm.Received()[2:] { // after qmp_capabilities, and query-commands for its completion
		last := len(sent) - 1
		if m.Name == between {
			sent = append(sent, []string{})
		} else {
			sent[last] = append(sent[last], withoutID(t, m.Raw))
		}
	}
	if len(sent) != len(scripts)+1 {
		t.Fatalf("the old program has executed %d scripts of %d", len(sent)-1, len(scripts))
	}
	return sent
}

// withoutID returns a message in compact form, without its id.
func withoutID(t *testing.T, message []byte) string {
	text := []byte("{")
	proto.Members(message, func(name string, value []byte) bool {
		if name != "id" {
			if len(text) > 1 {
				text = append(text, ',')
			}
			text = append(append(text, `"`+name+`":`...), value...)
		}
		return true
	})
	var compact bytes.Buffer
	if err := json.Compact(&compact, append(text, '}')); err != nil {
		t.Fatal(err)
	}
	return compact.String()
}
