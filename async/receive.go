package async

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/secrets"
)

// receive handles one message from the server. If it returns an error, that ends the
// session.
//
// Lower half: runs on readLoop.
func (s *session) receive(m *proto.Message) error {
	s.traceReceived(m)
	if hook := s.client.opts.OnReceive; hook != nil {
		if other := hook(m.Raw); other != nil {
			valid := jsontext.Value(other).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
			if !valid || jsontext.Value(other).Kind() != '{' {
				return &MessageError{Reason: NotObject, Err: fmt.Errorf("what async.Options.OnReceive returned is not a JSON object: %q", shorten(other))}
			}
			// The hook may use its memory again. The framer returns messages without white space around them, too.
			*m = proto.ParseMessage(bytes.Clone(bytes.TrimSpace(other)))
		}
	}
	s.logReceived(m)
	if m.Event != nil && m.QMP == nil {
		s.arrivals.events = append(s.arrivals.events, m.Parts())
		return nil
	}
	switch h := s.handshake; {
	case h == nil:
		return s.route(m)
	case h.awaitsGreeting():
		return s.receiveGreeting(h, m)
	default:
		return s.receiveNegotiation(h, m)
	}
}

// receiveGreeting handles the first message that is not an event: it has to be the
// greeting.
func (s *session) receiveGreeting(h *handshake, m *proto.Message) error {
	g, err := newGreeting(m)
	if err != nil {
		return &GreetingError{Received: shorten(s.maskReply(m)), Err: err}
	}
	h.greeting = g
	s.ready = append(s.ready, delivery{call: h.greeted})
	if !h.negotiates {
		s.handshake = nil
	}
	return nil
}

// receiveNegotiation handles a message that comes after the greeting and is not an
// event: usually the reply to qmp_capabilities (see handshake.isReply).
func (s *session) receiveNegotiation(h *handshake, m *proto.Message) error {
	if m.QMP != nil {
		s.drop(m, "second greeting")
		return nil
	}
	if !h.isReply(m) {
		s.drop(m, "reply to another's command")
		return nil
	}
	if m.Return == nil || m.Error != nil {
		if class, desc, ok := proto.ParseError(m.Error); ok {
			return &NegotiationError{Class: class, Desc: desc}
		}
		return &NegotiationError{Err: fmt.Errorf("malformed reply: %q", shorten(s.maskReply(m)))}
	}
	s.ready = append(s.ready, delivery{call: h.negotiation})
	s.handshake = nil
	return nil
}

// route handles a message that comes after the handshake and is not an event: usually
// a reply. It finds the call that the reply answers.
func (s *session) route(m *proto.Message) error {
	switch {
	case m.QMP != nil:
		s.drop(m, "greeting after the handshake")
	case m.ID.Kind != proto.NoID:
		c, wanted := s.calls.answered(m.ID)
		if c == nil {
			s.drop(m, "reply that no command is waiting for")
			return nil
		}
		s.deliver(c, m, wanted)
	case m.Error != nil:
		return s.unattributed(m)
	default:
		s.drop(m, "neither event nor reply")
	}
	return nil
}

// deliver queues the reply m for flush, which delivers it to c. If the caller of c has
// given up, wanted is false, and m is dropped.
func (s *session) deliver(c *call, m *proto.Message, wanted bool) {
	if c.kind == probe {
		s.keepalive.answered()
		return
	}
	if c.cmd.Name == "quit" && m.Return != nil {
		s.mu.Lock()
		s.quitAnswered = true
		s.mu.Unlock()
	}
	if !c.cmd.preparing {
		s.served = true
	}
	if wanted {
		s.ready = append(s.ready, delivery{call: c, reply: m.Keep()})
	}
}

// unattributed handles an error reply without an id: the server could not parse a
// message, and cannot say which one. See calls.answeredWithoutID.
func (s *session) unattributed(m *proto.Message) error {
	c, wanted, known := s.calls.answeredWithoutID()
	if c != nil {
		s.deliver(c, m, wanted)
	}
	if known {
		return nil
	}
	class, desc, ok := proto.ParseError(m.Error)
	if !ok {
		desc = shorten(secrets.Reply(m.Raw, secrets.Unknown))
	}
	return &ServerParseError{Class: class, Desc: desc}
}
