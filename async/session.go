package async

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/socket"
)

// readOnLimit is how long a session whose write failed reads on, for the
// replies already on their way and for the peer's own account of the end.
const readOnLimit = time.Second

// A session is one connection. It is thrown away with it, so nothing is ever
// reset.
//
// The reading role is held by readLoop from start to end. The writing role is
// held by whoever took the token out of turn: a caller, or the goroutine to
// which a caller handed a write that the peer is slow to take (see write.go).
// Both end when the connection is closed, which end does; wg counts them, and
// the timer.
type session struct {
	client *Client
	number uint64 // counts the client's sessions, from 1
	conn   net.Conn
	out    socket.Sender
	log    *slog.Logger

	greeting *Greeting // nil if it was skipped; of the goroutine that connects, and not written once the client is running
	calls    *calls

	turn    chan struct{} // holds one token: the right to write
	closing chan struct{} // closed when a Disconnect begins: nothing new is sent
	done    chan struct{} // closed by end, when cause is set
	wg      sync.WaitGroup

	// Of the holder of turn only.
	wbuf []byte

	// Of readLoop only.
	framer    *proto.Framer
	handshake *handshake // nil once it is over
	ready     []delivery // answers to hand out before the next read blocks

	mu          sync.Mutex // guards the fields below; held briefly, never across I/O
	closingOnce bool       // closing is closed
	quit        bool       // a quit was answered: a reset after that is an end of file
	ended       bool
	cause       error       // why it ended, for those who wait; set once, by end
	report      error       // what Disconnect returns about it; nil for an orderly end
	writeErr    error       // the first failed write
	readOn      *time.Timer // bounds the reading on after it
}

// delivery is an answer on its way to its caller.
type delivery struct {
	call  *call
	reply proto.Message
}

// What a session keeps of its buffers for the next message: bytes to write, and
// replies that came at once.
const (
	keepWritten = 4 << 10
	keepReady   = 32
)

// newSession takes conn, to addr, over and starts reading. h is the handshake to
// expect, or nil.
func newSession(c *Client, conn net.Conn, addr string, h *handshake) *session {
	s := &session{
		client:    c,
		number:    c.sessions.Add(1),
		conn:      conn,
		out:       socket.NewSender(conn),
		log:       c.logger(),
		calls:     newCalls(&c.lastID),
		handshake: h,
		turn:      make(chan struct{}, 1),
		closing:   make(chan struct{}),
		done:      make(chan struct{}),
	}
	s.turn <- struct{}{}
	s.framer = proto.NewFramer(conn, c.opts.maxMessage(), s.flush)
	s.traceConnected(addr)
	s.wg.Go(s.readLoop)
	return s
}

// readLoop holds the reading role until the connection ends.
func (s *session) readLoop() {
	defer s.traceEnded()
	for {
		raw, err := s.framer.Next()
		if err == nil {
			err = s.receive(raw)
		}
		if err != nil {
			s.readEnded(err)
			return
		}
	}
}

// flush hands out the answers that the last read brought. Doing that only when
// there is nothing more to look at gives a caller, in its very next call, the
// knowledge of what came in the same packet after its reply.
//
// Lower half: runs on readLoop.
func (s *session) flush() {
	for i, d := range s.ready {
		d.call.end(answer{message: d.reply})
		s.ready[i] = delivery{}
	}
	s.ready = s.ready[:0]
	if cap(s.ready) > keepReady {
		s.ready = nil // an idle connection is small
	}
}

// readEnded ends the session with what the reader met.
//
// Lower half: runs on readLoop.
func (s *session) readEnded(err error) {
	if err == io.EOF && s.handshake.awaitsReply() {
		// A server that has only shut down its direction is still answered: its
		// greeting asks for that. The handshake is about to, or gives up by itself.
		s.flush()
		<-s.handshake.asked
		select {
		case <-s.turn: // what was asked is written
			s.giveTurn()
		case <-s.done:
		}
	}
	hideReturned(err)
	cause := asEnd(messageError(err))
	var broken ProtocolError
	if errors.As(cause, &broken) {
		switch {
		case s.handshake == nil:
		case s.handshake.awaitsGreeting():
			if _, ok := cause.(*GreetingError); !ok {
				cause = &GreetingError{Err: cause}
			}
		default:
			if _, ok := cause.(*NegotiationError); !ok {
				cause = &NegotiationError{Err: cause}
			}
		}
	}
	s.mu.Lock()
	if s.quit && socket.IsReset(cause) {
		cause = io.EOF
	}
	s.mu.Unlock()
	s.end(cause, s.flush)
	s.flush() // no-op unless another end was quicker
}

// end ends the session, once; the first cause wins. Both those who wait for an
// answer and Disconnect get it, with the error of a failed write after it. For
// Disconnect ErrClosed is not an error. A write that failed because the peer had
// gone makes the end one that HungUp matches, whoever is first to end the session.
// beforeDone, unless nil, is called when the client knows of the end and before
// the waiting calls do.
func (s *session) end(cause error, beforeDone func()) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	s.calls.end()
	further := s.writeErr
	if _, broken := errors.AsType[ProtocolError](cause); !broken && !HungUp(cause) {
		further = asEnd(further) // nobody has read to the end of the stream: the write knows it
	}
	s.cause = collect(cause, further)
	s.report = s.cause
	if cause == ErrClosed {
		s.report = further
	}
	if s.readOn != nil && s.readOn.Stop() {
		s.wg.Done()
	}
	s.mu.Unlock()

	closeErr := s.conn.Close() // unblocks the reader and the writer
	if errors.Is(closeErr, net.ErrClosed) {
		closeErr = nil
	}
	s.mu.Lock()
	s.report = collect(s.report, closeErr)
	s.mu.Unlock()

	s.client.sessionEnded(s)
	if beforeDone != nil {
		beforeDone()
	}
	close(s.done)
}

func (s *session) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// whyEnded returns the cause for those who wait. done is closed.
func (s *session) whyEnded() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// writeFailed notes that a write failed. The session does not end yet: the
// reader reads on to the end of the stream, so that a reply already on its way
// is not lost, and what it finds there is the cause.
//
// The holder of turn calls it.
func (s *session) writeFailed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.writeErr != nil {
		return
	}
	s.writeErr = err
	s.wg.Add(1)
	s.readOn = time.AfterFunc(readOnLimit, func() {
		defer s.wg.Done()
		s.end(nil, nil) // the failed write is all that is known
	})
}

// broken returns the error of an earlier failed write, behind which nothing may
// be written: the stream would go on in the middle of a message.
func (s *session) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeErr
}

// stopSending makes everybody who waits for a turn give up. If the session has
// ended already, that end is their cause.
func (s *session) stopSending() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closingOnce && !s.ended {
		s.closingOnce = true
		close(s.closing)
	}
}

// takeTurn waits for the right to write. The error is nil, or the reason why it
// is not to be had.
func (s *session) takeTurn(ctx context.Context) error {
	select {
	case <-s.turn:
		select {
		case <-s.closing:
			s.giveTurn()
			return ErrClosed
		case <-ctx.Done():
			s.giveTurn()
			return contexts.Err(ctx)
		default:
			return nil
		}
	case <-ctx.Done():
		return contexts.Err(ctx)
	case <-s.closing:
		return ErrClosed
	case <-s.done:
		return s.whyEnded()
	}
}

// giveTurn passes the right to write on.
func (s *session) giveTurn() {
	if cap(s.wbuf) > keepWritten {
		s.wbuf = nil // an idle connection is small
	}
	s.turn <- struct{}{}
}
