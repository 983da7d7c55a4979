package agent

import (
	"context"
	"errors"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/proto"
)

var _ async.Caller = (*Client)(nil)

// Do executes a command, waits for the reply, and returns the whole reply, as
// [async.Client.Do] does. It differs in five things:
//
//   - If the agent does not offer the command, the error is a [*DisabledError], and nothing
//     is sent.
//   - guest-shutdown and the commands guest-suspend-* have no reply if they succeed. Do
//     waits for an error for the time of Options.NoReplyWait. After that, and also if the
//     connection ends, the reply is an empty success.
//   - After a caller has given up waiting, the next command waits until the agent answers
//     again. If it does not, the command is not sent, and
//     [async.ExecInterruptedError.SafeToRetry] is true.
//   - If the agent answers a later command, but not this one, the error is a
//     [*LostReplyError].
//   - If the agent does not send ids back, commands are executed one at a time.
func (c *Client) Do(ctx context.Context, cmd async.Command) (async.Reply, error) {
	name := cmd.Name
	if cmd.Object != nil {
		if raw, err := proto.AppendObject(nil, cmd.Object); err == nil { // the engine reports the error
			name = proto.ParseCommand(raw).Name
		}
	}
	if err := c.checkOffered(ctx, name); err != nil {
		return async.Reply{}, err
	}
	return c.exchange(ctx, name, cmd)
}

// exchange executes a command of which it is known that the agent offers it.
func (c *Client) exchange(ctx context.Context, name string, cmd async.Command) (async.Reply, error) {
	if c.wire.one() {
		select {
		case <-c.turn:
			defer func() { c.turn <- struct{}{} }()
		case <-ctx.Done():
			return async.Reply{}, c.notSent(ctx, name)
		}
	}
	if err := c.awaitTrust(ctx, name); err != nil {
		return async.Reply{}, err
	}
	if c.offer.repliesOnlyErrors(name) {
		return c.awaitError(ctx, name, cmd)
	}
	reply, err := c.watched(ctx, c.engine, name, cmd)
	if gaveUp(ctx, err) {
		c.trust.lose()
	}
	return reply, err
}

// gaveUp reports whether err says that a command was sent, and that ctx ended before its
// reply came.
func gaveUp(ctx context.Context, err error) bool {
	interrupted, ok := errors.AsType[*async.ExecInterruptedError](err)
	return ok && interrupted.Sent && ctx.Err() != nil
}

// errNoReply ends the wait for an error reply.
var errNoReply = errors.New("no error within the time limit agent.Options.NoReplyWait")

// awaitError executes a command that has no reply if it succeeds.
func (c *Client) awaitError(ctx context.Context, name string, cmd async.Command) (async.Reply, error) {
	limited, cancel := context.WithTimeoutCause(ctx, c.opts.noReplyWait(), errNoReply)
	defer cancel()
	reply, err := c.engine.Do(limited, cmd)
	if err == nil {
		return reply, nil
	}
	if gaveUp(limited, err) {
		c.trust.lose()
	}
	interrupted, ok := errors.AsType[*async.ExecInterruptedError](err)
	if ok && interrupted.Sent && (errors.Is(err, errNoReply) || async.HungUp(err)) {
		return async.ParseReply(name, []byte(`{"return": {}}`))
	}
	return reply, err
}

// An exchanger is the [async.Caller] of commands that need no look at the agent's offer.
type exchanger struct{ c *Client }

func (e exchanger) Do(ctx context.Context, cmd async.Command) (async.Reply, error) {
	return e.c.exchange(ctx, cmd.Name, cmd)
}
