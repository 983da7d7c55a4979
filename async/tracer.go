package async

import (
	"encoding/json"
	"net"
	"slices"
	"time"

	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/secrets"
)

// A Tracer has functions that the engine calls when something happens on a connection
// of a client: see Tracers in [Options]. It cannot change a message; OnSend and
// OnReceive in [Options] can. A function may be nil.
//
// The connection waits while a function runs: it must return at once, and must not call
// methods of this client (to close it: go c.Close()). Sent and Received may be called at
// the same time, and so may the functions for two connections. Sent is called for one
// message after another, in the order in which they are written, and Received in the
// order in which they come.
type Tracer struct {
	// Connected is called when a connection is made, before its first message. The
	// greeting is a message like any other.
	Connected func(TraceConnected)

	// Sent is called for each message before its first byte is written, so it is
	// called before Received is called for the reply. The message may still not be
	// written: see Unsent.
	Sent func(TraceMessage)

	// Unsent is called if no byte of the message of the last Sent was written, and
	// none will be: its context ended before, or a write had failed.
	Unsent func(TraceMessage)

	// Received is called for each whole message, as it came, before the client
	// handles it.
	Received func(TraceMessage)

	// Ended is called once for each Connected. After it no function is called for
	// that connection. Disconnect returns after Ended has returned.
	Ended func(TraceEnded)
}

// TraceConnected says that a connection was made.
type TraceConnected struct {
	Session       uint64 // counts the connections of this client, from 1
	Time          time.Time
	Address       string   // as the caller gave it
	Local, Remote net.Addr // as the connection has them; may be nil
}

// TraceMessage is one message, sent or received. Its bytes belong to the engine: copy
// what you keep.
type TraceMessage struct {
	Session uint64
	Time    time.Time

	// Message is the whole message, with its secrets. For SendFiles it is a single
	// space.
	Message json.RawMessage

	// Files is how many file descriptors are sent with the message. It is 0 for a
	// received message: descriptors that a server sends are not kept or counted.
	Files int

	masked func() []byte
}

// Masked returns the message with known secrets masked, as it is logged. Call it only
// while the Tracer's function runs.
func (m TraceMessage) Masked() json.RawMessage { return m.masked() }

// TraceEnded says that a connection has ended.
type TraceEnded struct {
	Session uint64
	Time    time.Time
	Err     error // why it ended, as Disconnect or the failed Connect returns it; nil for an orderly end
}

// traced calls f for every tracer of the client.
func (s *session) traced(f func(*Tracer)) {
	for _, t := range s.client.opts.Tracers {
		if t != nil {
			f(t)
		}
	}
}

// traceConnected calls Connected of every tracer.
func (s *session) traceConnected(addr string) {
	if len(s.client.opts.Tracers) == 0 {
		return
	}
	ev := TraceConnected{Session: s.number, Time: time.Now(), Address: addr, Local: s.conn.LocalAddr(), Remote: s.conn.RemoteAddr()}
	s.traced(func(t *Tracer) {
		if t.Connected != nil {
			t.Connected(ev)
		}
	})
}

// traceSent calls Sent of every tracer with the message in wbuf, or Unsent if sent is
// false. The caller holds the turn.
func (s *session) traceSent(c *call, sent bool) {
	if len(s.client.opts.Tracers) == 0 {
		return
	}
	msg := s.wbuf
	ev := TraceMessage{
		Session: s.number, Time: time.Now(), Message: slices.Clip(msg), Files: len(c.cmd.Files),
		masked: func() []byte { return secrets.Command(msg) },
	}
	s.traced(func(t *Tracer) {
		if f := t.Sent; sent && f != nil {
			f(ev)
		}
		if f := t.Unsent; !sent && f != nil {
			f(ev)
		}
	})
}

// traceReceived calls Received of every tracer with a message as it came.
//
// Lower half: runs on readLoop.
func (s *session) traceReceived(m *proto.Message) {
	if len(s.client.opts.Tracers) == 0 {
		return
	}
	ev := TraceMessage{
		Session: s.number, Time: time.Now(), Message: slices.Clip(m.Raw),
		masked: func() []byte { return s.maskReceived(m) },
	}
	s.traced(func(t *Tracer) {
		if t.Received != nil {
			t.Received(ev)
		}
	})
}

// traceEnded calls Ended of every tracer, as the last thing that readLoop does. It holds
// the turn, so no other goroutine calls Sent or Unsent; after done none begins to.
//
// Lower half: runs on readLoop.
func (s *session) traceEnded() {
	if len(s.client.opts.Tracers) == 0 {
		return
	}
	<-s.done
	<-s.turn
	s.mu.Lock()
	ev := TraceEnded{Session: s.number, Time: time.Now(), Err: s.report}
	s.mu.Unlock()
	s.traced(func(t *Tracer) {
		if t.Ended != nil {
			t.Ended(ev)
		}
	})
	s.giveTurn()
}
