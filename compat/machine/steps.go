package machine

import (
	"context"
	"slices"
	"syscall"
	"time"

	"github.com/goqmp/qmp/async"
)

// An Action is one way to end a process.
type Action string

// The actions, in the order in which they are taken.
const (
	ActionPowerDown Action = "system_powerdown" // presses the guest's power button; only PowerDown does
	ActionQuit      Action = "quit"             // the QMP command
	ActionTerminate Action = "SIGTERM"
	ActionKill      Action = "SIGKILL"
)

// limitedBy names the option that limits an action, for errors.
var limitedBy = map[Action]string{
	ActionPowerDown: "machine.Options.PowerDownTimeout",
	ActionQuit:      "machine.Options.QuitTimeout",
	ActionTerminate: "machine.Options.TerminateTimeout",
	ActionKill:      "machine.Options.KillTimeout",
}

// quit is the QMP command.
const quit = string(ActionQuit)

// A Step is one action that was taken to end the process.
type Step struct {
	Action Action
	Took   time.Duration // how long the step took, with the wait for the end of the process
	Err    error         // why the action failed, or the wait was given up; nil otherwise
}

// end takes one step after another until the process has ended.
func (r *run) end(s *stopping) []Step {
	opts := &r.machine.opts
	var steps []Step
	// act does the action. It reports whether to wait for the end of the process.
	take := func(ctx context.Context, action Action, limit time.Duration, act func(context.Context) (bool, error)) {
		if r.process.hasEnded() || ctx.Err() != nil || limit < 0 {
			return
		}
		start := time.Now()
		ctx, done := context.WithTimeoutCause(ctx, limit, &async.TimeoutError{Op: string(action), Limit: limit, Option: limitedBy[action]})
		defer done()
		wait, err := act(ctx)
		if wait {
			r.process.await(ctx)
		}
		steps = append(steps, Step{Action: action, Took: time.Since(start), Err: err})
	}
	if s.way == byGuest {
		take(s.gentle, ActionPowerDown, orDefault(opts.PowerDownTimeout, DefaultPowerDownTimeout), r.powerDown)
	}
	quitLimit := orDefault(opts.QuitTimeout, DefaultQuitTimeout)
	if len(steps) == 0 {
		r.awaitEnding(s.urgent, quitLimit/2)
	}
	// If this program has disconnected the client, nothing can be asked. If the
	// connection has ended by itself, the process may be ending: then the step waits
	// for that, and askToQuit says why it could not ask.
	if opts.Monitor != MonitorNone && r.machine.client.Runstate() != async.Idle {
		take(s.urgent, ActionQuit, quitLimit,
			func(ctx context.Context) (bool, error) { return true, r.askToQuit(ctx) })
	}
	if canTerminate {
		take(s.urgent, ActionTerminate, orDefault(opts.TerminateTimeout, DefaultTerminateTimeout),
			func(context.Context) (bool, error) { return true, r.process.terminate() })
	}
	take(context.Background(), ActionKill, r.killTimeout(),
		func(context.Context) (bool, error) { return true, r.process.kill() })
	return steps
}

// awaitEnding waits for the process if the events say that QEMU is about to end, but
// not longer than limit: a quit that arrives while QEMU 7.2 ends can make it hang for
// ever.
func (r *run) awaitEnding(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for alive := true; alive; {
		seen := r.machine.events.fateOfGuest()
		if !seen.ending() {
			return
		}
		_, alive = r.awaitFate(ctx, seen, nil)
	}
}

// askToQuit executes quit, unless QEMU has answered one already.
func (r *run) askToQuit(ctx context.Context) error {
	if r.quit.Load() {
		return nil
	}
	if err := r.machine.events.whyEnded(); err != nil {
		return err
	}
	_, err := r.machine.client.Execute(ctx, quit, nil)
	return err
}

func (r *run) killTimeout() time.Duration {
	return max(0, orDefault(r.machine.opts.KillTimeout, DefaultKillTimeout))
}

// endedWell reports whether the process has ended as [Machine.Shutdown] requires it.
// The step of PowerDown does not count as the first step.
func (r *run) endedWell(steps []Step) bool {
	exit := r.process.exit
	asked := slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return s.Action == ActionPowerDown })
	switch {
	case len(asked) > 1, len(asked) == 1 && asked[0].Action == ActionKill:
		return false
	case len(asked) == 1 && asked[0].Action == ActionTerminate && exit.Signal == syscall.SIGTERM:
		return true // a program without a handler for the signal ends this way
	case exit.Unknown && (len(steps) > 0 || r.quit.Load()):
		return true // it was asked to end, and has; more is not known
	}
	return exit.Success() || !exit.Unknown && exit.Signal == 0 && slices.Contains(r.machine.opts.ExitCodes, exit.Code)
}
