// Tests of rule E16 (logs): what is logged at which level, and that nothing is logged
// by default.
// The code that they hold: log.go.
package async_test

import (
	"context"
	"io"
	"log"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A message is logged at debug, an orderly end at info, and a failure at error,
// once.
func TestE16LogLevels(t *testing.T) {
	t.Parallel()
	handshake := []string{"DEBUG qmp: received", "DEBUG qmp: sent", "DEBUG qmp: received", "DEBUG qmp: connected"}
	exchange := []string{"DEBUG qmp: sent", "DEBUG qmp: received"}
	hello := connected("")
	tests := []struct {
		name  string
		steps []qmptest.Step
		run   func(t *testing.T, c *async.Client)
		want  []string
	}{
		{
			name:  "disconnect",
			steps: connected("", qmptest.Expect("x"), qmptest.Event("E", ""), qmptest.Return(`{}`)),
			run: func(t *testing.T, c *async.Client) {
				connect(t, c)
				execute(t, c, "x", "{}")
				wantNil(t, "Disconnect", c.Disconnect(t.Context()))
				wantNil(t, "Disconnect", c.Disconnect(t.Context()))
			},
			want: slices.Concat(handshake, exchange, []string{"DEBUG qmp: received", "INFO qmp: disconnected"}),
		}, {
			name:  "close",
			steps: hello,
			run: func(t *testing.T, c *async.Client) {
				connect(t, c)
				wantNil(t, "Close", c.Close())
			},
			want: slices.Concat(handshake, []string{"INFO qmp: disconnected"}),
		}, {
			name:  "quit",
			steps: connected("", qmptest.Expect("quit"), qmptest.Return(`{}`), qmptest.HangUp()),
			run: func(t *testing.T, c *async.Client) {
				connect(t, c)
				execute(t, c, "quit", "{}")
				synctest.Wait()
				wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
			},
			want: slices.Concat(handshake, exchange, []string{"INFO qmp: disconnected"}),
		}, {
			name:  "unexpected end, two commands pending",
			steps: connected("", qmptest.Expect("x"), qmptest.Expect("x"), qmptest.HangUp()),
			run: func(t *testing.T, c *async.Client) {
				connect(t, c)
				a, b := start(t.Context(), c, async.Command{Name: "x"}), start(t.Context(), c, async.Command{Name: "x"})
				<-a
				<-b
				wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
			},
			want: slices.Concat(handshake, []string{"DEBUG qmp: sent", "DEBUG qmp: sent", "ERROR qmp: connection ended"}),
		}, {
			name:  "broken protocol",
			steps: connected("", qmptest.Pause(time.Second), qmptest.Send("garbage")),
			run: func(t *testing.T, c *async.Client) {
				connect(t, c)
				time.Sleep(time.Minute) // the bubble's clock
				wantAs[*async.MessageError](t, "Disconnect", c.Disconnect(t.Context()))
			},
			want: slices.Concat(handshake, []string{"ERROR qmp: connection ended"}),
		}, {
			name:  "a reply that nobody waits for",
			steps: connected("", qmptest.Pause(time.Second), qmptest.Reply(`{"return": 1, "id": "who?"}`)),
			run: func(t *testing.T, c *async.Client) {
				connect(t, c)
				time.Sleep(time.Minute)
				wantNil(t, "Disconnect", c.Disconnect(t.Context()))
			},
			want: slices.Concat(handshake, []string{"DEBUG qmp: received", "WARN qmp: message dropped", "INFO qmp: disconnected"}),
		}, {
			name:  "failed connect",
			steps: []qmptest.Step{qmptest.HangUp()},
			run: func(t *testing.T, c *async.Client) {
				wantIs(t, "Connect", c.Connect(t.Context(), ""), io.EOF)
			},
			want: []string{"ERROR qmp: no connection"},
		}, {
			name:  "disconnect during connect",
			steps: []qmptest.Step{qmptest.Stall()},
			run: func(t *testing.T, c *async.Client) {
				failed := do(func() error { return c.Connect(t.Context(), "") })
				synctest.Wait()
				wantNil(t, "Disconnect", c.Disconnect(t.Context()))
				wantIs(t, "Connect", <-failed, async.ErrClosed)
			},
			want: []string{"INFO qmp: no connection"},
		}, {
			name: "refused call",
			run: func(t *testing.T, c *async.Client) {
				_, err := c.Execute(t.Context(), "x", nil)
				wantAs[*async.StateError](t, "Execute", err)
			},
		},
	}
	for _, tt := range tests {
		for _, nickname := range []string{"", "vm1"} {
			t.Run(tt.name+"/"+nickname, func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					var book logbook
					opts := &async.Options{Logger: book.logger(), Nickname: nickname}
					if tt.steps != nil {
						opts.Dialer = memory(t, tt.steps...).Dial
					}
					c := newClient(t, opts)
					tt.run(t, c)
					c.Close()
					if got := book.lines(t); !slices.Equal(got, tt.want) {
						t.Errorf("log:\n got %q\nwant %q", got, tt.want)
					}
					// Each record has the client's name.
					for _, r := range book.records(t) {
						if name, has := r["qmp"]; has != (nickname != "") || has && name != nickname {
							t.Errorf("log record %v: got attribute qmp=%v, want %q", r, name, nickname)
						}
					}
				})
			})
		}
	}
}

// A Disconnect that cuts off a message, since the peer does not read, is logged
// as a failure.
func TestE16LogOfAHardEnd(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var book logbook
		c := stuckWriter(t, &async.Options{Logger: book.logger()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantIs(t, "Disconnect", c.Disconnect(ctx), context.DeadlineExceeded)
		var got []string
		for _, line := range book.lines(t) {
			if !strings.HasPrefix(line, "DEBUG") {
				got = append(got, line)
			}
		}
		if want := []string{"ERROR qmp: connection ended"}; !slices.Equal(got, want) {
			t.Errorf("log above debug: got %q, want %q", got, want)
		}
	})
}

// Without Options.Logger nothing is logged, not even to the default loggers.
// (Not parallel: it replaces the standard loggers.)
func TestE16NothingIsLoggedByDefault(t *testing.T) {
	var book logbook
	defer slog.SetDefault(slog.Default())
	defer log.SetFlags(log.Flags())
	defer log.SetOutput(log.Writer())
	log.SetOutput(&book)
	slog.SetDefault(book.logger())

	p := memory(t, slices.Concat(
		[]qmptest.Step{qmptest.HangUp(), qmptest.Accept()},
		connected("", qmptest.Expect("x"), qmptest.Reply(`{"who": 1}`), qmptest.Return(`{}`), qmptest.HangUp()))...)
	c := newClient(t, &async.Options{Dialer: p.Dial, Nickname: "vm1"})
	wantIs(t, "Connect", c.Connect(t.Context(), ""), io.EOF)
	connect(t, c)
	execute(t, c, "x", "{}")
	c.Disconnect(t.Context())
	if got := book.buf.String(); got != "" {
		t.Errorf("a client without a Logger logged:\n%s", got)
	}
}
