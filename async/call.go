package async

import (
	"context"
	"fmt"
	"time"

	"github.com/goqmp/qmp/internal/proto"
)

// A call is one command on its way through a session.
type call struct {
	cmd   *outgoing
	reply chan answer // takes the one answer: from readLoop, or from the holder of turn

	// Guarded by session.mu.
	id        proto.ID
	since     time.Time // when it was entered as pending
	begun     bool      // at least one byte may be on the wire
	withdrawn bool      // its context ended before that: it is not to be sent
	abandoned bool      // its caller is gone, its reply is to be dropped
	windowed  bool      // it holds a place in session.window
	exclusive bool      // it holds the place in session.descriptors

	decided chan struct{} // closed, with mu held, when begun is final and the files are not touched any more
}

// newCall returns a call that has not gone anywhere yet.
func newCall(out *outgoing) *call {
	return &call{cmd: out, reply: make(chan answer, 1), decided: make(chan struct{})}
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
	c := newCall(out)
	if err := ctx.Err(); err != nil {
		return proto.Message{}, s.interrupted(c, contextError(ctx), "")
	}
	if len(out.Files) > 0 {
		if err := s.out.CheckFiles(); err != nil {
			return proto.Message{}, refused(out.label(), err)
		}
	}
	if err := s.pass(ctx, c); err != nil {
		return proto.Message{}, err
	}
	if err := s.takeTurn(ctx); err != nil {
		s.leaveGates(c)
		return proto.Message{}, s.interrupted(c, err, "waiting for its turn to be written")
	}
	if err := s.enter(c); err != nil {
		s.giveTurn()
		s.leaveGates(c)
		return proto.Message{}, err
	}
	s.write(c)
	return s.await(ctx, c)
}

// pass leads c through the gates that are in force for it.
func (s *session) pass(ctx context.Context, c *call) error {
	s.mu.Lock()
	oob := s.oob
	s.mu.Unlock()
	if !oob {
		if c.cmd.OOB {
			return fmt.Errorf("%s%s: %w", prefix(s.client.name()), c.cmd.label(), ErrNoOOB)
		}
		return nil
	}
	if len(c.cmd.Files) > 0 {
		// Two in flight would get each other's descriptors: with oob enabled,
		// QEMU keeps the newest that it received, not one per command.
		if err := s.passGate(ctx, c, &s.descriptors, &c.exclusive); err != nil {
			return err
		}
	}
	if !c.cmd.OOB {
		if err := s.passGate(ctx, c, &s.window, &c.windowed); err != nil {
			s.leaveGates(c)
			return err
		}
	}
	return nil
}

func (s *session) passGate(ctx context.Context, c *call, g *gate, passed *bool) error {
	s.mu.Lock()
	w := g.enter(c)
	*passed = w == nil
	s.mu.Unlock()
	if w == nil {
		return nil
	}
	var err error
	select {
	case <-w.granted:
		s.mu.Lock()
		*passed = true
		s.mu.Unlock()
		return nil
	case <-ctx.Done():
		err = contextError(ctx)
	case <-s.closing:
		err = ErrClosed
	case <-s.done:
		err = s.whyEnded()
	}
	s.mu.Lock()
	g.forget(w)
	note := "waiting behind other commands"
	if oldest := s.oldest(); oldest != nil {
		note = fmt.Sprintf("waiting behind %d unanswered commands, the oldest of them %s, for %v",
			len(s.pending), oldest.cmd.label(), time.Since(oldest.since).Round(time.Millisecond))
	}
	s.mu.Unlock()
	return s.interrupted(c, err, note)
}

// leaveGates gives back the places that c holds.
func (s *session) leaveGates(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaveGatesLocked(c)
}

func (s *session) leaveGatesLocked(c *call) {
	if c.windowed {
		c.windowed = false
		s.window.leave()
	}
	if c.exclusive {
		c.exclusive = false
		s.descriptors.leave()
	}
	s.window.arrived(c)
	s.descriptors.arrived(c)
}

// enter makes c pending, with its id, and encodes it into wbuf. The caller
// holds the turn.
func (s *session) enter(c *call) error {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		<-s.done
		return s.interrupted(c, s.whyEnded(), "")
	}
	id := c.cmd.id
	if id.Kind == proto.NoID {
		id = s.client.nextID()
	} else if _, taken := s.pending[id]; taken {
		s.mu.Unlock()
		return &InvalidIDError{ID: fmt.Sprintf("%q", id.Text), Reason: "belongs to a command that is still unanswered"}
	}
	c.id, c.since = id, time.Now()
	s.pending[id] = c
	s.peak = max(s.peak, len(s.pending))
	s.window.arrived(c)
	s.descriptors.arrived(c)
	s.mu.Unlock()

	err := s.encode(c)
	if err != nil {
		s.mu.Lock()
		delete(s.pending, id)
		s.mu.Unlock()
	}
	return err
}

// encode puts the whole message into wbuf. The caller holds the turn.
func (s *session) encode(c *call) error {
	s.wbuf = c.cmd.append(s.wbuf[:0], c.id)
	if err := s.check(c); err != nil {
		return err
	}
	if hook := s.client.opts.OnSend; hook != nil {
		if other := hook(s.wbuf); other != nil {
			buf, err := proto.AppendObject(s.wbuf[:0], other)
			if err != nil {
				return refused(c.cmd.label(), fmt.Errorf("replaced by Options.OnSend: %w", err))
			}
			s.wbuf = buf
			if err := s.check(c); err != nil {
				return err
			}
		}
	}
	s.logSent(s.wbuf)
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

// await waits for the reply of c, which was handed to the writing role.
func (s *session) await(ctx context.Context, c *call) (proto.Message, error) {
	if len(c.cmd.Files) > 0 {
		defer func() { <-c.decided }() // the files are the caller's again when the call returns
	}
	select {
	case a := <-c.reply:
		return a.message, a.err
	case <-ctx.Done():
		return s.cancel(ctx, c)
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

// cancel ends c, and only c, because its context ended.
func (s *session) cancel(ctx context.Context, c *call) (proto.Message, error) {
	s.withdraw(c)
	s.mu.Lock()
	select {
	case a := <-c.reply: // it came first after all
		s.mu.Unlock()
		return a.message, a.err
	default:
	}
	switch {
	case c.withdrawn:
		s.settle(c)
	case s.pending[c.id] != c:
		// It is settled: its reply is about to be handed out, or it could not be
		// sent.
	case !s.oob && c.id.Kind == proto.NumberID && c.cmd.Name != "quit":
		// An id of the engine's is never used again, so a late reply is
		// recognised without the entry.
		s.settle(c)
		s.forsake(c)
	default:
		c.abandoned = true // its place in the window is taken until the server answers
		c.cmd.forget()
	}
	s.mu.Unlock()
	return proto.Message{}, s.interrupted(c, contextError(ctx), "")
}

// forsake notes that c may be answered yet, possibly without an id. mu is held.
func (s *session) forsake(c *call) {
	if f := &s.forsaken; c.id.Number > f.newest {
		f.newest, f.takes = c.id.Number, c.cmd.TakesUnattributed
	}
	s.forsaken.count++
}

// settle ends c's time as an unanswered command. mu is held.
func (s *session) settle(c *call) {
	if s.pending[c.id] == c { // the id may be another's by now
		delete(s.pending, c.id)
		if len(s.pending) == 0 && s.peak > keepPending {
			s.pending, s.peak = make(map[proto.ID]*call), 0 // a map does not shrink
		}
	}
	s.leaveGatesLocked(c)
}

// interrupted wraps why c ended without a reply.
func (s *session) interrupted(c *call, why error, note string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &ExecInterruptedError{
		Command: c.cmd.label(), Sent: c.begun && !c.withdrawn,
		Client: s.client.name(), Note: note, Err: why,
	}
}
