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

// readOnLimit is how long a session goes on reading after a write failed. Replies may
// still come, and the end of the stream, which says why the write failed.
const readOnLimit = time.Second

// A session is one connection, from its first byte to its end. It is never used for
// another one, so nothing is ever reset.
//
// One goroutine, readLoop, does all the reading. Writing is a right: turn has one
// token, and only the goroutine that has taken it may write. That is a caller, or the
// goroutine that finishes a caller's write because the server is slow to take it (see
// write.go). All of these stop when end closes the connection.
type session struct {
	client *Client
	number uint64 // counts the client's sessions, from 1
	conn   net.Conn
	out    socket.Sender // writes to conn; only the holder of turn writes with it
	log    *slog.Logger

	pulse     pulse
	keepalive keepalive // does nothing unless Options.Keepalive is set

	greeting *Greeting // nil if it was skipped; written by the goroutine that connects, before the client is running
	calls    *calls

	turn    chan struct{}  // has one token: the right to write
	closing chan struct{}  // closed when a Disconnect begins: no other message is sent after that
	done    chan struct{}  // closed by end, after cause is set
	wg      sync.WaitGroup // counts readLoop, a goroutine that finishes a write, the timer readOn, and who called hold

	// Used by the holder of turn only.
	wbuf []byte // the message that is being written

	// Used by readLoop only.
	framer    *proto.Framer
	msg       proto.Message // the message that receive handles
	handshake *handshake    // nil once it is over
	arrivals  arrivals      // events that flush gives to the listeners; their bytes stay as they are until flush
	ready     []delivery    // answers that flush delivers before the next read blocks
	served    bool          // a command of any caller but OnConnect was answered; read by others after wg
	dropped   dropped

	mu            sync.Mutex  // guards the fields below; held briefly, never across I/O
	closingClosed bool        // closing is closed
	quitAnswered  bool        // the server has answered quit: a reset after that counts as an end of file
	quits         int         // how many calls of Client.Quit are under way, or have sent quit: the client does not connect again
	ended         bool        // end has been called
	cause         error       // why the session ended, for calls that wait; set once, by end
	report        error       // what Disconnect returns about the end; nil for an orderly end
	writeErr      error       // the error of the first failed write
	readOn        *time.Timer // ends the session readOnLimit after a failed write; nil before
}

// A delivery is a reply and the call that gets it.
type delivery struct {
	call  *call
	reply proto.Message
}

// How large a session's buffers may be to be kept for the next message.
const (
	keepWritten = 4 << 10 // bytes of wbuf
	keepReady   = 32      // elements of ready
)

// newSession returns a session over conn, which it owns from now on, and starts its
// readLoop. addr is the address as the caller gave it. h is the handshake to expect, or
// nil for none.
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
	s.pulse.began, s.keepalive.s = time.Now(), s
	s.framer = proto.NewFramer(pulseReader{conn, &s.pulse}, c.opts.maxMessage(), s.flush)
	s.traceConnected(addr)
	s.wg.Go(s.readLoop)
	return s
}

// readLoop reads messages until the connection ends.
func (s *session) readLoop() {
	defer s.traceEnded()
	defer s.tellDropped()
	for {
		err := s.framer.Message(&s.msg)
		if err == nil {
			err = s.receive(&s.msg)
			s.msg = proto.Message{} // so that the memory of a large one is freed
		}
		if err != nil {
			s.readEnded(err)
			return
		}
	}
}

// flush delivers the answers that the last read brought. The framer calls it when no
// whole message is left in its buffer. So when a caller gets its reply, the session
// has already dealt with the messages that came after it in the same packet.
//
// Lower half: runs on readLoop.
func (s *session) flush() {
	s.flushEvents()
	for i, d := range s.ready {
		d.call.end(answer{message: d.reply})
		s.ready[i] = delivery{}
	}
	s.ready = s.ready[:0]
	if cap(s.ready) > keepReady {
		s.ready = nil // so that an idle connection needs little memory
	}
	if s.pulse.alert.Load() {
		s.keepalive.wake()
	}
}

// flushEvents gives the events that have come to the listeners.
//
// Lower half: runs on readLoop.
func (s *session) flushEvents() {
	if len(s.arrivals.events) > 0 {
		s.client.hearing.hear(s.number, &s.arrivals)
	}
}

// readEnded ends the session because reading failed with err.
//
// Lower half: runs on readLoop.
func (s *session) readEnded(err error) {
	s.flushEvents() // before the notice of the end
	if err == io.EOF && s.handshake.awaitsReply() {
		// The server has greeted and then shut down its direction of the connection. It
		// may still be reading: so let the handshake send qmp_capabilities, or give up.
		s.flush()
		<-s.handshake.asked
		select {
		case <-s.turn: // qmp_capabilities is written
			s.giveTurn()
		case <-s.done:
		}
	}
	hideReturned(err)
	cause := asEnd(messageError(err))
	var broken ProtocolError
	if errors.As(cause, &broken) {
		cause = s.handshake.failure(cause)
	}
	s.mu.Lock()
	if s.quitAnswered && socket.IsReset(cause) {
		cause = io.EOF // QEMU has exited as it was told to, and had not read every byte
	}
	s.mu.Unlock()
	s.end(cause, s.flush)
	s.flush() // does something only if the session had ended before
}

// end ends the session. Only the first call counts. Calls that wait and Disconnect get
// its cause, with the error of a failed write attached; for Disconnect, ErrClosed is
// not an error. If a write failed because the server had closed the connection, HungUp
// matches the result, whatever cause is. beforeDone may be nil. It is called after the
// client has moved to lost, and before the waiting calls get the cause.
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
		further = asEnd(further) // the reader has not met the end of the stream, but the write has
	}
	s.cause = joinErrors(cause, further)
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
	s.report = joinErrors(s.report, closeErr)
	s.mu.Unlock()

	s.client.sessionEnded(s)
	if beforeDone != nil {
		beforeDone()
	}
	close(s.done)
	s.keepalive.wake()
}

// hold makes Disconnect wait until the result is called, unless the session has ended.
func (s *session) hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return func() {}
	}
	s.wg.Add(1)
	return s.wg.Done
}

// hasEnded reports whether end has been called.
func (s *session) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// whyEnded returns the cause for calls that wait. done is closed before.
func (s *session) whyEnded() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// writeFailed notes that a write failed. The session does not end yet: readLoop goes on
// reading to the end of the stream, so that replies that were sent before are not
// lost. What it meets there is the cause. If it does not meet the end within
// readOnLimit, the session ends with the error of the write.
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
		s.end(nil, nil) // the cause is writeErr alone
	})
}

// broken returns the error of an earlier failed write, or nil. After a failed write
// nothing may be written: the stream may have ended in the middle of a message.
func (s *session) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeErr
}

// stopSending makes all calls that wait to be sent fail with ErrClosed. If the session
// has already ended, they fail with its cause instead.
func (s *session) stopSending() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closingClosed && !s.ended {
		s.closingClosed = true
		close(s.closing)
	}
}

// takeTurn waits for the right to write. The error says why the call cannot have it.
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

// giveTurn gives the right to write back.
func (s *session) giveTurn() {
	if cap(s.wbuf) > keepWritten {
		s.wbuf = nil // so that an idle connection needs little memory
	}
	s.turn <- struct{}{}
}
