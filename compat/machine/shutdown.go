package machine

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
)

// Shutdown ends the process: with the command quit, then with SIGTERM, then with
// SIGKILL, each with its own limit (see [Options]). When ctx ends it goes straight
// to SIGKILL; it always completes. Afterwards nothing of the machine is left, and
// it may be launched again.
//
// It returns nil if the process ended with exit code 0 at quit, or had done so
// before; without a monitor, also if it ended at SIGTERM. Else it returns an
// [*AbnormalShutdown] that says what happened. Of several callers, those that
// join the same end get the same error. Where the exit status is unknown (see
// [ExitStatus]), it is taken for 0 if the process ended after it was asked to. For a machine that was not launched it
// does nothing but remove its directory, and one whose launch is under way it
// calls off.
func (m *Machine) Shutdown(ctx context.Context) error { return m.stop(ctx, false) }

// Kill ends the process at once, with SIGKILL, and cleans up as Shutdown does. A
// Shutdown under way is hurried. The error is an [*AbnormalShutdown] if the
// process did not end within Options.KillTimeout.
func (m *Machine) Kill() error { return m.stop(context.Background(), true) }

// Wait waits until the process ends, and returns how. It ends nothing and cleans
// nothing up. The error is [ErrNotRunning], or what ctx ended with.
func (m *Machine) Wait(ctx context.Context) (ExitStatus, error) {
	m.mu.Lock()
	r := m.latest()
	m.mu.Unlock()
	if r == nil {
		return ExitStatus{}, fmt.Errorf("machine %s: wait: %w", m.opts.Name, ErrNotRunning)
	}
	select {
	case <-r.launched:
	case <-ctx.Done():
		return ExitStatus{}, fmt.Errorf("machine %s: wait: %w", m.opts.Name, contexts.Err(ctx))
	}
	p := m.process()
	if p == nil {
		return ExitStatus{}, fmt.Errorf("machine %s: wait: %w", m.opts.Name, ErrNotRunning)
	}
	if !p.await(ctx) {
		return ExitStatus{}, fmt.Errorf("machine %s: wait: %w", m.opts.Name, contexts.Err(ctx))
	}
	return p.exit, nil
}

// A stopping is one end of a process, under way. Several callers may share it.
type stopping struct {
	kill   bool                    // it was Kill that began
	urgent context.Context         // when it has ended: straight to SIGKILL
	hurry  context.CancelCauseFunc // ends urgent

	done chan struct{} // closed at the end
	err  error         // set before that
}

func (m *Machine) stop(ctx context.Context, kill bool) error {
	m.mu.Lock()
	r := m.run
	if r == nil {
		defer m.mu.Unlock()
		return m.removePlace()
	}
	s, first := r.stopping, r.stopping == nil
	if first {
		s = &stopping{kill: kill, done: make(chan struct{})}
		s.urgent, s.hurry = context.WithCancelCause(context.Background())
		r.stopping = s
	}
	m.mu.Unlock()

	switch {
	case kill:
		s.hurry(errKill)
	case ctx.Err() != nil:
		s.hurry(contexts.Err(ctx)) // before the first step, not at some time soon
	}
	defer context.AfterFunc(ctx, func() { s.hurry(contexts.Err(ctx)) })()
	if first {
		s.err = r.stop(s)
		m.mu.Lock()
		r.stopping = nil // if the process is still there, it can be tried again
		m.mu.Unlock()
		close(s.done)
	}
	<-s.done
	var abnormal *AbnormalShutdown
	if kill && errors.As(s.err, &abnormal) && abnormal.Exit != nil {
		return nil // it has ended, which is all that was asked for
	}
	return s.err
}

// stop ends the process, cleans up, and says what was not in order.
func (r *run) stop(s *stopping) error {
	m := r.machine
	defer s.hurry(nil) // lets go of urgent
	r.callOff(ErrStopped)
	<-r.launched
	if r.failed {
		return nil // the launch has cleaned up behind itself
	}
	steps := r.end(s.urgent)
	abnormal := &AbnormalShutdown{Machine: m.opts.Name, Steps: steps, Output: m.output(outputSize), Err: context.Cause(s.urgent)}
	if !r.process.hasEnded() {
		m.logger().Error("machine: cannot be ended", "error", abnormal)
		return abnormal
	}
	abnormal.Exit = &r.process.exit
	err := r.collect()
	switch {
	case s.kill, r.endedWell(steps):
		m.logger().Info("machine: ended", "exit", r.process.exit.String())
		return err
	case err != nil:
		return also(abnormal, err)
	}
	m.logger().Error("machine: ended", "error", abnormal)
	return abnormal
}

// The actions of the steps.
const (
	quit    = "quit"
	sigterm = "SIGTERM"
	sigkill = "SIGKILL"
)

// end takes one step after another until the process has ended.
func (r *run) end(urgent context.Context) []Step {
	opts := &r.machine.opts
	var steps []Step
	take := func(ctx context.Context, action string, limit time.Duration, act func(context.Context) error) {
		if r.process.hasEnded() || ctx.Err() != nil || limit < 0 {
			return
		}
		start := time.Now()
		ctx, done := context.WithTimeoutCause(ctx, limit, &async.TimeoutError{Op: action, Limit: limit})
		defer done()
		err := act(ctx)
		r.process.await(ctx)
		steps = append(steps, Step{Action: action, Took: time.Since(start), Err: err})
	}
	// Without a connection, because somebody has ended it, there is nothing to
	// ask. One that has ended by itself may be the work of an end under way.
	if opts.Monitor != MonitorNone && r.machine.client.Runstate() != async.Idle {
		take(urgent, quit, orDefault(opts.QuitTimeout, DefaultQuitTimeout), r.askToQuit)
	}
	if canTerminate {
		take(urgent, sigterm, orDefault(opts.TerminateTimeout, DefaultTerminateTimeout),
			func(context.Context) error { return r.process.terminate() })
	}
	take(context.Background(), sigkill, r.killTimeout(),
		func(context.Context) error { return r.process.kill() })
	return steps
}

// askToQuit executes quit, unless that was done already.
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

// endedWell reports whether the process ended as it should.
func (r *run) endedWell(steps []Step) bool {
	exit, polite := r.process.exit, quit
	if r.machine.opts.Monitor == MonitorNone {
		polite = sigterm
		if len(steps) > 0 && exit.Signal == syscall.SIGTERM {
			exit = ExitStatus{} // what was asked for
		}
	}
	if exit.Unknown && (len(steps) > 0 || r.quit.Load()) {
		exit = ExitStatus{} // it ended when it was asked to, and nothing else is known
	}
	return exit.Success() && (len(steps) == 0 || len(steps) == 1 && steps[0].Action == polite)
}

// collect removes what is left of a process that has ended.
func (r *run) collect() error {
	m := r.machine
	// Its error, why the connection has ended, is no news now.
	_ = m.client.Close()
	if r.listener != nil {
		r.listener.close()
	}
	m.events.end(ErrNotRunning)

	m.mu.Lock()
	defer m.mu.Unlock()
	err := r.closeTheirs()
	if r.monitorConn != nil {
		_ = r.monitorConn.Close() // the client has done so, unless it never got it
	}
	if r.process != nil {
		r.process.handle.close()
	}
	if r.console != nil {
		err = also(err, r.console.Close())
	}
	err = also(also(err, r.log.close()), m.removePlace())
	m.run, m.last = nil, r
	return err
}
