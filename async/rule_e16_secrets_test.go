// Tests of rule E16 (logs mask known secrets): in the log, and in errors.
// rule_e16_secrets_forms_test.go has more ways to write a command.
// The code that they hold: log.go and internal/proto.
package async_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

func TestE16SecretsAreMaskedInTheLog(t *testing.T) {
	t.Parallel()
	for _, tt := range secretCommands {
		for _, form := range []string{"args", "object", "oob", "hook"} {
			t.Run(tt.name+"/"+form, func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					hidden := func(m qmptest.Message) error {
						if m.Name != tt.name || !bytes.Contains(m.Raw, []byte("hunter2")) {
							return fmt.Errorf("got %s, want %s with its secret", m.Raw, tt.name)
						}
						return nil
					}
					p := memory(t, connected("oob", qmptest.ExpectFunc(tt.name, hidden), qmptest.Return(`{}`))...)
					cmd := async.Command{Name: tt.name, Args: json.RawMessage(tt.args)}
					opts := &async.Options{}
					switch form {
					case "object":
						cmd = async.Command{Object: json.RawMessage(fmt.Sprintf(`{"arguments":%s,"execute":%q,"id":"mine"}`, tt.args, tt.name))}
					case "oob":
						cmd.OOB = true
					case "hook":
						cmd = async.Command{Name: "replace-me"}
						opts.OnSend = func(m json.RawMessage) json.RawMessage {
							if !bytes.Contains(m, []byte("replace-me")) {
								return nil
							}
							return json.RawMessage(fmt.Sprintf(`{"execute":%q,"arguments":%s,"id":2}`, tt.name, tt.args))
						}
					}
					var book logbook
					opts.Logger = book.logger()
					c := dial(t, p, opts)
					_, err := c.Do(t.Context(), cmd)
					wantNil(t, tt.name, err)
					var sent string
					for _, r := range book.records(t) {
						if m, _ := r["message"].(string); strings.Contains(m, tt.name) {
							sent = m
						}
					}
					if !strings.Contains(sent, "shown") || !strings.Contains(sent, "***") {
						t.Errorf("log of %s: got %q, want it to show what is not a secret, and *** for the secret", tt.args, sent)
					}
					if strings.Contains(book.buf.String(), "hunter2") {
						t.Errorf("the log shows the secret:\n%s", book.buf.String())
					}
					if !json.Valid([]byte(sent)) {
						t.Errorf("log of %s: %q is not JSON any more", tt.args, sent)
					}
				})
			})
		}
	}
}

// Secrets in replies are masked, too. So are those in the late reply of a
// command that was given up.
// Holds secure.
func TestE16SecretsInRepliesAreMasked(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ command, reply, shown string }{
		{"guest-file-read", `{"count": 7, "buf-b64": "hunter2", "eof": true}`, `"count":7`},
		{"guest-exec-status", `{"exited": true, "out-data": "hunter2", "err-data": "hunter2"}`, `"exited":true`},
		{"qom-get", `"hunter2"`, `"return":"***"`},
		{"qom-get", `{"data": ["hunter2"]}`, `"return":"***"`},
		{"qom-list-get", `[{"properties": [{"name": "data", "value": "hunter2"}]}]`, `"name":"data"`},
		{"ringbuf-read", `"hunter2"`, `"return":"***"`},
		{"query-block", `[{"file": "https://me:hunter2@host/"}]`, `https://me:***@host/`},
	} {
		for _, capability := range []string{"", "oob"} {
			for _, late := range []bool{false, true} {
				bubble(t, func(t *testing.T) {
					p := memory(t, connected(capability, qmptest.Expect(tt.command), qmptest.Pause(2*time.Second), qmptest.Return(tt.reply),
						qmptest.Expect("query-status"), qmptest.Return(`{"status": "shown"}`))...)
					var book logbook
					c := dial(t, p, &async.Options{Logger: book.logger()})
					limit := time.Minute
					if late {
						limit = time.Second
					}
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					defer cancel()
					value, err := c.Execute(ctx, tt.command, nil)
					if late {
						wantIs(t, tt.command, err, context.DeadlineExceeded)
					} else {
						wantValue(t, tt.command, value, err, tt.reply)
					}
					execute(t, c, "query-status", `{"status": "shown"}`)
					log := book.buf.String()
					if strings.Contains(log, "hunter2") || !strings.Contains(log, `\"status\": \"shown\"`) {
						t.Errorf("late %v: the log shows the secret, or hides the status:\n%s", late, log)
					}
					// The command of a late reply is not known, so nothing of that reply is shown.
					if shown := strconv.Quote(tt.shown); !late && !strings.Contains(log, shown[1:len(shown)-1]) {
						t.Errorf("the log does not show %s:\n%s", shown, log)
					}
				})
			}
		}
	}
}

// The reply to a line of the human monitor is masked if the line reads a secret, or the
// memory of the guest. Other replies are shown.
// Holds secure.
func TestE16RepliesOfTheHumanMonitor(t *testing.T) {
	t.Parallel()
	for line, hidden := range map[string]bool{
		"qom-get /objects/s data": true, "xp/4x 0": true, "x /4x 0": true, `qemu-io d "read -v 0 512"`: true, "ringbuf_read c 9": true,
		"info status": false, "stop": false,
	} {
		for _, whole := range []bool{false, true} {
			bubble(t, func(t *testing.T) {
				p := memory(t, connected("", qmptest.Expect("human-monitor-command"), qmptest.Return(`"hunter2"`))...)
				var book logbook
				c := dial(t, p, &async.Options{Logger: book.logger()})
				cmd := async.Command{Name: "human-monitor-command", Args: map[string]string{"command-line": line}}
				if whole {
					cmd = async.Command{Object: async.Members{{Name: "execute", Value: cmd.Name}, {Name: "arguments", Value: cmd.Args}}}
				}
				reply, err := c.Do(t.Context(), cmd)
				wantNil(t, line, err)
				if value, err := reply.Value(); string(value) != `"hunter2"` {
					t.Errorf("%s: got %s, %v", line, value, err)
				}
				if shown := strings.Contains(book.buf.String(), "hunter2"); shown == hidden {
					t.Errorf("%s: the log shows the reply: %v\n%s", line, shown, book.buf.String())
				}
			})
		}
	}
}

// However a command with a secret fails, neither the error nor the log shows
// the secret.
func TestE16SecretsAreNotInErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range secretCommands {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				const mine = "mine"
				p := memory(t, connected("",
					qmptest.Expect(tt.name), qmptest.ReturnError("GenericError", "no"),
					qmptest.Expect(tt.name), qmptest.Reply(`{"id": $id}`),
					qmptest.Expect(tt.name), qmptest.Return(`{}`),
					qmptest.Expect(tt.name), // this one is canceled
					qmptest.Expect(tt.name), qmptest.HangUp())...)
				var book logbook
				bad := false
				c := dial(t, p, &async.Options{Logger: book.logger(), MaxMessage: 4096, OnSend: func(m json.RawMessage) json.RawMessage {
					if bad {
						return append(bytes.Clone(m), "hunter2"...)
					}
					return nil
				}})
				try := func(what string, ctx context.Context, cmd async.Command) {
					t.Helper()
					reply, err := c.Do(ctx, cmd)
					if err == nil {
						err = reply.Err()
					}
					if err == nil {
						var wrong []int
						err = reply.Decode(&wrong)
					}
					switch {
					case err == nil:
						t.Errorf("%s: got no error", what)
					case strings.Contains(fmt.Sprintf("%v|%+v|%q", err, err, err), "hunter2"):
						t.Errorf("%s: the error shows the secret: %v", what, err)
					}
				}
				good := async.Command{Name: tt.name, Args: json.RawMessage(tt.args)}
				broken := func(args string) async.Command {
					return async.Command{Name: tt.name, Args: json.RawMessage(args)}
				}
				try("error reply", t.Context(), good)
				try("malformed reply", t.Context(), good)
				try("reply of another type", t.Context(), good)
				try("cut off", t.Context(), broken(strings.TrimSuffix(tt.args, "}")))
				try("no end of the text", t.Context(), broken(tt.args[:strings.Index(tt.args, "hunter2")+7]))
				try("invalid UTF-8", t.Context(), broken(strings.ReplaceAll(tt.args, "hunter2", "hunter2\xff")))
				try("surrogate", t.Context(), broken(strings.ReplaceAll(tt.args, "hunter2", `hunter2\ud800`)))
				try("noncharacter", t.Context(), broken(strings.ReplaceAll(tt.args, "hunter2", `hunter2\ufffe`)))
				try("control character", t.Context(), broken(strings.ReplaceAll(tt.args, "hunter2", "hunter2\n")))
				try("not an object", t.Context(), broken(`["hunter2"]`))
				try("two values", t.Context(), broken(tt.args+`"hunter2"`))
				try("Go value", t.Context(), async.Command{Name: tt.name, Args: map[string]any{"password": "hunter2", "data": func() {}}})
				try("Go text", t.Context(), async.Command{Name: tt.name, Args: map[string]string{"password": "hunter2\xff"}})
				try("text for an object", t.Context(), async.Command{Name: tt.name, Args: "hunter2"})
				try("too large", t.Context(), broken(strings.ReplaceAll(tt.args, "hunter2", strings.Repeat("hunter2", 1000))))
				try("too deep", t.Context(), broken(`{"password":`+strings.Repeat("[", 1000)+`"hunter2"`+strings.Repeat("]", 1000)+`}`))
				try("object without end", t.Context(), async.Command{Object: json.RawMessage(fmt.Sprintf(`{"execute":%q,"arguments":%s`, tt.name, tt.args))})
				try("object with a bad id", t.Context(), async.Command{Object: json.RawMessage(fmt.Sprintf(`{"execute":%q,"arguments":%s,"id":7}`, tt.name, tt.args))})
				bad = true
				try("hook", t.Context(), good)
				bad = false
				ended, cancel := context.WithCancel(t.Context())
				cancel()
				try("ended context", ended, good)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				canceled := good
				canceled.ID = mine
				try("canceled", ctx, canceled)
				try("interrupted", t.Context(), good)
				try("not connected", t.Context(), good)
				if err := c.Disconnect(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("Disconnect: got %v, want an end of file", err)
				}
				if strings.Contains(book.buf.String(), "hunter2") {
					t.Errorf("the log shows the secret:\n%s", book.buf.String())
				}
			})
		})
	}
}

// Where a reply's command is not known, the log and the errors do not show what
// it returns. That is so where a reply to an earlier client comes in place of
// the greeting or of the reply to qmp_capabilities, and where a reply is cut
// off.
// Holds secure.
func TestE16SecretsInBrokenReplies(t *testing.T) {
	t.Parallel()
	const secret = "aHVzaA=="
	reply := func(more string) qmptest.Step {
		return qmptest.Send(`{"return":{"count":4,"buf-b64":"` + secret + more)
	}
	negotiating := func(steps ...qmptest.Step) []qmptest.Step {
		return append([]qmptest.Step{qmptest.Greet(), qmptest.Expect("qmp_capabilities")}, steps...)
	}
	reading := func(steps ...qmptest.Step) []qmptest.Step {
		return connected("", append([]qmptest.Step{qmptest.Expect("guest-file-read")}, steps...)...)
	}
	for _, tt := range []struct {
		name  string
		steps []qmptest.Step
		fails bool
	}{
		{"in place of a greeting", []qmptest.Step{reply(`"},"id":7}`)}, true},
		{"of another, before that to qmp_capabilities", negotiating(reply(`"},"id":"theirs"}`)), false},
		{"of an earlier client, before that to qmp_capabilities", negotiating(reply(`"},"id":0}`), qmptest.Return(`{}`)), false},
		{"with an error that is none", negotiating(reply(`"},"error":1}`)), true},
		{"cut off in the negotiation", negotiating(reply(""), qmptest.HangUp()), true},
		{"cut off", reading(reply(""), qmptest.HangUp()), true},
		{"broken", reading(reply("\"}\x00")), true},
		{"malformed", reading(reply(`"},"error":1,"id":2}`)), true},
		{"malformed, without an id", reading(reply(`"},"error":1}`)), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				var book logbook
				p := memory(t, tt.steps...)
				c := newClient(t, &async.Options{Dialer: p.Dial, Logger: book.logger()})
				err := c.Connect(t.Context(), "")
				if err == nil && tt.fails {
					_, err = c.Execute(t.Context(), "guest-file-read", nil)
				}
				if (err != nil) != tt.fails {
					t.Errorf("got error %v", err)
				}
				end := c.Disconnect(t.Context())
				for what, text := range map[string]string{"the error": fmt.Sprint(err), "the end": fmt.Sprint(end), "the log": book.buf.String()} {
					if strings.Contains(text, secret) {
						t.Errorf("%s shows the secret: %s", what, text)
					}
				}
				if !strings.Contains(book.buf.String(), "return") {
					t.Errorf("the log does not show the reply at all: %s", book.buf.String())
				}
			})
		})
	}
}
