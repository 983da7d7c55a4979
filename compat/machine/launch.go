package machine

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/socket"
)

const (
	// endGrace is how long a process whose monitor has failed is given to end,
	// so that its exit status can be told.
	endGrace = time.Second
	// dialEvery is how often the socket of a process that listens is tried.
	dialEvery = 10 * time.Millisecond
)

// A run is one launch, from its beginning to the end of Shutdown, Kill or Detach.
//
// Two goroutines own it, one after the other: that of Launch or Adopt until
// launched is closed, and then that of the caller who has set stopping. All
// others read what is below under Machine.mu. Files and sockets are used by the
// owner, and without the mutex.
type run struct {
	// Set before the run is in Machine.run, and not changed after.
	machine  *Machine
	launched chan struct{}           // closed when Launch has returned
	callOff  context.CancelCauseFunc // ends the context of Launch

	quit atomic.Bool // a quit was answered

	// Written by the owner under Machine.mu. All but the last are set once, in
	// this order.
	log      processLog
	console  net.Conn // nil without Options.Console
	argv     []string
	process  *process  // nil until it was started
	stopping *stopping // how it is being stopped, if it is

	// The owner's. Others read state and failed once launched is closed.
	monitor     string       // path of its socket
	listener    *eventSource // feeds Machine.events
	files       []*os.File   // what the process inherits
	theirs      []*os.File   // those of files that are the process's ends of sockets, until it was started
	state       *State       // of a detached process
	monitorConn net.Conn     // this program's end of the monitor's socket, with MonitorInherit
	failed      bool         // Launch has failed
}

// Launch starts the process and returns when its monitor answers. It fails as
// soon as the process ends before that, and at the latest when ctx ends or
// Options.LaunchTimeout is over, with a [*VMLaunchFailure] and nothing left
// behind. A machine that was launched and not shut down since gives
// [ErrLaunched]. Events of an earlier launch that nobody has taken are dropped.
//
// ctx bounds the launch and nothing behind it. The process has an empty standard
// input.
func (m *Machine) Launch(ctx context.Context) error {
	ctx, r, done, err := m.begin(ctx, "launch")
	if err != nil {
		return err
	}
	defer done()
	if err := r.launch(ctx); err != nil {
		r.failed = true
		failure := r.fail(err)
		m.logger().Error("machine: launch failed", "error", failure)
		return failure
	}
	m.logger().Info("machine: launched", "pid", m.Pid())
	return nil
}

// begin begins a launch, or what takes its place. done ends it.
func (m *Machine) begin(ctx context.Context, op string) (_ context.Context, _ *run, done func(), err error) {
	ctx, callOff := context.WithCancelCause(ctx)
	cancel := context.CancelFunc(func() {})
	if limit := orDefault(m.opts.LaunchTimeout, DefaultLaunchTimeout); limit > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, limit, &async.TimeoutError{Op: op, Limit: limit, Option: "machine.Options.LaunchTimeout"})
	}
	r := &run{machine: m, launched: make(chan struct{}), callOff: callOff}
	m.mu.Lock()
	launched := m.run != nil
	if !launched {
		m.run = r
	}
	m.mu.Unlock()
	if launched {
		cancel()
		callOff(nil)
		return nil, nil, nil, fmt.Errorf("machine %s: %w", m.opts.Name, ErrLaunched)
	}
	return ctx, r, func() {
		close(r.launched)
		cancel()
		callOff(nil)
	}, nil
}

// launch does all that can fail.
func (r *run) launch(ctx context.Context) error {
	m := r.machine
	if ctx.Err() != nil {
		return contexts.Err(ctx)
	}
	place, err := m.ensurePlace()
	if err != nil {
		return err
	}
	r.monitor = filepath.Join(place.sockets.path, "monitor")
	m.events.reset()
	r.listener = m.events.listen(m.client)
	if m.opts.Monitor == MonitorAccept {
		if err := m.client.Listen(ctx, "unix:"+r.monitor); err != nil {
			return err
		}
	}
	ctx, ended := context.WithCancelCause(ctx)
	defer ended(nil)
	if err := r.start(place, func() {
		if r.monitorConn != nil {
			// A helper of the process's, or its wrapper's, may have inherited the
			// other end and keep it open.
			endReading(r.monitorConn)
		}
		ended(errEndedEarly)
	}); err != nil {
		return err
	}
	if err := r.connect(ctx); err != nil {
		// A process that could not go on has often closed its monitor a moment
		// before its end.
		grace, cancel := context.WithTimeout(ctx, endGrace)
		defer cancel()
		if r.process.await(grace) {
			return errEndedEarly
		}
		return err
	}
	r.watchEvents()
	return nil
}

// watchEvents begins to give out events.
func (r *run) watchEvents() {
	if r.machine.opts.Monitor == MonitorNone {
		r.machine.events.end(errNoMonitor)
	} else {
		r.listener.watch()
	}
}

// start builds the command line and starts the process.
func (r *run) start(place *place, onEnd func()) error {
	m := r.machine
	log, err := m.openLog(place)
	if err != nil {
		return err
	}
	m.mu.Lock()
	r.log = log
	args := slices.Clone(m.args)
	r.files = slices.Clone(m.files)
	m.mu.Unlock()

	argv, err := r.commandLine(args)
	if err != nil {
		return err
	}
	m.mu.Lock()
	r.argv = argv
	m.mu.Unlock()
	m.logger().Debug("machine: starting", "command", quoteCommand(argv))

	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = m.opts.Dir
	cmd.Env = append(os.Environ(), m.opts.Env...)
	cmd.Stdout, cmd.Stderr = log.output(), log.output()
	cmd.ExtraFiles = r.files
	var process *process
	if m.opts.Detached {
		process, err = startDetached(cmd, log.settle, onEnd)
	} else {
		process, err = startProcess(cmd, place.keeper, log.settle, onEnd)
	}
	log.started()
	if err != nil {
		return err
	}
	m.mu.Lock()
	r.process = process
	m.mu.Unlock()
	if m.opts.Detached {
		if err := r.saveState(place); err != nil {
			return err
		}
	}
	return r.closeTheirs() // so that the end of file comes with the process's end
}

// openLog opens the log of a process that is about to be started.
func (m *Machine) openLog(place *place) (processLog, error) {
	limit := orDefault(m.opts.LogLimit, DefaultLogLimit)
	if !m.opts.Detached {
		return openLog(m.opts.LogFile, limit, func(err error) {
			m.logger().Error("machine: the log's file", "file", m.opts.LogFile, "error", err)
		})
	}
	path := m.opts.LogFile
	if path == "" {
		path = filepath.Join(place.dir.path, "log")
	}
	path, err := filepath.Abs(path) // whoever adopts the process may be elsewhere
	if err != nil {
		return nil, err
	}
	return openDirectLog(path, -1, limit)
}

// openMonitor makes the monitor's socket, and returns the number of the process's
// end there.
func (r *run) openMonitor() (fd int, err error) {
	r.monitorConn, fd, err = r.openSocket()
	return fd, err
}

// openConsole makes the console's socket, and returns the number of the process's
// end there.
func (r *run) openConsole() (int, error) {
	conn, fd, err := r.openSocket()
	if err != nil {
		return 0, err
	}
	r.machine.mu.Lock()
	r.console = conn
	r.machine.mu.Unlock()
	return fd, nil
}

// openSocket makes a socket between this program and the process, and returns the
// number that the process's end has there.
func (r *run) openSocket() (net.Conn, int, error) {
	conn, theirs, err := socket.Pair()
	if err != nil {
		return nil, 0, err
	}
	r.files, r.theirs = append(r.files, theirs), append(r.theirs, theirs)
	return conn, firstFile + len(r.files) - 1, nil
}

// closeTheirs closes the process's ends of the sockets.
func (r *run) closeTheirs() (err error) {
	for _, f := range r.theirs {
		err = also(err, f.Close())
	}
	r.theirs = nil
	return err
}

// connect makes the connection to the monitor.
func (r *run) connect(ctx context.Context) error {
	client := r.machine.client
	switch r.machine.opts.Monitor {
	case MonitorNone:
		return nil
	case MonitorInherit:
		return client.Attach(ctx, r.monitorConn)
	case MonitorAccept:
		return client.Accept(ctx)
	}
	return client.Connect(ctx, "unix:"+r.monitor) // as soon as somebody listens there
}

// fail cleans up behind a launch that failed, and says why it did.
func (r *run) fail(cause error) *VMLaunchFailure {
	m := r.machine
	failure := &VMLaunchFailure{Machine: m.opts.Name, Args: r.argv, Err: cause}
	if p := r.process; p != nil {
		if p.hasEnded() {
			failure.Exit = &p.exit
		} else {
			failure.Killed = true
			if err := p.kill(); err != nil {
				failure.Err = also(cause, err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), r.killTimeout())
			p.await(ctx)
			cancel()
		}
	}
	failure.Output = m.output(outputSize)
	if err := r.collect(); err != nil {
		failure.Err = also(failure.Err, err)
	}
	return failure
}
