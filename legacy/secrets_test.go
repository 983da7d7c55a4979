package legacy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/legacy"
)

// The log masks the secrets in a command, and no error contains them, whichever call
// sends the command.
func TestSecretsAreMasked(t *testing.T) {
	secret := map[string]any{"qom-type": "secret", "id": "shown", "data": "hunter2"}
	raw := json.RawMessage(`{"protocol": "shown", "\u0070assword": "hunter2"}`)
	refused := func(reply map[string]any, err error) error {
		if failure, ok := reply["error"].(map[string]any); ok {
			return errors.New(failure["desc"].(string))
		}
		return err
	}
	calls := map[string]struct {
		call func(q *legacy.QEMUMonitorProtocol) error
		sent bool
	}{
		"Cmd":             {func(q *legacy.QEMUMonitorProtocol) error { return refused(q.Cmd("object-add", secret)) }, true},
		"Cmd with an id":  {func(q *legacy.QEMUMonitorProtocol) error { return refused(q.Cmd("set_password", raw, "mine")) }, true},
		"Cmd of a struct": {func(q *legacy.QEMUMonitorProtocol) error { return refused(q.Cmd("guest-set-user-password", user)) }, true},
		"CmdObj": {func(q *legacy.QEMUMonitorProtocol) error {
			return refused(q.CmdObj(map[string]any{"execute": "object-add", "arguments": secret}))
		}, true},
		"CmdObj of raw JSON": {func(q *legacy.QEMUMonitorProtocol) error {
			return refused(q.CmdObj(json.RawMessage(`{"arguments": ` + string(raw) + `, "exec\u0075te": "change-vnc-\u0070assword"}`)))
		}, true},
		"Command": {func(q *legacy.QEMUMonitorProtocol) error {
			_, err := q.Command("guest-file-write", async.Members{{Name: "handle", Value: 1}, {Name: "x", Value: "shown"}, {Name: "buf-b64", Value: "hunter2"}})
			return err
		}, true},
		"Cmd refused before sending": {func(q *legacy.QEMUMonitorProtocol) error {
			return refused(q.Cmd("set_password", map[string]any{"password": "hunter2\xff"}))
		}, false},
		"CmdObj refused before sending": {func(q *legacy.QEMUMonitorProtocol) error {
			return refused(q.CmdObj(json.RawMessage(`{"execute": "set_password", "arguments": {"password": "hunter2"`)))
		}, false},
		"Command refused before sending": {func(q *legacy.QEMUMonitorProtocol) error {
			_, err := q.Command("set_password", json.RawMessage(`{"password": "hunter2\ud800"}`))
			return err
		}, false},
	}
	for name, tt := range calls {
		t.Run(name, func(t *testing.T) {
			steps := handshake()
			if tt.sent {
				steps = handshake(qmptest.ExpectFunc("the command", func(qmptest.Message) error { return nil }), qmptest.ReturnError("GenericError", "no"))
			}
			var logged bytes.Buffer
			opts := &legacy.Options{}
			opts.Sync.Async.Logger = slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
			q := scripted(t, opts, steps...)
			connect(t, q)
			err := tt.call(q)
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got error %v, want one without the secret", err)
			}
			wantNoError(t, q.Close())
			log := logged.String()
			if strings.Contains(log, "hunter2") || strings.Contains(log, "shown") != tt.sent || strings.Contains(log, "***") != tt.sent {
				t.Errorf("got the log\n%s\nwant the command only if it was sent (sent: %v), and without its secret", log, tt.sent)
			}
		})
	}
}

// user has arguments of guest-set-user-password.
var user = struct {
	Name     string `json:"username"`
	Password string `json:"password"`
	Crypted  bool   `json:"crypted"`
}{"shown", "hunter2", false}
