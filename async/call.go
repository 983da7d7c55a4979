package async

import (
	"context"
	"fmt"
	"time"

	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/proto"
)

// A call is one message on its way through a session, and what comes back.
type call struct {
	kind  kind
	cmd   *outgoing   // written before the call is submitted
	reply chan answer // takes the one answer: from readLoop, or from the holder of turn

	// decided is closed, with calls.mu held, when progress does not depend on the
	// writer any more, and the files are not touched any more.
	decided chan struct{}

	// Guarded by calls.mu.
	progress progress
	id       proto.ID
	since    time.Time // when it was entered as pending
}

// A kind says what answers a call.
type kind int

const (
	command     kind = iota // the reply with its id
	negotiation             // the reply at its place: qmp_capabilities
	filesAlone              // nothing: it is over when it is sent
)

// newCall returns a call that has not gone anywhere yet.
func newCall(kind kind, out *outgoing) *call {
	return &call{kind: kind, cmd: out, reply: make(chan answer, 1), decided: make(chan struct{})}
}

// end answers c, and never waits. The first answer counts: a server may answer
// a command that is still being written, and then fails to be.
func (c *call) end(a answer) {
	select {
	case c.reply <- a:
	default:
	}
}

// answer is what a call ends with, if the session answers it at all.
type answer struct {
	message proto.Message
	err     error // why the command could not be sent
}

// Do executes cmd and returns the whole reply. An error reply is no error here:
// [Reply.Err] makes one of it. All other errors are those of [Client.Execute],
// and an [*InvalidIDError] for an unusable id.
func (c *Client) Do(ctx context.Context, cmd Command) (Reply, error) {
	out, err := cmd.prepare(c.opts.maxSend())
	if err != nil {
		return Reply{}, err
	}
	s, err := c.running("execute " + out.label())
	if err != nil {
		return Reply{}, err
	}
	m, err := s.do(ctx, out)
	if err != nil {
		return Reply{}, err
	}
	return newReply(out, m), nil
}

// do takes a command the whole way: through the gates, onto the wire, and back
// with its reply.
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

// pass leads c through the gates that are in force for it.
func (s *session) pass(ctx context.Context, c *call) error {
	if !s.calls.hasOOB() {
		if c.cmd.OOB {
			return fmt.Errorf("%s%s: %w", prefix(s.client.name()), c.cmd.label(), ErrNoOOB)
		}
		return nil
	}
	if len(c.cmd.Files) > 0 {
		// Two in flight would get each other's descriptors: with oob enabled,
		// QEMU keeps the newest that it received, not one per command.
		if err := s.passGate(ctx, c, &s.calls.descriptors); err != nil {
			return err
		}
	}
	if !c.cmd.OOB {
		return s.passGate(ctx, c, &s.calls.window)
	}
	return nil
}

// passGate waits until c may pass g. On an error c holds no place at any gate.
func (s *session) passGate(ctx context.Context, c *call, g *gate) error {
	w := s.calls.enter(g, c)
	if w == nil {
		return nil
	}
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

// submit takes the turn, makes the message of c and writes it. It does not wait
// for the peer. On an error nothing of c was sent, and it holds no place at any
// gate.
//
// Commands, the negotiation and descriptors without a command all come this way,
// and wait with await.
func (s *session) submit(ctx context.Context, c *call) error {
	if err := s.takeTurn(ctx); err != nil {
		s.calls.drop(c)
		return s.interrupted(c, err, "waiting for its turn to be written")
	}
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

// encode puts the whole message into wbuf. The caller holds the turn.
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
				return refused(c.cmd.label(), fmt.Errorf("replaced by async.Options.OnSend: %w", err))
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

// check refuses what wbuf holds if QEMU could not read it.
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
//
// (Whoever waits here could read for itself: the answer would then come without a
// change of goroutines. The reading role would be a token like turn.)
func (s *session) await(ctx context.Context, c *call) (proto.Message, error) {
	if len(c.cmd.Files) > 0 {
		defer func() { <-c.decided }() // the files are the caller's again when the call returns
	}
	select {
	case a := <-c.reply:
		return a.message, a.err
	case <-ctx.Done():
		s.withdraw(c)
		if a, answered := s.calls.giveUp(c); answered { // it came first after all
			return a.message, a.err
		}
		return proto.Message{}, s.interrupted(c, contexts.Err(ctx), "")
	case <-s.done:
		<-c.decided // at once, since the connection is closed: only now is it known whether c was sent
		select {
		case a := <-c.reply: // it came just before the hang-up, so it counts
			return a.message, a.err
		default:
			return proto.Message{}, s.interrupted(c, s.whyEnded(), "")
		}
	}
}

// interrupted wraps why c ended without a reply.
func (s *session) interrupted(c *call, why error, note string) error {
	return &ExecInterruptedError{
		Command: c.cmd.label(), Sent: s.calls.wasSent(c),
		Client: s.client.name(), Note: note, Err: why,
	}
}
