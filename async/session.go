package async

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

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
	conn   net.Conn
	out    socket.Sender
	log    *slog.Logger

	firstID  uint64    // the engine's ids of this session begin here
	greeting *Greeting // nil if it was skipped; of handshake until the client is running, not written after

	skipGreeting, skipNegotiation bool // as Options has them, or both for ConnectUnnegotiated

	turn    chan struct{} // holds one token: the right to write
	closing chan struct{} // closed when a Disconnect begins: nothing new is sent
	done    chan struct{} // closed by end, when cause is set
	wg      sync.WaitGroup

	// Of the holder of turn only.
	wbuf []byte

	// Of readLoop only.
	framer *proto.Framer
	phase  phase
	ready  []delivery // replies to hand out before the next read blocks
	greet  *Greeting  // likewise
	agreed bool       // likewise: the reply to qmp_capabilities

	asked    chan struct{} // closed when qmp_capabilities is being written, or is not going to be
	hasAsked func()        // closes asked, once

	// Each takes at most one value, from readLoop, during the handshake.
	greeted    chan *Greeting
	negotiated chan struct{}

	mu          sync.Mutex         // guards the fields below; held briefly, never across I/O
	pending     map[proto.ID]*call // written, or being written, and unanswered; nil once ended
	peak        int                // how many pending has had at once, since it was made
	forsaken    forsaken           // given up, and not in pending any more
	oob         bool               // the capability is enabled; set before Running
	window      gate               // in-band commands; in force with oob only
	descriptors gate               // commands with descriptors; in force with oob only
	closingOnce bool               // closing is closed
	quit        bool               // a quit was answered: a reset behind that is an end of file
	ended       bool
	cause       error       // why it ended, for those who wait; set once, by end
	report      error       // what Disconnect returns about it; nil for an orderly end
	writeErr    error       // the first failed write
	readOn      *time.Timer // bounds the reading on behind it
}

// phase says what a message from the server can be.
type phase int

const (
	awaitGreeting phase = iota
	awaitNegotiation
	established
)

// forsaken is what is known of the commands that were given up behind their
// first byte and may be unanswered yet, though they are not pending any more:
// those without oob, where answers come in the order of the commands. It takes no
// room for each, since a server that does not answer may be asked for ever.
type forsaken struct {
	newest uint64 // its id; 0 if all are answered
	count  int    // how many were given up since all were
	takes  bool   // the newest one takes an error without an id
}

// delivery is a reply on its way to its caller.
type delivery struct {
	call  *call
	reply proto.Message
}

// inBandWindow is how many in-band commands may be unanswered where out-of-band
// execution is enabled. QEMU stops reading the monitor when its queue of eight
// is full, and with it what should overtake (QEMU, "QMP out-of-band").
const inBandWindow = 8

// What a session keeps of its buffers for the next message: bytes to write,
// replies that came at once, and commands that were unanswered at once.
const (
	keepWritten = 4 << 10
	keepReady   = 32
	keepPending = 64
)

// newSession takes conn over and starts reading. bare leaves the whole handshake
// out.
func newSession(c *Client, conn net.Conn, bare bool) *session {
	s := &session{
		client: c,
		conn:   conn,
		out:    socket.NewSender(conn),
		log:    c.logger(),

		firstID: c.lastID.Load() + 1,

		skipGreeting:    bare || c.opts.SkipGreeting,
		skipNegotiation: bare || c.opts.SkipNegotiation,

		turn:        make(chan struct{}, 1),
		closing:     make(chan struct{}),
		done:        make(chan struct{}),
		greeted:     make(chan *Greeting, 1),
		negotiated:  make(chan struct{}, 1),
		asked:       make(chan struct{}),
		pending:     make(map[proto.ID]*call),
		window:      gate{free: inBandWindow},
		descriptors: gate{free: 1},
	}
	s.turn <- struct{}{}
	s.hasAsked = sync.OnceFunc(func() { close(s.asked) })
	switch {
	case !s.skipGreeting:
		s.phase = awaitGreeting
	case !s.skipNegotiation:
		s.phase = awaitNegotiation
	default:
		s.phase = established
	}
	s.framer = proto.NewFramer(conn, c.opts.maxMessage(), s.flush)
	s.wg.Go(s.readLoop)
	return s
}

// readLoop holds the reading role until the connection ends.
func (s *session) readLoop() {
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

// flush hands out the replies that the last read brought. Doing that only when
// there is nothing more to look at gives a caller, in its very next call, the
// knowledge of what came in the same packet behind its reply.
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
	if s.greet != nil {
		s.greeted <- s.greet
		s.greet = nil
	}
	if s.agreed {
		s.negotiated <- struct{}{}
		s.agreed = false
	}
}

// readEnded ends the session with what the reader met.
//
// Lower half: runs on readLoop.
func (s *session) readEnded(err error) {
	if err == io.EOF && s.phase == awaitNegotiation {
		// A server that has only shut down its direction is still answered: its
		// greeting asks for that. The handshake is about to, or gives up by itself.
		s.flush()
		<-s.asked
		select {
		case <-s.turn: // what was asked is written
			s.giveTurn()
		case <-s.done:
		}
	}
	hideReturned(err)
	cause := messageError(err)
	var broken ProtocolError
	if errors.As(cause, &broken) {
		switch s.phase {
		case awaitGreeting:
			if _, ok := cause.(*GreetingError); !ok {
				cause = &GreetingError{Err: cause}
			}
		case awaitNegotiation:
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
// answer and Disconnect get it, with the error of a failed write behind it,
// except that ErrClosed is none for Disconnect.
// beforeDone, unless nil, is called when the client knows of the end and before
// the waiting calls do.
func (s *session) end(cause error, beforeDone func()) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	s.pending = nil
	s.cause = collect(cause, s.writeErr)
	s.report = s.cause
	if cause == ErrClosed {
		s.report = s.writeErr
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

// stopSending makes everybody who waits for a turn give up.
func (s *session) stopSending() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closingOnce {
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
			return contextError(ctx)
		default:
			return nil
		}
	case <-ctx.Done():
		return contextError(ctx)
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

// oldest returns the command that has been unanswered longest. mu is held.
func (s *session) oldest() *call {
	var oldest *call
	for _, c := range s.pending {
		if oldest == nil || c.since.Before(oldest.since) {
			oldest = c
		}
	}
	return oldest
}

// gate lets a number of commands through and makes the others wait in order. Of
// those who had to wait, one is let through only when the one before it has its
// turn to write: so they also go onto the wire in that order. session.mu guards
// it.
type gate struct {
	free     int
	waiting  []*waiter
	admitted *call // had to wait, was let through, and does not have its turn yet
}

type waiter struct {
	call    *call
	granted chan struct{} // closed when it may pass
}

// enter returns nil if c may pass at once, and otherwise its place in the queue.
func (g *gate) enter(c *call) *waiter {
	if g.free > 0 && g.admitted == nil { // so nobody waits
		g.free--
		return nil
	}
	w := &waiter{call: c, granted: make(chan struct{})}
	g.waiting = append(g.waiting, w)
	return w
}

// leave gives a place back.
func (g *gate) leave() {
	g.free++
	g.admit()
}

// admit lets the next one through if it may pass now.
func (g *gate) admit() {
	if g.free == 0 || g.admitted != nil || len(g.waiting) == 0 {
		return
	}
	w := g.waiting[0]
	g.waiting[0] = nil // let go of what it wanted to send
	g.waiting = g.waiting[1:]
	g.free--
	g.admitted = w.call
	close(w.granted)
}

// arrived says that c has its turn, or has given up.
func (g *gate) arrived(c *call) {
	if g.admitted == c {
		g.admitted = nil
		g.admit()
	}
}

// forget takes w out of the queue, or its place back.
func (g *gate) forget(w *waiter) {
	if i := slices.Index(g.waiting, w); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		return
	}
	g.leave()
	g.arrived(w.call)
}
