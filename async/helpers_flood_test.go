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

// A flood is a server that sends burst events before each reply. It numbers the
// events from 0 on. A reply returns the command's name.
type flood struct {
	conn  net.Conn
	burst int
	done  chan struct{} // closed when serve has returned
	err   error         // why serve has returned
}

// flooded connects a client to a flood. The test can make its listeners before
// the first events come.
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
				out = append(out, `{"event":"E","data":`...) // short, since the race detector makes each byte slow
				out = append(strconv.AppendInt(out, int64(n), 10), "}\r\n"...)
				n++
			}
		}
		out = proto.AppendReturn(out, proto.AppendText(nil, cmd.Name), cmd.RawID)
	}
}

// ask makes ten callers execute n commands together, and checks that each gets
// the reply to its own. After each command it calls after, unless that is nil.
func ask(t *testing.T, c *async.Client, n int, after func()) {
	t.Helper()
	const callers = 10
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for k := range n / callers {
				name := fmt.Sprintf("x-%d-%d", i, k)
				execute(t, c, name, strconv.Quote(name))
				if after != nil {
					after()
				}
			}
		})
	}
	wg.Wait()
}

// number returns the number of an event that a flood has sent.
func number(t *testing.T, ev async.Event) int {
	t.Helper()
	n, err := strconv.Atoi(string(ev.Data))
	if err != nil {
		t.Errorf("got event %s, which was not sent", ev.Raw())
	}
	return n
}
