package machine

import (
	"log/slog"
	"time"

	"github.com/goqmp/qmp/async"
)

// A MonitorMode says how the machine's monitor and this program meet.
type MonitorMode int

const (
	// MonitorDefault is MonitorInherit where the system can pass a socket on to a
	// process, and MonitorAccept where it cannot (Windows).
	MonitorDefault MonitorMode = iota
	// MonitorInherit gives the process one end of a connected socket pair. No
	// path is involved. So it works for a process that runs as another user, in
	// a chroot or in another mount namespace, and nobody else can connect. A
	// wrapper must leave the descriptor open; sudo closes it by default.
	MonitorInherit
	// MonitorAccept has the process connect to this program, which listens in
	// the machine's directory.
	MonitorAccept
	// MonitorDial has the process listen in the machine's directory, and this
	// program connect to it as soon as it does.
	MonitorDial
	// MonitorNone gives the process no monitor: Launch returns when it has been
	// started, and Shutdown begins with SIGTERM.
	MonitorNone
)

// The defaults of the limits in [Options].
const (
	DefaultLaunchTimeout    = time.Minute
	DefaultPowerDownTimeout = 3 * time.Minute
	DefaultPowerDownEvery   = 10 * time.Second
	DefaultQuitTimeout      = 10 * time.Second
	DefaultTerminateTimeout = 5 * time.Second
	DefaultKillTimeout      = 5 * time.Second
)

// Options configures a [Machine]. A nil *Options, like the zero value, suits
// qemu-system-*.
type Options struct {
	// Name names the machine in errors and in the log. The default is the
	// binary's base name with a number behind it.
	Name string

	// Args go onto the command line, behind the machine's own options, which
	// are -display none -vga none (not of a storage daemon) and those for the
	// monitor and the console, and before those of AddArgs.
	Args []string

	// Wrapper is a program, with arguments, that runs the binary: the binary
	// and its command line are appended. It is to stay in its process group,
	// and to end when the binary does, with its exit status.
	Wrapper []string

	// Env is added to this program's environment, as "NAME=value".
	Env []string

	// Dir is the process's working directory. The default is this program's. A
	// relative path to the binary or the wrapper is meant from there, too, as is
	// that of ConsoleFile.
	Dir string

	// TempDir is where the machine makes its directory. The default is
	// os.TempDir().
	TempDir string

	// StorageDaemon says that the binary takes the options of
	// qemu-storage-daemon, not those of qemu-system-*.
	StorageDaemon bool

	// Monitor says who connects to whom. The default is MonitorDefault.
	Monitor MonitorMode

	// Console connects the first serial port to this program: see
	// [Machine.Console].
	Console bool

	// ConsoleFile is a file to which all output of the first serial port is
	// appended. It stays when the machine goes.
	ConsoleFile string

	// LogFile takes what the process writes to its standard output and error,
	// after what is there already, and stays when the machine goes. Without it,
	// the log is in memory only: see [Machine.Log]. One file is for one machine
	// at a time.
	LogFile string

	// LogLimit limits the log, in bytes: what Log returns, and how much LogFile
	// grows in one launch. A longer log keeps its beginning (a quarter) and its
	// end, with a line in between that says how many bytes are missing. Zero
	// means DefaultLogLimit; a negative number means no limit.
	LogLimit int

	// Detached has the process outlive this program, however that ends: see
	// [State]. It is started in a session of its own, without a watchdog. The
	// default of Monitor is MonitorDial then, and the log is a file, LogFile or
	// one in the machine's directory, to which the process writes directly: it
	// grows without limit, and LogLimit limits what Log returns. TempDir should
	// name a directory that nobody cleans up, such as one in /run. Launch needs
	// Linux 5.3 for it, and gives errors.ErrUnsupported elsewhere.
	Detached bool

	// QMP configures the monitor's client. Its Nickname and Logger default to
	// Name and Logger. Its Dialer and Backoff are not used.
	QMP *async.Options

	// Logger takes the machine's log: a start and an end in order at info, the
	// command line at debug, failures at error. Nil logs nothing.
	Logger *slog.Logger

	// LaunchTimeout limits Launch, besides its context. Zero means
	// DefaultLaunchTimeout; a negative number means no limit.
	LaunchTimeout time.Duration

	// ExitCodes are exit codes besides 0 that mean success to Shutdown, PowerDown
	// and ForTest: 33, say, for a guest that writes 16 to isa-debug-exit. A guest
	// that writes n there ends QEMU with code 2n+1.
	ExitCodes []int

	// PowerDownTimeout is how long PowerDown waits for the guest to shut down. A
	// Linux guest gives a service that hangs 90 s. Zero means
	// DefaultPowerDownTimeout; a negative number skips the step.
	PowerDownTimeout time.Duration

	// PowerDownEvery is how often PowerDown presses the power button until the
	// guest has shut down. Zero means DefaultPowerDownEvery; a negative number
	// presses it once.
	PowerDownEvery time.Duration

	// QuitTimeout, TerminateTimeout and KillTimeout are how long Shutdown gives
	// the process to end after quit, SIGTERM and SIGKILL. Zero means the
	// default, DefaultQuitTimeout and so on; a negative number skips the step
	// (for SIGKILL: does not wait).
	QuitTimeout, TerminateTimeout, KillTimeout time.Duration
}

// DefaultLogLimit is the default of Options.LogLimit, in bytes.
const DefaultLogLimit = 1 << 20

// orDefault returns d, or the default where d is zero.
func orDefault[T int | time.Duration](d, byDefault T) T {
	if d == 0 {
		return byDefault
	}
	return d
}
