package machine

import (
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/goqmp/qmp/async"
)

// A Machine is a process of QEMU, or of its storage daemon, with its monitor.
// It holds the command line and the monitor's client, over any number of
// launches. Make one with [New] or [ForTest].
type Machine struct {
	binary string
	opts   Options
	client *async.Client
	events eventQueue

	// placing is a lock that may be held while files are used. A goroutine puts a
	// token in before it makes or removes the place, and takes it out afterwards.
	placing chan struct{}

	mu     sync.Mutex // guards the fields below; held briefly, never while a file or socket is used
	args   []string   // Options.Args, and those of AddArgs
	files  []*os.File // the files that the process inherits; the first is its descriptor 3
	place  *place     // nil if there is none, or one is being made or removed; written only with the token in placing
	before *place     // the latest place, which may have been removed; the next one gets its names
	run    *run       // the current run, from Launch or Adopt to the end of Shutdown, Kill or Detach; else nil
	last   *run       // the run before, for Log, ExitStatus and the like
}

// made counts the machines, for their default names.
var made atomic.Uint64

// New returns a machine that runs binary: a path, or a name that is looked up in
// $PATH. New starts nothing. nil options suit qemu-system-*. New copies the options
// and the slices in them.
func New(binary string, opts *Options) *Machine {
	if opts == nil {
		opts = &Options{}
	}
	m := &Machine{binary: binary, opts: *opts, args: slices.Clone(opts.Args), placing: make(chan struct{}, 1)}
	m.opts.Wrapper, m.opts.Env = slices.Clone(opts.Wrapper), slices.Clone(opts.Env)
	m.opts.ExitCodes = slices.Clone(opts.ExitCodes)
	if m.opts.Monitor == MonitorDefault {
		switch {
		case m.opts.Detached:
			m.opts.Monitor = MonitorDial
		case canInherit:
			m.opts.Monitor = MonitorInherit
		default:
			m.opts.Monitor = MonitorAccept
		}
	}
	if m.opts.Name == "" {
		m.opts.Name = fmt.Sprintf("%s-%d", filepath.Base(binary), made.Add(1))
	}
	var qmp async.Options
	if opts.QMP != nil {
		qmp = *opts.QMP
	}
	if qmp.Nickname == "" {
		qmp.Nickname = m.opts.Name
	}
	if qmp.Logger == nil {
		qmp.Logger = opts.Logger
	}
	qmp.Dialer, qmp.Backoff = nil, async.Every(dialEvery)
	m.client = async.New(&qmp)
	m.events.end(ErrNotRunning)
	return m
}

// Name returns the machine's name.
func (m *Machine) Name() string { return m.opts.Name }

// Client returns the monitor's client, for what only package async has. It is the
// same one for all launches. Do not call its methods that connect or disconnect: the
// machine does that.
func (m *Machine) Client() *async.Client { return m.client }

// AddArgs appends args to the command line of later launches.
func (m *Machine) AddArgs(args ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.args = append(m.args, args...)
}

// Inherit makes the process inherit f in later launches. It returns the number that
// the descriptor will have in the process, for options such as "fd=NUMBER". The
// caller keeps f, and f must be open whenever Launch is called. The process inherits no
// other descriptors: those that this program has inherited itself are closed in it, as far
// as the system tells which there are, up to number 16,384.
func (m *Machine) Inherit(f *os.File) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files = append(m.files, f)
	return firstFile + len(m.files) - 1
}

// firstFile is the first descriptor after stdin, stdout and stderr.
const firstFile = 3

// AddFD puts f into QEMU's descriptor set fdset in later launches, with
// [Machine.Inherit] and the option -add-fd. The file's name in QEMU is then
// "/dev/fdset/FDSET". opaque, unless empty, is a text that query-fdsets shows.
//
// f must have been opened in exactly the mode in which QEMU opens the file. Otherwise
// QEMU refuses ("Permission denied" in 7.2, "matching flags" in 10.0 and later). The
// mode is os.O_RDWR for a block node that is written to, and os.O_RDONLY for one with
// read-only=on. A node with auto-read-only=on needs both: call AddFD twice with the
// same fdset.
func (m *Machine) AddFD(f *os.File, fdset int, opaque string) {
	arg := fmt.Sprintf("fd=%d,set=%d", m.Inherit(f), fdset)
	if opaque != "" {
		arg += ",opaque=" + Escape(opaque)
	}
	m.AddArgs("-add-fd", arg)
}

// Dir returns the path of the machine's directory, which only this user can enter. It
// makes the directory if there is none; the machine need not be launched. Shutdown and
// Kill remove the directory, with all that is in it.
//
// The path is the same for all launches. If another program has taken the name
// between two launches, the directory gets a new name, and the machine replaces the
// old path in the arguments of Options.Args and AddArgs.
func (m *Machine) Dir() (string, error) {
	p, err := m.ensurePlace()
	if err != nil {
		return "", fmt.Errorf("machine %s: %w", m.opts.Name, err)
	}
	return p.dir.path, nil
}

// SocketPath returns a path for a unix socket, in the machine's directory. If that
// directory's path is too long for the address of a socket, the result is in a second
// directory with a short path. The machine makes and removes both together.
func (m *Machine) SocketPath(name string) (string, error) {
	p, err := m.ensurePlace()
	if err != nil {
		return "", fmt.Errorf("machine %s: %w", m.opts.Name, err)
	}
	return filepath.Join(p.sockets.path, name), nil
}

// ensurePlace returns the place, and makes it if there is none.
func (m *Machine) ensurePlace() (*place, error) {
	m.mu.Lock()
	p := m.place
	m.mu.Unlock()
	if p != nil {
		return p, nil
	}
	m.placing <- struct{}{}
	defer func() { <-m.placing }()
	m.mu.Lock()
	p, before := m.place, m.before
	m.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := newPlace(m.opts.TempDir, before, !m.opts.Detached)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p.moved(before, m.args)
	m.place, m.before = p, p
	return p, nil
}

// removePlace removes the place, if there is one. It does nothing and reports false
// if the machine's run is not r any more.
func (m *Machine) removePlace(r *run) (ok bool, err error) {
	m.placing <- struct{}{}
	defer func() { <-m.placing }()
	m.mu.Lock()
	if m.run != r {
		m.mu.Unlock()
		return false, nil
	}
	p := m.place
	m.place = nil
	m.mu.Unlock()
	if p == nil {
		return true, nil
	}
	if err := p.remove(); err != nil {
		return true, fmt.Errorf("machine %s: %w", m.opts.Name, err)
	}
	return true, nil
}

// latest returns the current run, or else the last one, or else nil. mu is held.
func (m *Machine) latest() *run {
	if m.run != nil {
		return m.run
	}
	return m.last
}

// CommandLine returns the whole command line of the current launch or else the last
// one, with the wrapper. It is nil if there was none. It has what the machine adds;
// Options.Args is only a part of it.
func (m *Machine) CommandLine() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.latest(); r != nil {
		return slices.Clone(r.argv)
	}
	return nil
}

// Log returns what the process has written to its standard output and error, in the
// current launch or else the last one. If that is longer than Options.LogLimit, the
// middle is left out, and a line there says how many bytes are missing.
func (m *Machine) Log() string { return m.output(math.MaxInt) }

// output returns the end of the log, at most so many bytes.
func (m *Machine) output(most int) string {
	m.mu.Lock()
	var log processLog
	if r := m.latest(); r != nil {
		log = r.log
	}
	m.mu.Unlock()
	if log == nil {
		return ""
	}
	return log.tail(most)
}

// Console returns the other end of the first serial port, with Options.Console: the
// caller reads what the guest writes, and the guest reads what the caller writes. It
// is nil before the first launch. While nobody reads, the socket holds about 100 KiB;
// after that the guest's output has to wait. A read returns io.EOF when the process
// has ended. Shutdown and Kill close the connection, so read to the end first.
func (m *Machine) Console() net.Conn {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.latest(); r != nil {
		return r.console
	}
	return nil
}

// Pid returns the id of the process that was started: that of the wrapper, if there is
// one. It is 0 if no process runs.
func (m *Machine) Pid() int {
	p := m.process()
	if p == nil || p.hasEnded() {
		return 0
	}
	return p.pid
}

// Running reports whether the process runs.
func (m *Machine) Running() bool { return m.Pid() != 0 }

// ExitStatus returns how the process of the current launch or else the last one
// ended. ok is false if the process still runs, or if none was started.
func (m *Machine) ExitStatus() (status ExitStatus, ok bool) {
	p := m.process()
	if p == nil || !p.hasEnded() {
		return ExitStatus{}, false
	}
	return p.exit, true
}

// process returns the latest process, or nil.
func (m *Machine) process() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.latest(); r != nil {
		return r.process
	}
	return nil
}

func (m *Machine) logger() *slog.Logger {
	if m.opts.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return m.opts.Logger.With("machine", m.opts.Name)
}
