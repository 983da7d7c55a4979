package async

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/proto"
)

// This file has the way of a command from its caller to the wire and back. What a
// session keeps about all its commands is in calls.go, and writing is in write.go.

// A call is one message to send, and the answer to it.
type call struct {
	kind  kind
	cmd   *outgoing   // not written after the call is submitted, except by forget
	reply chan answer // has room for one answer; readLoop or the holder of turn sends it

	// decided is closed, with calls.mu held, when progress says whether a byte of the
	// message has been written. The files of the call are not used after that.
	decided chan struct{}

	// Guarded by calls.mu.
	progress progress
	id       proto.ID
	since    time.Time // when it became pending
}

// A kind says what answers a call.
type kind int

const (
	command     kind = iota // the reply with its id
	negotiation             // the next reply of the handshake: of qmp_capabilities
	filesAlone              // nothing: the call is over when the message is sent
	probe                   // the reply with its id, which keepalive learns of and nobody waits for
)

// newCall returns a call that is not submitted yet.
func newCall(kind kind, out *outgoing) *call {
	return &call{kind: kind, cmd: out, reply: make(chan answer, 1), decided: make(chan struct{})}
}

// end answers c, and never waits. Only the first answer counts: a server may reply to
// a command that is still being written, and the write may then fail.
func (c *call) end(a answer) {
	select {
	case c.reply <- a:
	default:
	}
}

// An answer is what the session tells a call: a reply, or why it is not sent.
type answer struct {
	message proto.Message // the zero message for a call of kind filesAlone
	err     error         // why the command could not be sent
}

// Do executes cmd, waits for the reply, and returns the whole reply. An error reply
// is not an error here: [Reply.Err] returns it. All other errors are those of
// [Client.Execute]; an [*InvalidIDError] if cmd.ID cannot be used; and [ErrNoOOB] if
// cmd.OOB is set on a connection without that capability.
func (c *Client) Do(ctx context.Context, cmd Command) (Reply, error) {
	out, err := cmd.prepare(c.opts.maxSend())
	if err != nil {
		return Reply{}, err
	}
	out.entry = c.newEntry(ctx, cmd.OOB)
	defer out.entry.entered()
	for {
		s, err := c.session(ctx, out.entry, "execute "+out.label(), out.label())
		if err != nil {
			return Reply{}, err
		}
		m, err := s.do(ctx, out)
		if err == nil {
			return newReply(out, m), nil
		}
		if out.entry == nil || !c.waitsAgain(ctx, s, err) {
			return Reply{}, err
		}
	}
}

// waitsAgain reports whether a call that failed on s with err is to wait for the next
// connection: nothing of it was sent, because the connection ended unexpectedly.
func (c *Client) waitsAgain(ctx context.Context, s *session, err error) bool {
	interrupted, ok := errors.AsType[*ExecInterruptedError](err)
	if !ok || interrupted.Sent || ctx.Err() != nil || !s.hasEnded() || errors.Is(err, ErrClosed) {
		return false
	}
	state := c.now().state()
	return state == Connecting || state == Running
}

// do executes a command: it waits at the gates, writes the message, and waits for the
// reply.
func (s *session) do(ctx context.Context, out *outgoing) (proto.Message, error) {
	c := newCall(command, out)
	if err := ctx.Err(); err != nil {
		return proto.Message{}, s.interrupted(c, contexts.Err(ctx), "")
	}
	if len(out.Files) > 0 {
		if err := s.out.CheckFiles(); err != nil {
			return proto.Message{}, refused(out.label(), err)
		}
	}
	if err := s.pass(ctx, c); err != nil {
		return proto.Message{}, err
	}
	if err := s.submit(ctx, c); err != nil {
		return proto.Message{}, err
	}
	return s.await(ctx, c)
}

// pass waits at the gates that c has to pass. There are none without oob.
func (s *session) pass(ctx context.Context, c *call) error {
	if !s.calls.hasOOB() {
		if c.cmd.OOB {
			return fmt.Errorf("%s%s: %w", prefix(s.client.name()), words(c.cmd.label()), ErrNoOOB)
		}
		return nil
	}
	if len(c.cmd.Files) > 0 {
		// With oob enabled QEMU keeps the newest descriptors that it received, and not
		// those of each command. Two unanswered commands would get each other's.
		if err := s.passGate(ctx, c, &s.calls.descriptors); err != nil {
			return err
		}
	}
	if !c.cmd.OOB {
		return s.passGate(ctx, c, &s.calls.window)
	}
	return nil
}

// passGate waits until c may pass g. If it returns an error, c has no place at any
// gate any more.
func (s *session) passGate(ctx context.Context, c *call, g *gate) error {
	w := s.calls.enter(g, c)
	if w == nil {
		return nil
	}
	c.cmd.entry.entered()
	var err error
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
		err = contexts.Err(ctx)
	case <-s.closing:
		err = ErrClosed
	case <-s.done:
		err = s.whyEnded()
	}
	note := s.calls.forget(g, w)
	s.calls.drop(c)
	return s.interrupted(c, err, note)
}

// submit takes the turn, encodes the message of c and writes it. It does not wait for
// the server to read it. If it returns an error, nothing of c was sent, and c has no
// place at any gate any more.
//
// It serves every kind of call. The caller goes on with await.
func (s *session) submit(ctx context.Context, c *call) error {
	if err := s.takeTurn(ctx); err != nil {
		s.calls.drop(c)
		return s.interrupted(c, err, "waiting for its turn to be written")
	}
	c.cmd.entry.entered()
	err := s.calls.start(c)
	if err == nil {
		err = s.encode(c)
	}
	if err == nil {
		s.write(c)
		return nil
	}
	s.giveTurn()
	s.calls.drop(c)
	if err == errEnded {
		<-s.done
		err = s.interrupted(c, s.whyEnded(), "")
	}
	return err
}

// encode puts the whole message of c into wbuf. The caller holds the turn.
func (s *session) encode(c *call) error {
	if c.kind == filesAlone {
		s.wbuf = append(s.wbuf[:0], ' ')
		s.traceSent(c, true)
		return nil
	}
	s.wbuf = c.cmd.append(s.wbuf[:0], c.id)
	if err := s.check(c); err != nil {
		return err
	}
	if hook := s.client.opts.OnSend; hook != nil {
		if other := hook(s.wbuf); other != nil {
			buf, err := proto.AppendObject(s.wbuf[:0], other)
			if err != nil {
				return refused(c.cmd.label(), fmt.Errorf("what async.Options.OnSend returned: %w", err))
			}
			s.wbuf = buf
			if err := s.check(c); err != nil {
				return err
			}
		}
	}
	s.logSent(s.wbuf)
	s.traceSent(c, true)
	return nil
}

// check returns an error if wbuf has a message that QEMU could not read.
func (s *session) check(c *call) error {
	if err := c.cmd.checkSize(len(s.wbuf), s.client.opts.maxSend()); err != nil {
		return err
	}
	switch err := proto.CheckSend(s.wbuf); err {
	case nil:
		return nil
	case proto.ErrDepth:
		return &MessageError{
			Reason: TooDeep, Command: c.cmd.label(), Limit: proto.MaxSendDepth,
			Err: fmt.Errorf("%w: more than the %d levels that QEMU is sent", err, proto.MaxSendDepth),
		}
	default:
		return refused(c.cmd.label(), err)
	}
}

// await waits for the answer to c, which was submitted.
func (s *session) await(ctx context.Context, c *call) (proto.Message, error) {
	if len(c.cmd.Files) > 0 {
		defer func() { <-c.decided }() // the files are not used any more when the call returns
	}
	select {
	case a := <-c.reply:
		return a.message, a.err
	case <-ctx.Done():
		s.withdraw(c)
		if a, answered := s.calls.giveUp(c); answered { // it came before ctx ended, or meanwhile
			return a.message, a.err
		}
		return proto.Message{}, s.interrupted(c, contexts.Err(ctx), "")
	case <-s.done:
		<-c.decided // after this it is known whether c was sent; soon, since the connection is closed
		select {
		case a := <-c.reply: // it came before the end of the connection
			return a.message, a.err
		default:
			return proto.Message{}, s.interrupted(c, s.whyEnded(), "")
		}
	}
}

// interrupted returns the error of a call that ended without a reply. note says what
// it was waiting for, or is "".
func (s *session) interrupted(c *call, why error, note string) error {
	return &ExecInterruptedError{
		Command: c.cmd.label(), Sent: s.calls.wasSent(c),
		Client: s.client.name(), Note: note, Session: s.number, Err: why,
	}
}
