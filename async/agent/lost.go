package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/harmless"
)

// A LostReplyError says that the agent has answered a later command, but not this one. The
// agent executes commands in order. So the command, or its reply, was lost: the agent was
// restarted, or the guest was. The command may have been executed.
type LostReplyError struct {
	Command string
	Err     error // an [*async.ExecInterruptedError]
}

func (e *LostReplyError) Error() string {
	return fmt.Sprintf("qmp: %s: the guest agent has answered a later command, but not this one; it or the guest was restarted, and the command may have been executed", harmless.Line(e.Command))
}

func (e *LostReplyError) Unwrap() error { return e.Err }

// errLost ends the wait for a reply that is not going to come.
var errLost = errors.New("the guest agent has answered a later command")

// watched executes a command by caller, which is the engine. If the reply does not come for a while, it asks the agent
// with guest-sync whether it answers at all. When the agent answers that, the reply to the
// command is lost.
func (c *Client) watched(ctx context.Context, caller async.Caller, name string, cmd async.Command) (async.Reply, error) {
	after := c.opts.lostAfter()
	if after < 0 || c.wire.one() || c.offer.refuses("guest-sync") {
		return caller.Do(ctx, cmd)
	}
	waiting, cancel := context.WithCancelCause(ctx)
	var probe sync.WaitGroup
	probe.Add(1)
	timer := time.AfterFunc(after, func() {
		defer probe.Done()
		if c.answers(waiting, caller, after) == nil {
			cancel(errLost)
		}
	})
	reply, err := caller.Do(waiting, cmd)
	cancel(nil)
	if timer.Stop() {
		probe.Done()
	}
	probe.Wait()
	if ctx.Err() == nil && errors.Is(err, errLost) {
		err = &LostReplyError{Command: name, Err: err}
	}
	return reply, err
}
