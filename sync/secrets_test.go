package qmpsync_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	qmpsync "github.com/goqmp/qmp/sync"
)

// The log masks the secrets in a command, and no error contains them, whichever call
// sends the command.
func TestSecretsAreMasked(t *testing.T) {
	secret := json.RawMessage(`{"qom-type":"secret","id":"shown","d\u0061ta":"hunter2"}`)
	members := async.Members{{Name: "protocol", Value: "shown"}, {Name: "password", Value: "hunter2"}}
	broken := map[string]any{"command-line": "set_password vnc hunter2\xff"}
	calls := map[string]struct {
		call func(c *qmpsync.Client) error
		sent bool
	}{
		"Execute": {func(c *qmpsync.Client) error {
			_, err := c.Execute("object-add", secret)
			return err
		}, true},
		"ExecuteOOB": {func(c *qmpsync.Client) error {
			_, err := c.ExecuteOOB("set_password", members)
			return err
		}, true},
		"Call": {func(c *qmpsync.Client) error {
			_, err := qmpsync.Call[string](c, "guest-exec", map[string]any{"path": "shown", "env": []string{"TOKEN=hunter2"}, "input-data": "hunter2"})
			return err
		}, true},
		"Do": {func(c *qmpsync.Client) error {
			reply, err := c.Do(async.Command{Object: async.Members{{Name: "arguments", Value: members}, {Name: "execute", Value: "change-vnc-password"}}})
			if err == nil {
				err = reply.Err()
			}
			return err
		}, true},
		"refused before sending": {func(c *qmpsync.Client) error {
			_, err := c.Execute("human-monitor-command", broken)
			return err
		}, false},
		"object refused before sending": {func(c *qmpsync.Client) error {
			_, err := c.Do(async.Command{Object: map[string]any{"execute": "human-monitor-command", "arguments": broken}})
			return err
		}, false},
	}
	for name, tt := range calls {
		t.Run(name, func(t *testing.T) {
			steps := []qmptest.Step{qmptest.Greet("oob"), qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`)}
			if tt.sent {
				steps = append(steps, qmptest.ExpectFunc("the command", func(m qmptest.Message) error { return nil }), qmptest.ReturnError("GenericError", "no"))
			}
			var logged bytes.Buffer
			opts := &qmpsync.Options{}
			opts.Async.Logger = slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
			c := scripted(t, opts, steps...)
			if err := c.Connect("script"); err != nil {
				t.Fatal(err)
			}
			err := tt.call(c)
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got error %v, want one without the secret", err)
			}
			if err := c.Disconnect(); err != nil {
				t.Error(err)
			}
			log := logged.String()
			if strings.Contains(log, "hunter2") || strings.Contains(log, "shown") != tt.sent || strings.Contains(log, "***") != tt.sent {
				t.Errorf("got the log\n%s\nwant the command only if it was sent (sent: %v), and without its secret", log, tt.sent)
			}
		})
	}
}
