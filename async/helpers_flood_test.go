// A server that sends many events, for the tests at full size.
package async_test

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/proto"
)

// A flood is a server that sends burst events, numbered from 0 on, ahead of each
// reply, which is the command's name.
type flood struct {
	conn  net.Conn
	burst int
	done  chan struct{} // closed when serve has returned
	err   error         // why it has
}

// flooded connects a client to a flood, whose listeners are ready before it comes.
func flooded(t *testing.T, burst int) (*async.Client, *flood) {
	t.Helper()
	client, server := qmptest.Pipe()
	s := &flood{conn: server, burst: burst, done: make(chan struct{})}
	go s.serve()
	c := newClient(t, nil)
	wantNil(t, "Attach", c.Attach(t.Context(), client))
	return c, s
}

func (s *flood) serve() {
	defer close(s.done)
	defer s.conn.Close()
	out := []byte(`{"QMP":{"version":{"qemu":{"major":9,"minor":0,"micro":0}},"capabilities":[]}}`)
	framer := proto.NewFramer(s.conn, 0, nil)
	for n := 0; ; {
		if _, s.err = s.conn.Write(out); s.err != nil {
			return
		}
		var msg []byte
		if msg, s.err = framer.Next(); s.err != nil {
			return
		}
		cmd := proto.ParseCommand(msg)
		out = out[:0]
		if cmd.Name != "qmp_capabilities" {
			for range s.burst {
				out = append(out, `{"event":"E","data":`...) // short: under the race detector each byte counts
				out = append(strconv.AppendInt(out, int64(n), 10), "}\r\n"...)
				n++
			}
		}
		out = proto.AppendReturn(out, proto.AppendText(nil, cmd.Name), cmd.RawID)
	}
}

// ask has callers execute n commands between them, requires each to get the reply
// to its own, and calls behind, unless nil, behind each.
func ask(t *testing.T, c *async.Client, n int, behind func()) {
	t.Helper()
	const callers = 10
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for k := range n / callers {
				name := fmt.Sprintf("x-%d-%d", i, k)
				execute(t, c, name, strconv.Quote(name))
				if behind != nil {
					behind()
				}
			}
		})
	}
	wg.Wait()
}

// number returns the number of an event of a flood.
func number(t *testing.T, ev async.Event) int {
	t.Helper()
	n, err := strconv.Atoi(string(ev.Data))
	if err != nil {
		t.Errorf("got event %s, which was not sent", ev.Raw())
	}
	return n
}
