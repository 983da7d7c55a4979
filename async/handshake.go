package async

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/proto"
)

// A handshake is the greeting and the negotiation of capabilities, at the beginning
// of a session (QMP specification, "Capabilities Negotiation"). Two goroutines share
// it: readLoop, which receives its messages, and the goroutine that connects, which
// runs session.greetAndNegotiate. The comment of each field says who uses it.
type handshake struct {
	// Not written after newHandshake.
	firstID     uint64 // the first of the engine's ids in this session: that of qmp_capabilities
	greets      bool   // the server is expected to greet
	negotiates  bool   // this side is to send qmp_capabilities
	greeted     *call  // readLoop answers it when it has written greeting
	negotiation *call  // qmp_capabilities; readLoop answers it with the reply

	greeting *Greeting // nil before it came; written by readLoop before it answers greeted, read by both after that

	asked    chan struct{} // closed when qmp_capabilities is submitted, or the handshake has given up; until then an end of file must not end the session
	hasAsked func()        // closes asked, once
}

// newHandshake returns the handshake that a session is to do, or nil for none. bare
// leaves out the whole handshake.
func newHandshake(c *Client, bare bool) *handshake {
	h := &handshake{
		firstID:     c.lastID.Load() + 1,
		greets:      !bare && !c.opts.SkipGreeting,
		negotiates:  !bare && !c.opts.SkipNegotiation,
		greeted:     newCall(command, nil),
		negotiation: newCall(negotiation, nil),
		asked:       make(chan struct{}),
	}
	if !h.greets && !h.negotiates {
		return nil
	}
	h.hasAsked = sync.OnceFunc(func() { close(h.asked) })
	return h
}

// awaitsGreeting reports whether the greeting is what comes next.
//
// Lower half: runs on readLoop.
func (h *handshake) awaitsGreeting() bool { return h.greets && h.greeting == nil }

// awaitsReply reports whether the reply to qmp_capabilities is what comes next. h is
// nil if there is no handshake, or if it is over.
//
// Lower half: runs on readLoop.
func (h *handshake) awaitsReply() bool { return h != nil && !h.awaitsGreeting() }

// failure returns cause, which is a [ProtocolError], as a [*GreetingError] or a
// [*NegotiationError], depending on what was to come next. h is nil if there is no
// handshake, or if it is over; failure returns cause unchanged then.
//
// Lower half: runs on readLoop.
func (h *handshake) failure(cause error) error {
	switch {
	case h == nil:
		return cause
	case h.awaitsGreeting():
		if _, ok := cause.(*GreetingError); ok {
			return cause
		}
		return &GreetingError{Err: cause}
	default:
		if _, ok := cause.(*NegotiationError); ok {
			return cause
		}
		return &NegotiationError{Err: cause}
	}
}

// isReply reports whether m, which is not an event, is taken for the reply to
// qmp_capabilities. No other command has been sent in this session. So m is taken for
// it even if it has no id, or came before qmp_capabilities was sent.
//
// But if a client goes before QEMU has replied to its command, QEMU sends that reply to
// the next client. So m is not taken for it if it has an id of an earlier session of
// this client, or if it is an error reply with an id that qmp_capabilities does not
// have.
func (h *handshake) isReply(m *proto.Message) bool {
	earlier := m.ID.Kind == proto.NumberID && m.ID.Number < h.firstID
	another := m.Error != nil && m.ID.Kind != proto.NoID && m.ID != proto.Number(h.firstID)
	return !earlier && !another
}

// greetAndNegotiate does the handshake: it waits for the greeting, which it stores in
// s, and negotiates capabilities. ctx bounds it. h is nil for no handshake. If it
// returns an error, the caller ends the session.
func (s *session) greetAndNegotiate(ctx context.Context, h *handshake) error {
	if h != nil {
		defer h.hasAsked()
		if h.greets {
			limit, stop := s.client.greetingLimit(ctx)
			defer stop()
			select {
			case <-h.greeted.reply:
				s.greeting = h.greeting
			case <-limit.Done():
				return &GreetingError{Err: fmt.Errorf("%w (%s)", contexts.Err(limit), mayBe)}
			case <-s.done:
				return s.whyHandshakeEnded()
			}
		}
		if h.negotiates {
			if err := s.negotiate(ctx, h); err != nil {
				return err
			}
		}
	}
	// A message that came in the same packet may have ended the session already.
	select {
	case <-s.done:
		return s.whyHandshakeEnded()
	default:
		return nil
	}
}

// greetingLimit returns ctx with the limit of Reconnect.GreetingTimeout.
func (c *Client) greetingLimit(ctx context.Context) (context.Context, context.CancelFunc) {
	r := c.opts.Reconnect
	if r == nil || r.GreetingTimeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, r.GreetingTimeout, &TimeoutError{
		Op: "greeting", Limit: r.GreetingTimeout, Option: "async.Options.Reconnect.GreetingTimeout",
	})
}

// mayBe is advice for an error: it names what accepts a connection and does not greet.
const mayBe = "is another client connected? QEMU serves one at a time and lets others wait. " +
	"The QEMU guest agent does not greet: set SkipGreeting and SkipNegotiation. " +
	"Nor does a TLS server, before the client begins, or a server of another protocol"

// negotiate sends qmp_capabilities and waits for the reply.
func (s *session) negotiate(ctx context.Context, h *handshake) error {
	oob := s.greeting != nil && !s.client.opts.NoOOB && slices.Contains(s.greeting.Capabilities, "oob")
	var args struct {
		Enable []string `json:"enable,omitzero"`
	}
	if oob {
		args.Enable = []string{"oob"}
	}
	out, err := Command{Name: "qmp_capabilities", Args: args}.prepare(s.client.opts.maxSend())
	if err != nil {
		return err
	}
	h.negotiation.cmd = out
	if err := s.submit(ctx, h.negotiation); err != nil {
		if interrupted, ok := errors.AsType[*ExecInterruptedError](err); ok {
			return interrupted.Err
		}
		return err
	}
	h.hasAsked()
	if _, err := s.await(ctx, h.negotiation); err != nil {
		select {
		case <-s.done:
			return s.whyHandshakeEnded()
		default:
			return &NegotiationError{Err: fmt.Errorf("no reply: %w", contexts.Err(ctx))}
		}
	}
	if oob {
		s.calls.enableOOB()
	}
	return nil
}

// whyHandshakeEnded returns what Disconnect would return about the end of the session,
// or else its cause. done is closed before.
func (s *session) whyHandshakeEnded() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.report != nil {
		return s.report
	}
	return s.cause
}
