// A fast server that answers each command with a token of its caller, for the
// tests with many commands.
package async_test

import (
	"bytes"
	"encoding/json"
	"net"
	"runtime"
	"strconv"
	"sync"

	"github.com/goqmp/qmp/internal/proto"
)

// spin lets other goroutines run for a short while, which differs with n.
func spin(n int) {
	for range n * 7919 % 64 {
		runtime.Gosched()
	}
}

// A tokenServer answers each command with its name, or with the token in its
// arguments if there is one. It is small, and so faster than a Server of
// qmptest.
type tokenServer struct {
	conn         net.Conn
	capabilities string
	record       bool

	mu   sync.Mutex
	cond *sync.Cond
	out  []byte // what write has still to send
	over bool   // say(nil) was called

	done chan struct{}
	seen []string // the names of the commands, if record is set
	err  error    // why serve has returned
}

func newTokenServer(conn net.Conn, capability string) *tokenServer {
	s := &tokenServer{conn: conn, record: true, done: make(chan struct{})}
	if capability != "" {
		s.capabilities = strconv.Quote(capability)
	}
	s.cond = sync.NewCond(&s.mu)
	return s
}

func (s *tokenServer) serve() {
	defer close(s.done)
	defer s.conn.Close()
	var wg sync.WaitGroup
	wg.Go(s.write)
	defer wg.Wait()
	defer s.say(nil)
	s.say([]byte(`{"QMP":{"version":{"qemu":{"major":9,"minor":0,"micro":0}},"capabilities":[` + s.capabilities + `]}}`))
	framer := proto.NewFramer(s.conn, 0, nil)
	for {
		msg, err := framer.Next()
		if err != nil {
			s.err = err
			return
		}
		cmd := proto.ParseCommand(msg)
		result := proto.AppendText(nil, cmd.Name)
		proto.Members(cmd.Arguments, func(name string, value []byte) bool {
			if name == "token" {
				result = bytes.Clone(value)
			}
			return true
		})
		if s.record {
			s.seen = append(s.seen, cmd.Name)
		}
		s.say(proto.AppendReturn(nil, result, cmd.RawID))
	}
}

// say queues msg for write. nil means that nothing more comes.
func (s *tokenServer) say(msg []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = append(s.out, msg...)
	s.over = s.over || msg == nil
	s.cond.Signal()
}

// write sends what is queued, so that reading never waits for a client that is
// busy writing.
func (s *tokenServer) write() {
	for {
		s.mu.Lock()
		for len(s.out) == 0 && !s.over {
			s.cond.Wait()
		}
		out := s.out
		s.out = nil
		s.mu.Unlock()
		if len(out) == 0 {
			return
		}
		if _, err := s.conn.Write(out); err != nil {
			return // reading returns the same error
		}
	}
}

// wait waits until the connection has ended. It returns the names of the
// commands that came.
func (s *tokenServer) wait() ([]string, error) {
	<-s.done
	return s.seen, s.err
}

// token returns the token in a reply's value.
func token(value json.RawMessage) string {
	text, _ := proto.Text(value)
	return text
}
