package machine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/goqmp/qmp/internal/secrets"
)

// An AdoptError says that a process could not be adopted. Adopt has changed neither
// the process, if there is one, nor its directory.
type AdoptError struct {
	Machine string // its name
	State   State  // the one that was passed to Adopt
	Output  string // the end of the process's log, at most 8 KiB
	Err     error  // why: matches ErrGone if the process has ended
}

// Error says why, and what the process has written last.
func (e *AdoptError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "machine %s: adopt process %d: %v", e.Machine, e.State.PID, e.Err)
	writeOutput(&b, secrets.Output(e.Output, e.State.Args))
	return b.String()
}

// Unwrap returns Err.
func (e *AdoptError) Unwrap() error { return e.Err }

// Adopt takes over a detached process that runs already: one that another program
// has launched, or that this program has given up with [Machine.Detach]. Call it
// instead of [Machine.Launch]. It connects to the monitor, and waits as long as
// another client is connected there. After that the machine is as after Launch,
// with these differences:
//
//   - Events that came while nobody was connected are lost.
//   - The exit status is [ExitStatus].Unknown, unless the system tells it (Linux
//     since 6.15, if the process that has become its parent collects it).
//   - Log reads the file that the process writes to.
//
// Options.Detached must be set. What Options says about the command line only holds
// for later launches. ctx and Options.LaunchTimeout limit Adopt. The error is an
// [*AdoptError], or [ErrLaunched], or says that Options.Detached is not set.
func (m *Machine) Adopt(ctx context.Context, s State) error {
	if !m.opts.Detached {
		return fmt.Errorf("machine %s: adopt: %w", m.opts.Name, errNotDetached)
	}
	ctx, r, done, err := m.begin(ctx, "adopt")
	if err != nil {
		return err
	}
	defer done()
	if err := r.adopt(ctx, s); err != nil {
		r.failed = true
		failure := &AdoptError{Machine: m.opts.Name, State: s, Err: err}
		if r.log != nil {
			failure.Output = r.log.tail(outputSize)
		}
		r.release()
		m.logger().Error("machine: adopt failed", "error", failure)
		return failure
	}
	m.logger().Info("machine: adopted", "pid", s.PID)
	return nil
}

// adopt does the part of Adopt that can fail.
func (r *run) adopt(ctx context.Context, s State) error {
	m := r.machine
	log, err := openDirectLog(s.Log, s.LogFrom, orDefault(m.opts.LogLimit, DefaultLogLimit))
	if err == nil {
		m.mu.Lock()
		r.log = log
		m.mu.Unlock()
	}
	h, findErr := s.find()
	if findErr != nil {
		return findErr
	}
	p := &process{pid: s.PID, handle: h, ended: make(chan struct{})}
	if err != nil {
		h.close()
		return err
	}
	place, err := openPlace(s.Dir, s.Sockets)
	if err != nil {
		h.close()
		return err
	}
	if !m.takePlace(place) {
		h.close()
		place.close()
		return errors.New("the machine has a directory already: call Shutdown before Adopt")
	}
	r.monitor, r.state = s.Monitor, &s
	m.mu.Lock()
	r.argv, r.process = s.Args, p
	m.mu.Unlock()
	m.events.reset()
	r.listener = m.events.listen(m.client)
	ctx, ended := context.WithCancelCause(ctx)
	defer ended(nil)
	go p.watch(log.settle, func() { ended(ErrGone) })
	if err := r.connect(ctx); err != nil {
		return err
	}
	r.watchEvents()
	return nil
}

// Detach gives up a detached process, which goes on running. [Machine.Adopt] takes
// it over again, here or in another program, with the State that Detach returns.
// Detach closes the connection, and the machine is as one that was not launched.
//
// The process stays a child of this program. If it ends while this program runs, it
// stays a zombie until a machine of this program adopts it or this program ends.
//
// The error is that of [Machine.State], or [ErrStopped] if the machine is being
// shut down.
func (m *Machine) Detach() (State, error) {
	s, err := m.State()
	if err != nil {
		return State{}, err
	}
	m.mu.Lock()
	r := m.run
	if r == nil || r.stopping != nil {
		m.mu.Unlock()
		return State{}, fmt.Errorf("machine %s: detach: %w", m.opts.Name, ErrStopped)
	}
	// A Shutdown or Kill that is called meanwhile waits for this, as it does for
	// another Shutdown, and then has nothing to do.
	end := newStopping(byKill)
	r.stopping = end
	m.mu.Unlock()
	r.release()
	end.hurry(nil)
	close(end.done)
	m.logger().Info("machine: detached", "pid", s.PID)
	return s, nil
}

// release closes all that this program holds of a process that goes on: the
// connection, the log, the handle and the directory.
func (r *run) release() {
	m := r.machine
	_ = m.client.Close() // it returns why the connection ended: this call ends it
	if r.listener != nil {
		r.listener.close()
	}
	m.events.end(ErrNotRunning)
	if r.process != nil {
		r.process.handle.close()
	}
	if r.log != nil {
		_ = r.log.close() // nothing was written
	}
	m.placing <- struct{}{}
	defer func() { <-m.placing }()
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.process != nil {
		m.place.close()
		m.place = nil
	}
	m.run, m.last = nil, nil
}

// takePlace makes p the machine's place. It reports false if there is one.
func (m *Machine) takePlace(p *place) bool {
	m.placing <- struct{}{}
	defer func() { <-m.placing }()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.place != nil {
		return false
	}
	m.place, m.before = p, p
	return true
}
