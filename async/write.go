package async

import (
	"errors"
	"os"
	"time"

	"github.com/goqmp/qmp/internal/socket"
)

// write writes wbuf, which has the message of c. It does not wait: it writes what the
// system takes at once, and starts a goroutine that writes the rest. So the caller of c
// can give up at any time, and a message that has been begun is still finished. The
// caller of write holds the turn; write, or the goroutine, gives it back.
func (s *session) write(c *call) {
	if s.broken() != nil {
		s.decide(c, false) // not sent; the session ends within readOnLimit
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

// handOver starts a goroutine that writes the rest of wbuf, from byte n on, and then
// gives the turn back.
func (s *session) handOver(c *call, n int) {
	decided := n > 0 || !s.out.Interruptible() // it is too late to withdraw c
	if decided {
		s.decide(c, true)
	}
	s.mu.Lock()
	ended := s.ended
	if !ended {
		s.wg.Add(1) // with mu held: nobody waits for wg before ended is set
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

// finish writes the rest of wbuf, from byte n on, and waits until the server takes it.
// It holds the turn, and gives it back. decided is true if s.decide was called for c.
func (s *session) finish(c *call, n int, decided bool) {
	for full := n > 0; n < len(s.wbuf); full = true {
		var files []*os.File
		if n == 0 {
			files = c.cmd.Files
		}
		sent, err := s.out.Send(s.wbuf[n:], files)
		n += sent
		if full && sent > 0 { // the first bytes may have gone into an empty buffer
			s.pulse.note(&s.pulse.taken)
		}
		if !decided {
			decided = true
			if s.decide(c, n > 0) && errors.Is(err, os.ErrDeadlineExceeded) {
				break // c was withdrawn, and no write has failed
			}
		}
		if err != nil {
			s.wrote(c, err)
			return
		}
	}
	s.wrote(c, nil)
}

// wrote ends a write, which failed if err is not nil, and gives the turn back.
func (s *session) wrote(c *call, err error) {
	if err != nil {
		s.writeError(c, err)
	}
	s.giveTurn()
}

// writeError handles a failed write of c. If c's files were the reason, only c fails.
// Any other error ends the session: see writeFailed.
func (s *session) writeError(c *call, err error) {
	var bad *socket.FileError
	if !errors.As(err, &bad) {
		s.writeFailed(err)
		return
	}
	s.calls.drop(c)
	c.end(answer{err: refused(c.cmd.label(), bad)})
}

// withdraw prevents that c is sent, if no byte of it has been written. If one has, the
// message is finished. It returns when it is known which of these is true; calls then
// knows it, too. write was called for c before.
func (s *session) withdraw(c *call) {
	s.calls.recall(c, func() { s.conn.SetWriteDeadline(time.Unix(1, 0)) }) // ends a write that waits
	<-c.decided
}

// decide notes, once for each call, whether a byte of c has been written (begun), and
// returns whether c was withdrawn. The files of c are not used after that. The caller
// holds the turn.
func (s *session) decide(c *call, begun bool) (withdrawn bool) {
	if !begun {
		s.traceSent(c, false)
	}
	return s.calls.decide(c, begun, func() { s.conn.SetWriteDeadline(time.Time{}) })
}
