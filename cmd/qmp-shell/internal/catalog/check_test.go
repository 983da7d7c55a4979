package catalog

import (
	"context"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/syntax"
)

func TestCheck(t *testing.T) {
	c := loaded(t, newMachine(t, "7.2"))
	for _, tt := range []struct {
		text string
		want []string
	}{
		{"query-status", nil},
		{"device_add driver=e1000 mac=00:11", nil},
		{"query-bloc", []string{`QEMU has no command "query-bloc": did you mean query-block?`}},
		{"query-cpus", []string{`QEMU has no command "query-cpus": the last release that has it is 5.2, and this QEMU is 7.2.0`}},
		{"set_link nam=x up=on", []string{
			`set_link has no argument "nam": did you mean name?`,
			`up takes a bool, and this is the string "on": write up=true`,
			"set_link needs name (string)",
		}},
		{"migrate uri=x channels=[]", []string{`migrate has no argument "channels": this QEMU is 7.2.0, which is too old: it is there since 8.2`}},
		{"memsave val=0x10 size=1 filename=x", []string{`val takes an int, and this is the string "0x10": write val=16`}},
		{"blockdev-add driver=qcow2 file=base filename=x", []string{`blockdev-add has no argument "filename" with driver=qcow2: only with driver=file, host_cdrom, host_device`}},
		{"exec-oob stop", []string{"stop cannot be executed out of band"}},
	} {
		cmd, err := syntax.Parse(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		problems := c.Check(cmd)
		for i, p := range problems {
			if i >= len(tt.want) || p.Text != tt.want[i] || p.Warning {
				t.Errorf("%s: problem %d: %+v", tt.text, i, p)
			}
		}
		if len(problems) != len(tt.want) {
			t.Errorf("%s: %d problems, want %d", tt.text, len(problems), len(tt.want))
		}
	}
}

func TestUnknown(t *testing.T) {
	c := New(newMachine(t, "7.2"))
	for name, want := range map[string]string{
		"query-bloc":        "did you mean query-block?",
		"query-statsu":      "did you mean query-status?", // and not query-stats
		"query-cpus":        "the last release that has it is 5.2, and this QEMU is 7.2.0",
		"query-status":      "",
		"zzzzzzzzzzzzzzzzz": "",
	} {
		if got := c.Unknown(t.Context(), name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := New(deaf{}).Unknown(ctx, "query-bloc"); got != "" {
		t.Errorf("without an answer: %q", got)
	}
}

// A deaf caller gets no answer.
type deaf struct{}

func (deaf) Do(ctx context.Context, _ async.Command) (async.Reply, error) {
	return async.Reply{}, context.Canceled
}
