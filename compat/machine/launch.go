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
	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/internal/secrets"
	"github.com/goqmp/qmp/internal/socket"
)

const (
	// endGrace is how long a call waits for the end of a process whose monitor
	// has failed: the call's error then has the exit status.
	endGrace = time.Second
	// dialEvery is how long the client waits between two attempts to connect to
	// a process that listens.
	dialEvery = 10 * time.Millisecond
)

// A run is one launch, from its beginning to the end of Shutdown, Kill or Detach.
//
// One goroutine at a time owns it: first the one that calls Launch or Adopt, until
// launched is closed, and after that the one that has set stopping. Other goroutines
// read the fields below as the comments say. Only the owner uses the files and
// sockets, and it does so without holding Machine.mu.
type run struct {
	// Set before the run is in Machine.run, and not changed after that.
	machine  *Machine
	launched chan struct{}           // closed when Launch or Adopt returns
	cancel   context.CancelCauseFunc // ends the context of Launch or Adopt

	quit atomic.Bool // QEMU has answered a quit

	// The owner writes these under Machine.mu. Others read them under Machine.mu.
	// All but stopping are set once, in this order.
	log      processLog
	console  net.Conn // nil without Options.Console
	argv     []string
	process  *process  // nil until it was started
	stopping *stopping // nil unless the run is being stopped

	// Only the owner uses these. After launched is closed others may read state
	// and failed.
	monitor     string       // the path of the monitor's socket
	listener    *eventSource // feeds Machine.events
	files       []*os.File   // the files that the process inherits
	theirs      []*os.File   // those of files that are the process's ends of sockets; nil after the start
	state       *State       // nil unless the process is detached
	monitorConn net.Conn     // with MonitorInherit, this program's end of the monitor's socket
	failed      bool         // Launch or Adopt has failed
}

// Launch starts the process and returns when its monitor answers. The process has an
// empty standard input. Events of an earlier launch that nobody has taken are
// dropped.
//
// Launch fails as soon as the process ends before its monitor answers, when ctx ends,
// or when Options.LaunchTimeout is over. The error is a [*VMLaunchFailure], and
// nothing of the machine is left. If the machine was launched before and not shut
// down after that, the error is [ErrLaunched]. ctx limits Launch only: when it ends
// later, the process goes on.
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

// begin makes the run of a Launch or Adopt, with a context that has the limit of
// Options.LaunchTimeout. The caller calls done at the end. The error is ErrLaunched
// if the machine has a run already.
func (m *Machine) begin(ctx context.Context, op string) (_ context.Context, _ *run, done func(), err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	endLimit := context.CancelFunc(func() {})
	if limit := orDefault(m.opts.LaunchTimeout, DefaultLaunchTimeout); limit > 0 {
		ctx, endLimit = context.WithTimeoutCause(ctx, limit, &async.TimeoutError{Op: op, Limit: limit, Option: "machine.Options.LaunchTimeout"})
	}
	r := &run{machine: m, launched: make(chan struct{}), cancel: cancel}
	m.mu.Lock()
	launched := m.run != nil
	if !launched {
		m.run = r
	}
	m.mu.Unlock()
	if launched {
		endLimit()
		cancel(nil)
		return nil, nil, nil, fmt.Errorf("machine %s: %w", m.opts.Name, ErrLaunched)
	}
	return ctx, r, func() {
		close(r.launched)
		endLimit()
		cancel(nil)
	}, nil
}

// launch does the part of Launch that can fail.
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
			// A program that the process or its wrapper has started may have
			// inherited the other end. It would keep the connection open.
			endReading(r.monitorConn)
		}
		ended(errEndedEarly)
	}); err != nil {
		return err
	}
	if err := r.connect(ctx); err != nil {
		// The connection may have failed because the process is about to end: it
		// often closes its monitor a moment earlier. Its end is the better error.
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

// watchEvents has Machine.events end when the connection ends. Without a monitor it
// ends them at once.
func (r *run) watchEvents() {
	if r.machine.opts.Monitor == MonitorNone {
		r.machine.events.end(errNoMonitor)
	} else {
		r.listener.watch()
	}
}

// start builds the command line and starts the process. onEnd is called when the
// process has ended.
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
	m.logger().Debug("machine: starting", "command", harmless.Line(quoteCommand(secrets.Args(argv))))

	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = m.opts.Dir
	cmd.Env = append(os.Environ(), m.opts.Env...)
	cmd.Stdout, cmd.Stderr = log.output(), log.output()
	cmd.ExtraFiles = slices.Clip(r.files)
	closeInherited(cmd)
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
	// The process must have the only copies: then this program reads the end of
	// file when the process ends.
	return r.closeTheirs()
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
	// The program that adopts the process may have another working directory.
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return openDirectLog(path, -1, limit)
}

// openMonitor makes the monitor's socket pair. It returns the number that the
// process's end will have in the process.
func (r *run) openMonitor() (fd int, err error) {
	r.monitorConn, fd, err = r.openSocket()
	return fd, err
}

// openConsole makes the console's socket pair. It returns the number that the
// process's end will have in the process.
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

// openSocket makes a socket pair. The process will inherit one end; openSocket
// returns the other end, and the number that the process's end will have in the
// process.
func (r *run) openSocket() (net.Conn, int, error) {
	conn, theirs, err := socket.Pair()
	if err != nil {
		return nil, 0, err
	}
	r.files, r.theirs = append(r.files, theirs), append(r.theirs, theirs)
	return conn, firstFile + len(r.files) - 1, nil
}

// closeTheirs closes this program's copies of the process's ends of sockets.
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
	return client.Connect(ctx, "unix:"+r.monitor) // it tries until the process listens there: async.Options.Backoff is set
}

// fail cleans up after a launch that failed, and returns the error for the caller.
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
