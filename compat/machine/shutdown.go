package machine

import (
	"context"
	"errors"
	"fmt"

	"github.com/goqmp/qmp/internal/contexts"
)

// Shutdown ends the process: with the command quit, then with SIGTERM, then with
// SIGKILL, each with its own limit (see [Options]). When ctx ends it goes straight
// to SIGKILL; it always completes. Afterwards nothing of the machine is left, and
// it may be launched again.
//
// It returns nil if the process ended at quit with an exit code that means success
// (0, and those of Options.ExitCodes), or had done so before. The same holds for
// SIGTERM if that is the first step: without a monitor, with a connection that this
// program has closed, or where Options.QuitTimeout skips quit. Else it returns an
// [*AbnormalShutdown] that says what happened. Where the exit status is unknown (see
// [ExitStatus]), it is taken for success if the process ended after it was asked to.
//
// Of several callers, those that join the same end get the same error. A
// [Machine.PowerDown] under way goes on to quit. A machine that was not launched
// loses its directory, and a launch that is under way is called off.
//
// QEMU ends with exit code 0 also when its guest has panicked; the option "-action
// panic=exit-failure" makes that 1 (QEMU 7.1 and later).
//
// For the guest, quit is like a power failure. PowerDown asks the guest first.
func (m *Machine) Shutdown(ctx context.Context) error {
	_, err := m.stop(ctx, bySteps)
	return err
}

// Kill ends the process at once, with SIGKILL, and cleans up as Shutdown does. A
// Shutdown or PowerDown under way is hurried. The error is an [*AbnormalShutdown] if the
// process did not end within Options.KillTimeout.
func (m *Machine) Kill() error {
	_, err := m.stop(context.Background(), byKill)
	return err
}

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

// A way says how a process is to be stopped.
type way int

const (
	byGuest way = iota // PowerDown: the guest is asked first
	bySteps            // Shutdown
	byKill             // Kill
)

// A stopping is one end of a process, under way. Several callers may share it.
type stopping struct {
	way    way                     // that of the caller who began
	urgent context.Context         // when it has ended: straight to SIGKILL
	hurry  context.CancelCauseFunc // ends urgent
	gentle context.Context         // when it has ended: no more patience with the guest
	goOn   context.CancelCauseFunc // ends gentle

	done chan struct{} // closed at the end
	stop Stop          // set before that
	err  error         // set before that
}

func newStopping(how way) *stopping {
	s := &stopping{way: how, done: make(chan struct{})}
	s.urgent, s.hurry = context.WithCancelCause(context.Background())
	s.gentle, s.goOn = context.WithCancelCause(s.urgent)
	return s
}

func (m *Machine) stop(ctx context.Context, how way) (Stop, error) {
	m.mu.Lock()
	for m.run == nil {
		m.mu.Unlock()
		if ok, err := m.removePlace(nil); ok {
			return Stop{}, err
		}
		m.mu.Lock() // a launch has begun meanwhile
	}
	r := m.run
	s, first := r.stopping, r.stopping == nil
	if first {
		s = newStopping(how)
		r.stopping = s
	}
	m.mu.Unlock()

	switch {
	case how == byKill:
		s.hurry(errKill)
	case ctx.Err() != nil:
		s.hurry(contexts.Err(ctx)) // before the first step, not at some time soon
	case how == bySteps:
		s.goOn(errShutdown)
	}
	defer context.AfterFunc(ctx, func() { s.hurry(contexts.Err(ctx)) })()
	if first {
		s.stop, s.err = r.stop(s)
		m.mu.Lock()
		r.stopping = nil // if the process is still there, it can be tried again
		m.mu.Unlock()
		close(s.done)
	}
	<-s.done
	var abnormal *AbnormalShutdown
	if how == byKill && errors.As(s.err, &abnormal) && abnormal.Exit != nil {
		return s.stop, nil // it has ended, which is all that was asked for
	}
	return s.stop, s.err
}

// stop ends the process, cleans up, and says what was not in order.
func (r *run) stop(s *stopping) (Stop, error) {
	m := r.machine
	defer s.hurry(nil) // lets go of urgent
	r.callOff(ErrStopped)
	<-r.launched
	if r.failed {
		return Stop{}, nil // the launch has cleaned up after itself
	}
	steps := r.end(s)
	abnormal := &AbnormalShutdown{Machine: m.opts.Name, Steps: steps, Output: m.output(outputSize), Err: context.Cause(s.urgent)}
	if !r.process.hasEnded() {
		m.logger().Error("machine: cannot be ended", "error", abnormal)
		return Stop{Steps: steps}, abnormal
	}
	if s.way == byGuest {
		m.events.awaitEnd(lastWords)
	}
	stop := Stop{Steps: steps, Exit: &r.process.exit, Reason: m.events.whyShutDown()}
	abnormal.Exit = stop.Exit
	err := r.collect()
	switch {
	case s.way == byKill, r.endedWell(steps):
		m.logger().Info("machine: ended", "exit", r.process.exit.String())
		return stop, err
	case err != nil:
		return stop, also(abnormal, err)
	}
	m.logger().Error("machine: ended", "error", abnormal)
	return stop, abnormal
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
	if r.log != nil {
		err = also(err, r.log.close())
	}
	_, placeErr := m.removePlace(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.run, m.last = nil, r
	return also(err, placeErr)
}
