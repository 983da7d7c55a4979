//go:build unix

package cli

import (
	"testing"

	"github.com/goqmp/qmp/cmd/qmp-shell/internal/ttytest"
)

// On a terminal, an option that makes sense only for a script does not begin a shell.
func TestForPerson(t *testing.T) {
	tty := ttytest.New(t, 80, 24).TTY
	a := &app{stdin: tty, stdout: tty}
	if !(&execution{}).forPerson(a) {
		t.Error("without options there is no shell")
	}
	for _, c := range []execution{{Match: []string{"a=b"}}, {Complete: true}, {Job: "x"}, {Commands: []string{"stop"}}} {
		if c.forPerson(a) {
			t.Errorf("%+v begins a shell", c)
		}
	}
}
