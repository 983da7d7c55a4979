// Tests of HMP.
// The code that they hold: hmp.go.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
)

// humanMonitor is a Caller that prints the same text for every line.
type humanMonitor struct {
	text any
	cmd  async.Command // the last one
}

func (m *humanMonitor) Do(_ context.Context, cmd async.Command) (async.Reply, error) {
	m.cmd = cmd
	raw, err := json.Marshal(map[string]any{"return": m.text})
	if err != nil {
		return async.Reply{}, err
	}
	return async.ParseReply(cmd.Name, raw)
}

func TestHMP(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		line, text string
		failed     string // the error's text; "" if the line succeeds
	}{
		{"info status", "VM status: running\r\n", ""},
		{"stop", "", ""},
		{"bogus", "unknown command: 'bogus'\r\n", "human monitor: bogus: unknown command: 'bogus'"},
		{" info  bogus", "unknown command: 'info bogus'\r\n", "human monitor: info bogus: unknown command: 'info bogus'"},
		{"info", "info balloon  -- ...\r\ninfo block ...\r\n", ""},
		{"device_del d0", "Error: Device 'd0' not found\r\n", "human monitor: device_del: Device 'd0' not found"},
		{"set_password vnc hunter2", "Error: No VNC display is present\r\nTo enable it, use '-vnc ...'", "human monitor: set_password: No VNC display is present; To enable it, use '-vnc ...'"},
		{"wavcapture /x y", "warning: 'wavcapture' is deprecated\r\nError: no y\r\n", "human monitor: wavcapture: warning: 'wavcapture' is deprecated; Error: no y"},
		{"info capture", "warning: 'info capture' is deprecated\r\n", ""},
		{"print (1", "')' expected\r\nTry \"help print\" for more information\r\n", "human monitor: print: ')' expected; Try \"help print\" for more information"},
		{"info name x", "name: extraneous characters at the end of line\r\nTry \"help info name\" for more information\r\n", "human monitor: info name: name: extraneous characters at the end of line; Try \"help info name\" for more information"},
		{"info skeys", "Command 'info skeys' not available until machine initialization has completed.\r\n", "human monitor: info skeys: Command 'info skeys' not available until machine initialization has completed."},
		{"drive_del d0", "Device 'd0' not found\r\n", "human monitor: drive_del: Device 'd0' not found"},
		{"drive_add 0 if=none", "OK\r\n", ""},
		{"drive_add 0 if=bogus", "unsupported bus type 'bogus'\r\n", "human monitor: drive_add: unsupported bus type 'bogus'"},
		{"hostfwd_remove tcp::1", "host forwarding rule for tcp::1 removed\r\n", ""},
		{"hostfwd_remove tcp::1", "host forwarding rule for tcp::1 not found\r\n", "human monitor: hostfwd_remove: host forwarding rule for tcp::1 not found"},
		{"x/4x 0", "0000000000000000: 0x00000000\r\n", ""},
		{"xp /4x 0x10000000000", "0000010000000000: Cannot access memory\r\n", "human monitor: xp: 0000010000000000: Cannot access memory"},
		{"gpa2hva 0", "Host virtual address for 0x0 (pc.ram) is 0x7f\r\n", ""},
		{"gpa2hva 9", "No memory is mapped at address 0x9\r\n", "human monitor: gpa2hva: No memory is mapped at address 0x9"},
		{"info snapshots", "no block device can store vmstate for snapshot\r\n", ""}, // free text: it does not show that the line failed
		{"info vnc", "a line\r\nError: in the middle\r\n", ""},
		{"info name", "Try harder\r\n", ""},
	} {
		m := &humanMonitor{text: tt.text}
		got, err := async.HMP(t.Context(), m, tt.line)
		if want := strings.ReplaceAll(tt.text, "\r\n", "\n"); got != want {
			t.Errorf("%q: got %q, want %q", tt.line, got, want)
		}
		var failed *async.HMPError
		switch {
		case tt.failed == "" && err != nil:
			t.Errorf("%q: %v", tt.line, err)
		case tt.failed != "" && (!errors.As(err, &failed) || err.Error() != tt.failed || failed.Text != got):
			t.Errorf("%q: got error %v, want %v", tt.line, err, tt.failed)
		}
		if args, _ := m.cmd.Args.(map[string]any); m.cmd.Name != "human-monitor-command" || args["command-line"] != tt.line {
			t.Errorf("%q was sent as %+v", tt.line, m.cmd)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error holds a password: %v", err)
		}
	}
	// A value that is not a text does not mean that the line failed.
	var failed *async.HMPError
	if _, err := async.HMP(t.Context(), &humanMonitor{text: 1}, "stop"); err == nil || errors.As(err, &failed) {
		t.Errorf("a reply that is not a text: %v", err)
	}
}

func FuzzHMP(f *testing.F) {
	f.Add("info block", "Error: x\r\n")
	f.Add("drive_add 0 x", "warning: y\r\nOK\r\n")
	f.Add("x/4x 0", "warning: ")
	f.Add("/", "Try \"help x\" for more information")
	f.Fuzz(func(t *testing.T, line, text string) {
		got, err := async.HMP(t.Context(), &humanMonitor{text: text}, line)
		var failed *async.HMPError
		switch {
		case err == nil:
			if strings.HasPrefix(got, "Error: ") || strings.HasPrefix(got, "unknown command: '") {
				t.Errorf("%q is treated as a success", got)
			}
		case !errors.As(err, &failed):
			t.Fatal(err) // whatever the text is, HMP must return it or an HMPError
		case strings.TrimSpace(text) == "":
			t.Errorf("an empty output is treated as a failure: %v", err)
		case strings.ContainsRune(err.Error(), '\n') && !strings.ContainsRune(failed.Command, '\n'):
			t.Errorf("the error has more than one line: %q", err)
		}
	})
}
