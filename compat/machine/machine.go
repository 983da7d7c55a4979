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

	placing chan struct{} // holds one token: the right to make or remove place

	mu     sync.Mutex // guards the fields below; held briefly, never while a file or socket is used
	args   []string
	files  []*os.File // those that the process inherits; the first is its descriptor 3
	place  *place     // nil while there is none, or one is being made or removed; written by who has the token
	before *place     // the one before it, for its names
	run    *run       // from Launch to the end of Shutdown or Kill
	last   *run       // the one before, for those who ask how it was
}

// made counts the machines, for their names.
var made atomic.Uint64

// New returns a machine that runs binary: a path, or a name that is looked up in
// $PATH. Nothing is started yet. nil suits qemu-system-*. The options are
// copied.
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

// Client returns the monitor's client, for calls with types and everything else
// that package async has. Leave connecting and disconnecting to the machine.
func (m *Machine) Client() *async.Client { return m.client }

// AddArgs appends to the command line of the launches to come.
func (m *Machine) AddArgs(args ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.args = append(m.args, args...)
}

// Inherit has the process inherit f in the launches to come, and returns the
// number of the descriptor there, for options such as "fd=NUMBER". f stays the
// caller's, and must be open when Launch is called.
func (m *Machine) Inherit(f *os.File) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files = append(m.files, f)
	return firstFile + len(m.files) - 1
}

// firstFile is the descriptor behind stdin, stdout and stderr.
const firstFile = 3

// AddFD puts f into QEMU's descriptor set fdset in the launches to come, by way
// of [Machine.Inherit] and the option -add-fd: "/dev/fdset/FDSET" names it
// then. opaque, unless empty, is a text that query-fdsets shows.
//
// The mode in which f was opened has to be exactly the one in which the command opens
// the file, or QEMU refuses ("Permission denied" in 7.2, "matching flags" in 10.0 and
// later): os.O_RDWR for a block node that is written to, os.O_RDONLY for one with
// read-only=on. A node with auto-read-only=on needs one of each.
// Call AddFD twice with the same fdset to put both into one set.
func (m *Machine) AddFD(f *os.File, fdset int, opaque string) {
	arg := fmt.Sprintf("fd=%d,set=%d", m.Inherit(f), fdset)
	if opaque != "" {
		arg += ",opaque=" + Escape(opaque)
	}
	m.AddArgs("-add-fd", arg)
}

// Dir returns the machine's directory, which nobody else can enter, and makes it
// if it is not there yet. It goes at the end of Shutdown or Kill. Its name is the
// same for all launches, unless somebody else has taken that name in between: then
// it has a new one, which replaces the old one in what was given to AddArgs.
func (m *Machine) Dir() (string, error) {
	p, err := m.ensurePlace()
	if err != nil {
		return "", fmt.Errorf("machine %s: %w", m.opts.Name, err)
	}
	return p.dir.path, nil
}

// SocketPath returns a path for a unix socket, in the machine's directory, or in
// another of its kind if that one's name is too long for the address of a
// socket.
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

// removePlace removes the place, if there is one and the machine's run is still r.
// ok is false if it is not.
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

// latest returns the present run, or the last one, or nil. mu is held.
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

// Log returns what the process has written to its standard output and error, in
// the present launch or the last one. A log that is longer than Options.LogLimit
// has lost its middle: a line in its place says how many bytes are missing.
func (m *Machine) Log() string { return m.output(math.MaxInt) }

// output returns the end of that, at most so many bytes.
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

// Console returns the other end of the first serial port, with Options.Console:
// what is read is what the guest writes, and what is written is what it reads.
// It is nil before the first launch. While nobody reads, the guest's output
// waits, behind the first hundred KiB or so. Reading ends with io.EOF when the
// process has ended; Shutdown and Kill close it, so read to the end before.
func (m *Machine) Console() net.Conn {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.latest(); r != nil {
		return r.console
	}
	return nil
}

// Pid returns the process's id, the wrapper's if there is one; 0 if none runs.
func (m *Machine) Pid() int {
	p := m.process()
	if p == nil || p.hasEnded() {
		return 0
	}
	return p.pid
}

// Running reports whether the process runs.
func (m *Machine) Running() bool { return m.Pid() != 0 }

// ExitStatus returns how the process of the present or last launch ended. ok is
// false if it runs, or never did.
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
