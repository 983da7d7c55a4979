package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
)

// A trust says whether the agent is known to answer. When a caller gives up waiting for a
// reply, the agent may be stopped, or it may have been restarted. The next command is not
// sent then before the agent has answered a guest-sync. So commands do not pile up in the
// line to an agent that does not answer, to be executed long after their callers have
// given up.
type trust struct {
	turn chan struct{} // has one token: the right to ask the agent

	mu    sync.Mutex // guards the fields below
	doubt bool       // a caller has given up since the agent last answered
}

func (t *trust) init() {
	t.turn = make(chan struct{}, 1)
	t.turn <- struct{}{}
}

// lose notes that a caller has given up.
func (t *trust) lose() { t.set(true) }

func (t *trust) set(doubt bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doubt = doubt
}

func (t *trust) lost() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.doubt
}

// awaitTrust returns when the agent has answered a guest-sync since a caller gave up last.
// command is the one that waits, for the error.
func (c *Client) awaitTrust(ctx context.Context, command string) error {
	if !c.trust.lost() || c.offer.refuses("guest-sync") {
		return nil
	}
	select {
	case <-c.trust.turn:
		defer func() { c.trust.turn <- struct{}{} }()
	case <-ctx.Done():
		return c.notSent(ctx, command)
	}
	if !c.trust.lost() {
		return nil // another caller has asked meanwhile
	}
	switch err := c.answers(ctx, c.engine, firstWait); {
	case err == nil:
		c.trust.set(false)
		return nil
	case ctx.Err() != nil:
		return c.notSent(ctx, command)
	default:
		return err
	}
}

// answers returns when the agent answers a guest-sync, which caller executes. It asks again after wait, and then
// each time after twice as long, since a question may be lost, for example when the guest
// restarts. The error says that ctx has ended, or the connection.
func (c *Client) answers(ctx context.Context, caller async.Caller, wait time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	result := make(chan error, 1)
	var giveUp []context.CancelFunc // for the questions without an answer, the oldest first
	for ; ; wait = min(2*wait, longestProbe) {
		if len(giveUp) == maxProbes {
			giveUp[0]()
			giveUp = giveUp[1:]
		}
		question, forget := context.WithCancel(ctx)
		giveUp = append(giveUp, forget)
		asking.Go(func() {
			err := guestSync(question, caller)
			if question.Err() != nil && ctx.Err() == nil {
				return // a later question counts
			}
			select {
			case result <- err:
			default: // another one was faster
			}
		})
		timer := time.NewTimer(wait)
		select {
		case err := <-result:
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

// maxProbes is how many questions of answers may be without an answer. For another one
// the oldest is given up. The agent answers in order, so the later ones are enough.
const maxProbes = 16

// longestProbe is the longest wait of answers before it asks again.
const longestProbe = time.Minute

// guestSync executes guest-sync.
func guestSync(ctx context.Context, caller async.Caller) error {
	number := rand.Int64()
	got, err := async.Call[int64](ctx, caller, "guest-sync", map[string]int64{"id": number})
	if err == nil && got != number {
		err = fmt.Errorf("the guest agent answers guest-sync with %d, want %d", got, number)
	}
	return err
}

// notSent returns the error of a command that was not sent, because ctx ended while it
// waited for the agent.
func (c *Client) notSent(ctx context.Context, command string) error {
	return &async.ExecInterruptedError{
		Command: command, Client: c.opts.Engine.Nickname, Err: contexts.Err(ctx),
		Note: "waiting for the guest agent, which has not answered an earlier command",
	}
}
