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

// A handshake is the greeting and the negotiation of capabilities, at the
// beginning of a session (QMP specification, "Capabilities Negotiation"). It is
// shared by readLoop, which lets go of it when the last message of it has come,
// and by the goroutine that connects, in session.greetAndNegotiate.
type handshake struct {
	// Not written after newHandshake.
	firstID     uint64 // the engine's ids of this session begin here
	greets      bool   // the server is to greet
	negotiates  bool   // this side is to negotiate
	greeted     *call  // its answer says that greeting is written
	negotiation *call  // of qmp_capabilities; answered by readLoop, which knows the reply by its place

	greeting *Greeting // nil if none came; written by readLoop before it answers greeted, read after that

	asked    chan struct{} // closed once qmp_capabilities is being written, or is not going to be
	hasAsked func()        // closes asked, once
}

// newHandshake returns what is expected of a session, or nil for nothing. bare
// leaves the whole handshake out.
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

// awaitsReply reports whether the reply to qmp_capabilities is what comes next. h
// may be nil, which is a handshake that is over.
//
// Lower half: runs on readLoop.
func (h *handshake) awaitsReply() bool { return h != nil && !h.awaitsGreeting() }

// isReply reports whether m, which is no event, can be the reply to
// qmp_capabilities. One command is under way, so whatever else comes is its reply:
// a server may answer before the command, without an id or with another one. But
// QEMU gives the reply to a command whose client has gone to the next client (seen).
func (h *handshake) isReply(m proto.Message) bool {
	earlier := m.ID.Kind == proto.NumberID && m.ID.Number < h.firstID
	another := m.Error != nil && m.ID.Kind != proto.NoID && m.ID != proto.Number(h.firstID)
	return !earlier && !another
}

// greetAndNegotiate waits for the greeting and negotiates capabilities, bounded by ctx. It
// keeps the greeting in s. The caller ends the session on an error.
func (s *session) greetAndNegotiate(ctx context.Context, h *handshake) error {
	if h != nil {
		defer h.hasAsked()
		if h.greets {
			select {
			case <-h.greeted.reply:
				s.greeting = h.greeting
			case <-ctx.Done():
				return &GreetingError{Err: fmt.Errorf("%w (%s)", contexts.Err(ctx), mayBe)}
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
	// What came in the same packet after the handshake may have ended it already.
	select {
	case <-s.done:
		return s.whyHandshakeEnded()
	default:
		return nil
	}
}

// mayBe names the peers that accept a connection and do not greet.
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

// whyHandshakeEnded returns everything that is known about the end.
func (s *session) whyHandshakeEnded() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.report != nil {
		return s.report
	}
	return s.cause
}
