package async

import (
	"encoding/json"
	"net"
	"slices"
	"time"

	"github.com/goqmp/qmp/internal/proto"
)

// A Tracer sees what happens on the connections of a client: [Options].Tracers. It
// changes nothing; to replace messages there are Options.OnSend and OnReceive.
// Functions that are nil are left out.
//
// The functions run inside the engine and hold up the connection: they return at
// once, and call nothing of this client (to end it: go c.Close()). Sent and
// Received may be called at the same time, and so may the functions for two
// connections; each of Sent and Received is called for one message after another,
// in the order of the wire.
type Tracer struct {
	// Connected is called when a connection is there, before its first message:
	// the greeting comes afterwards, as a message like any other.
	Connected func(TraceConnected)

	// Sent is called for each message before its first byte is written, so that it
	// comes before the reply. A message may still be taken back, or fail to be
	// written: see Unsent.
	Sent func(TraceMessage)

	// Unsent is called if no byte of the message of the last Sent was written, and
	// none will be: its context ended first, or the connection had failed.
	Unsent func(TraceMessage)

	// Received is called for each whole message, as it came, before it is dealt
	// with.
	Received func(TraceMessage)

	// Ended is called once for each Connected, when no other function is going to
	// be called for that connection. Disconnect returns after it.
	Ended func(TraceEnded)
}

// TraceConnected says that a connection is there.
type TraceConnected struct {
	Session       uint64 // counts the connections of this client, from 1
	Time          time.Time
	Address       string   // as the caller gave it
	Local, Remote net.Addr // as the connection has them; may be nil
}

// TraceMessage is one message. Its bytes are the engine's: copy what you keep.
type TraceMessage struct {
	Session uint64
	Time    time.Time

	// Message is the whole message, with its secrets. What SendFiles sends is a
	// single space.
	Message json.RawMessage

	// Files is how many descriptors are sent along. (What the server sends is not
	// kept, and not counted.)
	Files int

	masked func() []byte
}

// Masked returns the message as it is logged: without known secrets. It may be
// called while the Tracer's function runs, and not later.
func (m TraceMessage) Masked() json.RawMessage { return m.masked() }

// TraceEnded says that a connection has ended.
type TraceEnded struct {
	Session uint64
	Time    time.Time
	Err     error // what Disconnect or the failed connect returns about it; nil for an orderly end
}

// traced calls f for every tracer that the client has.
func (s *session) traced(f func(*Tracer)) {
	for _, t := range s.client.opts.Tracers {
		if t != nil {
			f(t)
		}
	}
}

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

// traceSent shows what wbuf holds. The caller holds the turn.
func (s *session) traceSent(c *call, went bool) {
	if len(s.client.opts.Tracers) == 0 {
		return
	}
	msg := s.wbuf
	ev := TraceMessage{
		Session: s.number, Time: time.Now(), Message: slices.Clip(msg), Files: len(c.cmd.Files),
		masked: func() []byte { return mask(msg) },
	}
	s.traced(func(t *Tracer) {
		if f := t.Sent; went && f != nil {
			f(ev)
		}
		if f := t.Unsent; !went && f != nil {
			f(ev)
		}
	})
}

// traceReceived shows a message as it came.
//
// Lower half: runs on readLoop.
func (s *session) traceReceived(raw []byte) {
	if len(s.client.opts.Tracers) == 0 {
		return
	}
	ev := TraceMessage{
		Session: s.number, Time: time.Now(), Message: slices.Clip(raw),
		masked: func() []byte { return s.maskReceived(proto.ParseMessage(raw)) },
	}
	s.traced(func(t *Tracer) {
		if t.Received != nil {
			t.Received(ev)
		}
	})
}

// traceEnded is the last thing that readLoop does. With the turn nobody else is in
// the middle of showing a message, and nobody begins to send one any more.
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
