package async

import (
	"context"
	"fmt"
	"slices"
)

// handshake waits for the greeting and negotiates capabilities (QMP
// specification, "Capabilities Negotiation"), bounded by ctx. It keeps the
// greeting in s. The caller ends the session on an error.
func (s *session) handshake(ctx context.Context) error {
	defer s.hasAsked()
	opts := &s.client.opts
	var g *Greeting
	if !s.skipGreeting {
		select {
		case g = <-s.greeted:
		case <-ctx.Done():
			return &GreetingError{Err: fmt.Errorf("%w (is another client connected? QEMU serves one at a time and lets others wait)", contextError(ctx))}
		case <-s.done:
			return s.whyHandshakeEnded()
		}
	}
	if !s.skipNegotiation {
		oob := g != nil && !opts.NoOOB && slices.Contains(g.Capabilities, "oob")
		if err := s.negotiate(ctx, oob); err != nil {
			return err
		}
		s.mu.Lock()
		s.oob = oob
		s.mu.Unlock()
	}
	// What came in the same packet behind the handshake may have ended it already.
	select {
	case <-s.done:
		return s.whyHandshakeEnded()
	default:
		s.greeting = g
		return nil
	}
}

// negotiate sends qmp_capabilities and waits for the answer, which the reader
// knows by its place rather than by its id.
func (s *session) negotiate(ctx context.Context, oob bool) error {
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
	c := newCall(out)
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	c.id = s.client.nextID()
	if err := s.encode(c); err != nil {
		s.giveTurn()
		return err
	}
	s.write(c)
	s.hasAsked()

	select {
	case <-s.negotiated:
		return nil
	case <-ctx.Done():
		return &NegotiationError{Err: fmt.Errorf("no reply: %w", contextError(ctx))}
	case <-s.done:
		return s.whyHandshakeEnded()
	}
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
