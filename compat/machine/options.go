package machine

import (
	"log/slog"
	"time"

	"github.com/goqmp/qmp/async"
)

// A MonitorMode says how this program is connected to the process's monitor.
type MonitorMode int

const (
	// MonitorDefault is MonitorInherit where a process can inherit a socket, and
	// MonitorAccept where it cannot (Windows). With Options.Detached it is
	// MonitorDial.
	MonitorDefault MonitorMode = iota
	// MonitorInherit makes the process inherit one end of a connected socket pair.
	// There is no path. So it also works for a process that runs as another user,
	// in a chroot or in another mount namespace, and nobody else can connect. A
	// wrapper must leave the descriptor open; sudo closes it by default.
	MonitorInherit
	// MonitorAccept makes the process connect to this program, which listens in
	// the machine's directory.
	MonitorAccept
	// MonitorDial makes the process listen in the machine's directory. This
	// program connects to it as soon as it listens.
	MonitorDial
	// MonitorNone is for a process without a monitor: Launch returns when the
	// process was started, and Shutdown begins with SIGTERM.
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
	// Name is the machine's name in errors and in the log. The default is the
	// binary's base name, a dash and a number.
	Name string

	// Args are arguments of the binary. On the command line they come after the
	// machine's own options, and before the arguments of AddArgs. The machine's
	// own options are -display none -vga none (not for a storage daemon, and not with
	// KeepDisplay), and those for the monitor and the console.
	Args []string

	// Wrapper is a program, with its arguments, that runs the binary. The machine
	// appends the binary and its command line. The wrapper must stay in its
	// process group. It must end when the binary ends, with the same exit status.
	Wrapper []string

	// Env is added to this program's environment, as "NAME=value".
	Env []string

	// Dir is the process's working directory. The default is this program's. A
	// relative path to the binary or the wrapper starts there too, and so does
	// that of ConsoleFile.
	Dir string

	// TempDir is where the machine makes its directory. The default is
	// os.TempDir().
	TempDir string

	// StorageDaemon says that the binary takes the options of
	// qemu-storage-daemon, not those of qemu-system-*.
	StorageDaemon bool

	// KeepDisplay leaves out -display none -vga none: the machine has the display and
	// the graphics card that QEMU gives it without these options, or those in Args.
	KeepDisplay bool

	// Monitor says who connects to whom. The default is MonitorDefault.
	Monitor MonitorMode

	// Console connects the first serial port to this program: see
	// [Machine.Console].
	Console bool

	// ConsoleFile is a file to which QEMU appends all output of the first serial
	// port. Shutdown and Kill do not remove it.
	ConsoleFile string

	// LogFile is a file to which the machine appends what the process writes to
	// its standard output and error. Shutdown and Kill do not remove it. Without
	// it, the log is in memory only: see [Machine.Log]. Do not use one file for
	// two machines at a time.
	LogFile string

	// LogLimit limits the log, in bytes: what Log returns, and how much LogFile
	// grows in one launch. Of a longer log the machine keeps the beginning (a
	// quarter) and the end, with a line in between that says how many bytes are
	// missing. Zero means DefaultLogLimit; a negative number means no limit. A
	// limit below 4 KiB counts as 4 KiB.
	LogLimit int

	// Detached makes the process outlive this program, however this program ends:
	// see [State]. The process is started in a session of its own, and no shell
	// process watches over it. The default of Monitor is MonitorDial then.
	//
	// The log is a file then, LogFile or one in the machine's directory. The
	// process writes to it directly, so it grows without limit; LogLimit limits
	// only what Log returns. TempDir should name a directory that no other program
	// cleans up, such as one in /run.
	//
	// Detached needs Linux 5.3. Elsewhere the error of Launch matches
	// errors.ErrUnsupported.
	Detached bool

	// QMP configures the monitor's client. Its Nickname and Logger default to
	// Name and Logger. Its Dialer and Backoff are not used.
	QMP *async.Options

	// Logger gets the machine's log messages: at level info that it was launched or
	// has ended well, at debug the command line, at error failures. Nil logs
	// nothing.
	Logger *slog.Logger

	// LaunchTimeout limits Launch and Adopt, in addition to their context. Zero
	// means DefaultLaunchTimeout; a negative number means no limit.
	LaunchTimeout time.Duration

	// ExitCodes are exit codes that mean success to Shutdown, PowerDown and
	// ForTest, in addition to 0. An example is the device isa-debug-exit: when the
	// guest writes n to it, QEMU ends with code 2n+1.
	ExitCodes []int

	// PowerDownTimeout is how long PowerDown waits for the guest to shut down. A
	// Linux guest waits up to 90 s for a service that does not stop. Zero means
	// DefaultPowerDownTimeout; a negative number skips the step.
	PowerDownTimeout time.Duration

	// PowerDownEvery is how often PowerDown presses the power button until the
	// guest has shut down. Zero means DefaultPowerDownEvery; a negative number
	// presses it once.
	PowerDownEvery time.Duration

	// QuitTimeout, TerminateTimeout and KillTimeout are how long Shutdown waits
	// for the end of the process after quit, SIGTERM and SIGKILL. Zero means the
	// default, DefaultQuitTimeout and so on. A negative number skips the step, but
	// SIGKILL is sent in any case: a negative KillTimeout does not wait for the
	// end. If an event has said that QEMU is about to end by itself, because the
	// guest has shut down, say, Shutdown first waits for that, at most half of
	// QuitTimeout.
	QuitTimeout, TerminateTimeout, KillTimeout time.Duration
}

// DefaultLogLimit is the default of Options.LogLimit, in bytes.
const DefaultLogLimit = 1 << 20

// orDefault returns d, or byDefault if d is zero.
func orDefault[T int | time.Duration](d, byDefault T) T {
	if d == 0 {
		return byDefault
	}
	return d
}
