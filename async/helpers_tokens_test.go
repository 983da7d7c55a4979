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

// spin lets other goroutines run for a while that differs with n.
func spin(n int) {
	for range n * 7919 % 64 {
		runtime.Gosched()
	}
}

// A tokenServer answers each command with its name, or with the token among its
// arguments if there is one, as fast as it can. It is small enough to be quick,
// where a Server of qmptest knows much more.
type tokenServer struct {
	conn         net.Conn
	capabilities string
	record       bool

	mu   sync.Mutex
	cond *sync.Cond
	out  []byte // to be written
	over bool   // nothing more comes

	done chan struct{}
	seen []string // the names of the commands, if record is set
	err  error    // why it has ended
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

// say lets write write msg; nil is the end.
func (s *tokenServer) say(msg []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = append(s.out, msg...)
	s.over = s.over || msg == nil
	s.cond.Signal()
}

// write keeps the reading from waiting for a client that is busy writing.
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
			return // the reading meets the same
		}
	}
}

// wait waits for the end and returns the commands that came.
func (s *tokenServer) wait() ([]string, error) {
	<-s.done
	return s.seen, s.err
}

// token reads a token out of a reply's value.
func token(value json.RawMessage) string {
	text, _ := proto.Text(value)
	return text
}
