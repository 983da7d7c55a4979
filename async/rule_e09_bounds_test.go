// Tests of rule E9 (bounds): the size and the depth of received messages, and
// the memory of an idle connection.
// The code that they hold: options.go, command.go and session.go.
package async_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A giant is a connection to a server that answers one command with a reply of
// size bytes. It makes up these bytes while they are read: a pipe that holds 64
// MiB is slow under the race detector.
type giant struct {
	net.Conn // Close, deadlines and the rest
	size     int
	asked    chan struct{} // closed when the command has come
	at       int           // how much has been read
}

func newGiant(size int) *giant {
	conn, _ := qmptest.Pipe()
	return &giant{Conn: conn, size: size, asked: make(chan struct{})}
}

func (g *giant) Write(p []byte) (int, error) {
	close(g.asked)
	return len(p), nil
}

func (g *giant) Read(p []byte) (int, error) {
	const head, tail, body = `{"id":1,"return":"`, `"}`, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	<-g.asked
	switch rest := g.size - g.at; {
	case rest == 0:
		return g.Conn.Read(p) // blocks until the connection is closed
	case g.at == 0:
		g.at = copy(p, head)
		return g.at, nil
	case rest > len(tail):
		n := min(len(p), rest-len(tail))
		for i := copy(p[:n], body); i < n; i *= 2 {
			copy(p[i:n], p[:i])
		}
		g.at += n
		return n, nil
	default:
		n := copy(p, tail[len(tail)-rest:])
		g.at += n
		return n, nil
	}
}

// Each received message has a maximum size. The error names the bound and the
// option. (For what is sent, see TestE7RefusedBeforeSending.)
func TestE9ReceivedSize(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		max, size   int
		tooLarge    bool
		skipInShort bool
	}{
		{name: "at the limit", max: 5000, size: 5000},
		{name: "a byte over the limit", max: 5000, size: 5001, tooLarge: true},
		{name: "over a large limit", max: 1 << 20, size: 1<<20 + 1, tooLarge: true},
		{name: "1 MiB by default", size: 1 << 20},
		{name: "no limit", max: -1, size: 1 << 20},
		{name: "80 MiB by default", size: 80 << 20, skipInShort: true},
		{name: "a byte more", size: 80<<20 + 1, tooLarge: true, skipInShort: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.skipInShort && testing.Short() {
				t.Skip("it takes 80 MiB")
			}
			t.Parallel()
			c := newClient(t, &async.Options{SkipGreeting: true, SkipNegotiation: true, MaxMessage: tt.max})
			wantNil(t, "Attach", c.Attach(t.Context(), newGiant(tt.size)))
			v, err := c.Execute(t.Context(), "x", nil)
			if !tt.tooLarge {
				if err != nil || len(v) != tt.size-len(`{"id":1,"return":}`) {
					t.Errorf("got %d bytes and error %v", len(v), err)
				}
				return
			}
			limit := tt.max
			if limit == 0 {
				limit = 80 << 20
			}
			e := wantAs[*async.MessageError](t, "x", err)
			if e.Reason != async.TooLarge || e.Limit != limit || e.Command != "" {
				t.Errorf("got Reason %q, Limit %d, Command %q, want %q, %d, none", e.Reason, e.Limit, e.Command, async.TooLarge, limit)
			}
			wantText(t, "x", err, fmt.Sprintf("%d bytes", limit), "Options.MaxMessage")
			if len(err.Error()) > 500 {
				t.Errorf("the error text has %d bytes, want less than 500", len(err.Error()))
			}
			wantIs(t, "x", err, c.Disconnect(t.Context()))
		})
	}
}

func TestE9ReceivedDepth(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		levels  int
		tooDeep bool
	}{{10_000, false}, {10_001, true}} {
		p := memory(t, connected("", qmptest.Expect("x"),
			qmptest.Send(`{"id":2,"return":`+strings.Repeat("[", tt.levels-1)+strings.Repeat("]", tt.levels-1)+`}`), qmptest.ExpectEOF())...)
		c := dial(t, p, nil)
		_, err := c.Execute(t.Context(), "x", nil)
		if !tt.tooDeep {
			wantNil(t, fmt.Sprint(tt.levels, " levels"), err)
			c.Close()
			continue
		}
		if e := wantAs[*async.MessageError](t, "x", err); e.Reason != async.TooDeep || e.Limit != 10_000 {
			t.Errorf("got Reason %q, Limit %d, want %q, 10000", e.Reason, e.Limit, async.TooDeep)
		}
		wantText(t, "x", err, "10000 levels")
	}
}

// The bound of the levels is for one message. Many messages may have more
// levels together.
func TestE9BoundsAreOfOneMessage(t *testing.T) {
	t.Parallel()
	const n = 100
	p := memory(t, connected("", qmptest.Expect("x"), qmptest.Send(strings.Repeat(`{"event":"E"}`, n)+strings.Repeat(" ", 4096)), qmptest.Return(`{}`))...)
	c := dial(t, p, &async.Options{MaxMessage: 200})
	l := c.NewListener(nil)
	execute(t, c, "x", "{}")
	if got := l.Len(); got != n {
		t.Errorf("got %d events, want %d", got, n)
	}
}

// An idle connection takes little memory, even when it has sent and received
// large messages. (Not parallel: it measures the memory of the whole process.)
func TestE9IdleConnectionIsSmall(t *testing.T) {
	const n, most, large = 50, 16 << 10, 128 << 10
	type end struct {
		client *async.Client
		server net.Conn
	}
	var ends []end
	before := memoryInUse()
	for range n {
		conn, server := qmptest.PipeSize(2 * large)
		c := newClient(t, &async.Options{SkipGreeting: true, SkipNegotiation: true})
		if err := c.Attach(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end{c, server})
	}
	fresh := (memoryInUse() - before) / n

	text := strings.Repeat("x", large)
	for _, e := range ends {
		call := start(t.Context(), e.client, async.Command{Name: "x", Args: map[string]any{"x": text}})
		if _, err := io.CopyN(io.Discard, e.server, int64(len(`{"execute":"x","arguments":{"x":""},"id":1}`)+large)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(e.server, `{"id":1,"return":"`+text+`"}`); err != nil {
			t.Fatal(err)
		}
		wantNil(t, "x", (<-call).err)
	}
	used := (memoryInUse() - before) / n
	t.Logf("an idle connection takes %d bytes; after %d bytes in each direction it takes %d", fresh, large, used)
	if fresh > most || used > 2*most {
		t.Errorf("an idle connection takes %d bytes, and %d when it has seen large messages, want at most %d and %d", fresh, used, most, 2*most)
	}
	for _, e := range ends {
		wantNil(t, "Close", e.client.Close())
	}
}

// Events have the same bounds as replies, and so has what comes before a
// greeting.
func TestE9DepthOfEvents(t *testing.T) {
	t.Parallel()
	for _, levels := range []int{10_000, 10_001} {
		event := `{"event":"E","data":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + `}`
		for when, steps := range map[string][]qmptest.Step{
			"before the greeting": append([]qmptest.Step{qmptest.Send(event)}, connected("")...),
			"later":               connected("", qmptest.Expect("x"), qmptest.Send(event), qmptest.Return(`{}`)),
		} {
			t.Run(fmt.Sprintf("%d levels, %s", levels, when), func(t *testing.T) {
				t.Parallel()
				if levels > 10_000 && when == "before the greeting" {
					steps = []qmptest.Step{qmptest.Send(event), qmptest.ExpectEOF()}
				} else if levels > 10_000 {
					steps = connected("", qmptest.Expect("x"), qmptest.Send(event), qmptest.ExpectEOF())
				}
				c := newClient(t, &async.Options{Dialer: memory(t, steps...).Dial})
				l := c.NewListener(nil)
				err := c.Connect(t.Context(), "")
				if err == nil && when == "later" {
					_, err = c.Execute(t.Context(), "x", nil)
				}
				if levels <= 10_000 {
					wantNil(t, when, err)
					ev, ok, err := l.TryNext()
					if !ok || err != nil || string(ev.Raw()) != event {
						t.Errorf("got an event of %d bytes, %v and error %v, want it as it was sent", len(ev.Raw()), ok, err)
					}
					return
				}
				if e := wantAs[*async.MessageError](t, when, err); e.Reason != async.TooDeep || e.Limit != 10_000 {
					t.Errorf("got Reason %q, Limit %d, want %q, 10000", e.Reason, e.Limit, async.TooDeep)
				}
			})
		}
	}
}
