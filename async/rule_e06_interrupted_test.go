// Tests of rule E6 (every pending call ends with its connection).
// The code that they hold: session.go and calls.go.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// endings are the ways in which a connection ends, and which errors tell the
// cause.
var endings = []struct {
	name    string
	end     []qmptest.Step                      // by the server
	local   func(t *testing.T, c *async.Client) // or by this side
	opts    async.Options
	matches func(error) bool
	stuck   func(error) bool // the same where the peer does not read; nil if that makes no difference
}{
	{name: "end of file", end: []qmptest.Step{qmptest.HangUp()}, matches: is(io.EOF)},
	{name: "reset", end: []qmptest.Step{qmptest.Reset()}, matches: is(syscall.ECONNRESET)},
	{name: "half a message", end: []qmptest.Step{qmptest.Send(`{"event":`), qmptest.HangUp()}, matches: message(async.Truncated)},
	{name: "garbage", end: []qmptest.Step{qmptest.Send("\x7fELF"), qmptest.ExpectEOF()}, matches: message(async.NotJSON)},
	{name: "not an object", end: []qmptest.Step{qmptest.Send(`[1]`), qmptest.ExpectEOF()}, matches: message(async.NotObject)},
	{name: "too large", opts: async.Options{MaxMessage: 4096}, end: []qmptest.Step{qmptest.Send(`{"event":"` + strings.Repeat("x", 4096)), qmptest.ExpectEOF()}, matches: message(async.TooLarge)},
	{name: "too deep", end: []qmptest.Step{qmptest.Send(`{"data":` + strings.Repeat("[", 10_000)), qmptest.ExpectEOF()}, matches: message(async.TooDeep)},
	{
		name: "error without id", end: []qmptest.Step{qmptest.ReturnError("GenericError", "JSON parse error", qmptest.NoID()), qmptest.ExpectEOF()},
		matches: func(err error) bool {
			e, ok := errors.AsType[*async.ServerParseError](err)
			return ok && e.Class == "GenericError" && e.Desc == "JSON parse error"
		},
	},
	{
		name: "bad replacement by a hook", end: []qmptest.Step{qmptest.Event("BAD", ""), qmptest.ExpectEOF()},
		opts: async.Options{OnReceive: func(msg json.RawMessage) json.RawMessage {
			if strings.Contains(string(msg), "BAD") {
				return json.RawMessage(`"text"`)
			}
			return nil
		}},
		matches: message(async.NotObject),
	},
	{name: "Disconnect", local: func(t *testing.T, c *async.Client) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c.Disconnect(ctx)
	}, matches: is(async.ErrClosed), stuck: is(context.DeadlineExceeded)},
	{name: "Close", local: func(t *testing.T, c *async.Client) { wantNil(t, "Close", c.Close()) }, matches: is(async.ErrClosed)},
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// message returns a function that reports whether an error is a MessageError
// with that reason, and a ProtocolError.
func message(reason async.Reason) func(error) bool {
	return func(err error) bool {
		var broken async.ProtocolError
		e, ok := errors.AsType[*async.MessageError](err)
		return ok && errors.As(err, &broken) && e.Reason == reason
	}
}

// When the connection ends, every pending call ends at once and says whether
// its command was sent: the calls that wait for a reply, and those that wait at
// the window.
func TestE6EveryPendingCallEnds(t *testing.T) {
	t.Parallel()
	for _, capabilities := range []string{"", "oob"} {
		for _, tt := range endings {
			t.Run(tt.name+"/"+capabilities, func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					const calls = 12
					sent := calls
					if capabilities == "oob" {
						sent = 8
					}
					var steps []qmptest.Step
					for range sent {
						steps = append(steps, qmptest.Expect("x"))
					}
					steps = append(steps, qmptest.AwaitMark("end"))
					p := memory(t, connected(capabilities, append(steps, tt.end...)...)...)
					opts := tt.opts
					opts.Nickname = "vm7"
					c := dial(t, p, &opts)
					l := c.NewListener(nil)
					var pending []<-chan result
					for range calls {
						pending = append(pending, start(context.Background(), c, async.Command{Name: "x"}))
						synctest.Wait()
					}
					begin := time.Now()
					p.Mark("end")
					if tt.local != nil {
						tt.local(t, c)
					}
					for i, call := range pending {
						err := (<-call).err
						e := wantInterrupted(t, "x", err, i < sent)
						if !tt.matches(e.Err) || e.Command != "x" || e.Client != "vm7" {
							t.Errorf("call %d: got %v (%T)", i, err, e.Err)
						}
						if i < sent {
							wantText(t, "x", err, "qmp vm7: x: interrupted after it was sent")
						} else {
							wantText(t, "x", err, "qmp vm7: x: interrupted before it was sent (waiting for earlier commands)")
						}
					}
					if took := time.Since(begin); took != 0 {
						t.Errorf("the calls ended %v after the connection, want at once", took)
					}
					synctest.Wait()
					if tt.local != nil {
						wantNil(t, "Disconnect after that", c.Disconnect(t.Context()))
						return
					}
					wantState(t, c, async.Disconnecting)
					_, err := l.Next(t.Context())
					if e := wantAs[*async.ExecInterruptedError](t, "the listener", err); !tt.matches(e.Err) {
						t.Errorf("the listener: got %v", err)
					}
					if err := c.Disconnect(t.Context()); !tt.matches(err) {
						t.Errorf("Disconnect: got error %v", err)
					}
				})
			})
		}
	}
}

// When the connection ends, a call whose command is partly written ends, and so
// does a call that waits for its turn to write.
func TestE6CallsInFrontOfAStuckWriter(t *testing.T) {
	t.Parallel()
	for _, tt := range endings {
		if tt.local == nil && tt.name != "end of file" && tt.name != "reset" {
			continue // the server would have to send something, and it does not even read
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				end := tt.end
				if tt.local != nil {
					end = []qmptest.Step{qmptest.StopReading()}
				}
				p := qmptest.Play(t, &qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: 512},
					connected("", append([]qmptest.Step{qmptest.AwaitMark("end")}, end...)...)...)
				c := dial(t, p, nil)
				big := start(context.Background(), c, async.Command{Name: "big", Args: map[string]any{"x": strings.Repeat("x", 4096)}})
				synctest.Wait()
				waiting := start(context.Background(), c, async.Command{Name: "waiting"})
				synctest.Wait()
				p.Mark("end")
				if tt.local != nil {
					tt.local(t, c)
				}
				matches := tt.matches
				if tt.stuck != nil {
					matches = tt.stuck
				}
				err := (<-big).err
				if wantInterrupted(t, "big", err, true); !matches(err) {
					t.Errorf("big: got error %v", err)
				}
				err = (<-waiting).err
				if wantInterrupted(t, "waiting", err, false); !tt.matches(err) {
					t.Errorf("waiting: got error %v", err)
				}
			})
		})
	}
}

// The error of a pending call matches everything that the error of Disconnect
// matches.
func TestE6CauseIsTheWholeTruth(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		broken := &net.OpError{Op: "write", Net: "test", Err: syscall.EPIPE}
		p := memory(t, connected("", qmptest.Expect("first"), qmptest.AwaitMark("end"), qmptest.Reset())...)
		c := dial(t, p, &async.Options{Dialer: rig(p, failWritesFrom(2, broken))})
		first := start(t.Context(), c, async.Command{Name: "first"})
		synctest.Wait()
		second := start(t.Context(), c, async.Command{Name: "second"})
		synctest.Wait()
		p.Mark("end")
		for _, call := range []<-chan result{first, second} {
			wantInterrupted(t, "the call", (<-call).err, true, syscall.ECONNRESET, syscall.EPIPE, broken)
		}
		wantIs(t, "Disconnect", c.Disconnect(t.Context()), syscall.ECONNRESET, syscall.EPIPE, broken)
	})
}

// Whatever text a server sends, an error's text is short and on one line. The
// fields of the error hold the server's text as it came.
func TestErrorsAreShortAndOnOneLine(t *testing.T) {
	t.Parallel()
	class, desc := "A\r\nB", "what\nwent wrong: "+strings.Repeat("\u00e4", 1<<20)
	for _, err := range []error{
		&async.ExecuteError{Command: "x", Class: class, Desc: desc},
		&async.NegotiationError{Class: class, Desc: desc},
		&async.ServerParseError{Class: class, Desc: desc},
	} {
		text := err.Error()
		if strings.ContainsAny(text, "\r\n") || len(text) > 1200 || !utf8.ValidString(text) {
			t.Errorf("%T takes %d bytes: %.100q", err, len(text), text)
		}
		wantText(t, "the error", err, "A B", "what went wrong: \u00e4\u00e4")
	}
}

// The connection ends after the call has looked at the state and before it gets
// its turn to write.
func TestE6EndsBeforeTheTurn(t *testing.T) {
	t.Parallel()
	for range 30 {
		bubble(t, func(t *testing.T) {
			client, server := qmptest.Pipe()
			c := newClient(t, bare())
			wantNil(t, "Attach", c.Attach(t.Context(), client))
			ctx := &firstLook{Context: t.Context(), then: func() {
				server.Close()
				synctest.Wait()
			}}
			_, err := c.Execute(ctx, "x", nil)
			wantInterrupted(t, "x", err, false, io.EOF)
		})
	}
}

// The connection ends when no byte of a command has been written, before a
// goroutine is started to write it.
func TestE6EndsBeforeTheRestIsWritten(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		client, server := qmptest.Pipe()
		c := newClient(t, bare())
		wantNil(t, "Attach", c.Attach(t.Context(), client))
		async.RigSender(c, async.RiggedSender{Try: func([]byte, []*os.File) (int, error) {
			server.Close()
			synctest.Wait()
			return 0, nil
		}})
		_, err := c.Execute(t.Context(), "x", nil)
		wantInterrupted(t, "x", err, false, io.EOF)
	})
}
