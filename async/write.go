package async

import (
	"errors"
	"os"
	"time"

	"github.com/goqmp/qmp/internal/socket"
)

// write sends wbuf for c. The caller holds the turn, and write passes it on.
// It does not wait for the peer: what does not go at once is finished by a
// goroutine, so that c can be cancelled without cutting a message in two.
func (s *session) write(c *call) {
	if s.broken() != nil {
		s.decide(c, false) // not sent; the reader is about to find out why
		s.giveTurn()
		return
	}
	n, err := s.out.Try(s.wbuf, c.cmd.Files)
	if err == nil && n < len(s.wbuf) {
		s.handOver(c, n)
		return
	}
	s.decide(c, n > 0)
	s.wrote(c, err)
}

// handOver leaves the rest of wbuf, and the turn, to a goroutine.
func (s *session) handOver(c *call, n int) {
	decided := n > 0 || !s.out.Interruptible()
	if decided {
		s.decide(c, true)
	}
	s.mu.Lock()
	ended := s.ended
	if !ended {
		s.wg.Add(1) // under mu: wg is waited for only once ended is set
	}
	s.mu.Unlock()
	if ended {
		if !decided {
			s.decide(c, false)
		}
		s.giveTurn()
		return
	}
	go func() {
		defer s.wg.Done()
		s.finish(c, n, decided)
	}()
}

// finish sends the rest of wbuf, from byte n on. It holds the turn. decided
// says that c can no longer be withdrawn.
func (s *session) finish(c *call, n int, decided bool) {
	for n < len(s.wbuf) {
		var files []*os.File
		if n == 0 {
			files = c.cmd.Files
		}
		sent, err := s.out.Send(s.wbuf[n:], files)
		n += sent
		if !decided {
			decided = true
			if s.decide(c, n > 0) && errors.Is(err, os.ErrDeadlineExceeded) {
				break // that was the withdrawal
			}
		}
		if err != nil {
			s.wrote(c, err)
			return
		}
	}
	s.wrote(c, nil)
}

// wrote ends a write and passes the turn on.
func (s *session) wrote(c *call, err error) {
	if err != nil {
		s.writeError(c, err)
	}
	s.giveTurn()
}

// writeError deals with a failed write. What is wrong with c's files concerns
// only c; any other error, the connection.
func (s *session) writeError(c *call, err error) {
	var bad *socket.FileError
	if !errors.As(err, &bad) {
		s.writeFailed(err)
		return
	}
	s.calls.drop(c)
	c.end(answer{err: refused(c.cmd.label(), bad)})
}

// withdraw takes c back if no byte of it is on the wire; a message that was
// begun is left to be finished. c has been given to write.
func (s *session) withdraw(c *call) {
	s.calls.recall(c, func() { s.conn.SetWriteDeadline(time.Unix(1, 0)) }) // does not wait
	<-c.decided
}

// decide settles, once, whether c is on the wire or not, and reports whether it
// was withdrawn. From here on its files are not touched any more. The caller holds
// the turn.
func (s *session) decide(c *call, begun bool) (withdrawn bool) {
	if !begun {
		s.traceSent(c, false)
	}
	return s.calls.decide(c, begun, func() { s.conn.SetWriteDeadline(time.Time{}) })
}
