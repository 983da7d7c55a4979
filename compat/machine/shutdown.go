package machine

import (
	"context"
	"errors"
	"fmt"

	"github.com/goqmp/qmp/internal/contexts"
)

// Shutdown ends the process: with the command quit, then with SIGTERM, then with
// SIGKILL. Each of these steps has its own limit (see [Options]). When ctx ends,
// Shutdown goes straight to SIGKILL; it always completes. Afterwards nothing of the
// machine is left, and it may be launched again.
//
// For the guest, quit is like a power failure. [Machine.PowerDown] asks the guest to
// shut down first.
//
// The error is nil if the first step ended the process with an exit code that means
// success (0, and those of Options.ExitCodes), or if the process had ended before
// with such a code. Otherwise it is an [*AbnormalShutdown] that says what happened.
//
// The first step is quit. It is SIGTERM if there is no monitor, if this program has
// closed the connection, or if Options.QuitTimeout skips quit: then the error is also
// nil if the process dies by that signal. An exit status that is unknown (see
// [ExitStatus]) counts as success if the process was asked to end.
//
// Shutdown may be called while another caller stops the machine. Then it waits for
// that, and both get the same error. A [Machine.PowerDown] stops waiting for the
// guest then. Shutdown of a machine that was not launched removes its directory.
// Shutdown during Launch cancels the launch.
//
// QEMU ends with exit code 0 even if its guest has panicked. With the option "-action
// panic=exit-failure" it ends with 1 (QEMU 7.1 and later).
func (m *Machine) Shutdown(ctx context.Context) error {
	_, err := m.stop(ctx, bySteps)
	return err
}

// Kill ends the process immediately, with SIGKILL, and cleans up as Shutdown does. A
// Shutdown or PowerDown of another caller goes straight to SIGKILL then. The error is
// an [*AbnormalShutdown] if the process does not end within Options.KillTimeout, or
// says what could not be cleaned up, such as a directory.
func (m *Machine) Kill() error {
	_, err := m.stop(context.Background(), byKill)
	return err
}

// Wait waits until the process ends, and returns how it ended. It does not ask the
// process to end, and does not clean up. During a Launch it waits for that first. The
// error is [ErrNotRunning], or what ctx ended with.
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

// A way says which of the methods stops a process.
type way int

const (
	byGuest way = iota // PowerDown
	bySteps            // Shutdown
	byKill             // Kill
)

// A stopping is the work of stopping a process. The first caller does it, and others
// wait for it. The fields above done are not changed once it is shared.
type stopping struct {
	way    way                     // the first caller's
	urgent context.Context         // its end means: go straight to SIGKILL
	hurry  context.CancelCauseFunc // ends urgent
	gentle context.Context         // its end means: do not wait for the guest; ends with urgent
	goOn   context.CancelCauseFunc // ends gentle

	done chan struct{} // closed when the work is done
	stop Stop          // the result; set before done is closed
	err  error         // the result; set before done is closed
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
		m.mu.Lock() // a launch has begun in between: stop that
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
		s.hurry(contexts.Err(ctx)) // before the first step; the AfterFunc below may be later
	case how == bySteps:
		s.goOn(errShutdown)
	}
	defer context.AfterFunc(ctx, func() { s.hurry(contexts.Err(ctx)) })()
	if first {
		s.stop, s.err = r.stop(s)
		m.mu.Lock()
		r.stopping = nil // if the process still runs, the next call tries again
		m.mu.Unlock()
		close(s.done)
	}
	<-s.done
	var abnormal *AbnormalShutdown
	if how == byKill && errors.As(s.err, &abnormal) && abnormal.Exit != nil {
		return s.stop, nil // Kill asks only that the process ends, and it has
	}
	return s.stop, s.err
}

// stop ends the process, cleans up, and returns the results for all callers.
func (r *run) stop(s *stopping) (Stop, error) {
	m := r.machine
	defer s.hurry(nil) // frees what urgent holds
	r.cancel(ErrStopped)
	<-r.launched
	if r.failed {
		return Stop{}, nil // Launch or Adopt has cleaned up
	}
	steps := r.end(s)
	abnormal := &AbnormalShutdown{Machine: m.opts.Name, Steps: steps, Output: m.output(outputSize), Err: context.Cause(s.urgent), args: r.argv}
	if !r.process.hasEnded() {
		m.logger().Error("machine: the process does not end", "error", abnormal)
		return Stop{Steps: steps}, abnormal
	}
	if s.way == byGuest {
		m.events.awaitEnd(lastEvents)
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

// collect cleans up after a process that has ended, or that was never started: it
// closes the connection and the files, and removes the directory.
func (r *run) collect() error {
	m := r.machine
	_ = m.client.Close() // it returns why the connection ended: the process has
	if r.listener != nil {
		r.listener.close()
	}
	m.events.end(ErrNotRunning)

	err := r.closeTheirs()
	if r.monitorConn != nil {
		_ = r.monitorConn.Close() // an error says that the client has closed it
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
