//go:build unix

package machine_test

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

func init() {
	moreFakes["holder"] = func(args []string) {
		// A helper inherits the monitor and outlives this process. A program that
		// QEMU starts may do the same.
		helper := exec.Command("sleep", "1000")
		for fd := uintptr(3); fd < 6; fd++ {
			helper.ExtraFiles = append(helper.ExtraFiles, os.NewFile(fd, "inherited"))
		}
		check(helper.Start())
		playQMP("qmp", args)
	}
}

// asRoot skips a test, or fails it where CI is set, unless this user is root and the
// system has the tool.
func asRoot(t *testing.T, tool string) {
	t.Helper()
	if os.Getuid() != 0 {
		qemutest.Lacks(t, "needs root")
	}
	if _, err := exec.LookPath(tool); err != nil {
		qemutest.Lacks(t, "%v", err)
	}
}

// The monitor needs no path that the process can reach: it may run as another
// user, or where the machine's directory does not exist.
func TestQEMUElsewhere(t *testing.T) {
	t.Parallel()
	for name, wrapper := range map[string][]string{
		"as another user":            {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"},
		"in another mount namespace": {"unshare", "--mount", "--", "sh", "-c", `mount -t tmpfs none "$TMPDIR" && exec "$@"`, "sh"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := qemutest.Context(t) // from when the subtest runs: it may have waited for other tests
			asRoot(t, wrapper[0])
			reach := slices.Concat(wrapper, []string{qemutest.Find(t, qemutest.QEMU), "--version"})
			if out, err := exec.Command(reach[0], reach[1:]...).CombinedOutput(); err != nil {
				t.Skipf("QEMU is in a folder that cannot be reached %s: %v\n%s", name, err, out)
			}
			for _, daemon := range []bool{false, true} {
				opts := machine.Options{Wrapper: wrapper, StorageDaemon: daemon, Console: !daemon}
				program := qemutest.StorageDaemon
				if !daemon {
					program, opts.Args = qemutest.QEMU, []string{"-nodefaults", "-machine", "pc", "-S"}
				}
				m := machine.ForTest(t, qemutest.Find(t, program), &opts)
				must(t, m.Launch(ctx))
				if _, err := m.Command(ctx, "query-version", nil); err != nil {
					t.Error(err)
				}
				must(t, m.Shutdown(ctx))
				is(t, m.Running(), false, nil)
			}
			// The other modes need a path that the process can reach. So they are not
			// the default.
			m := newQEMU(t, machine.Options{Wrapper: wrapper, Monitor: machine.MonitorAccept})
			if _, ok := errors.AsType[*machine.VMLaunchFailure](m.Launch(ctx)); !ok {
				t.Error("it reached a socket in a directory of this user's")
			}
		})
	}
}

// QEMU does not warn about any of the machine's own options.
func TestQEMUDoesNotWarn(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	for name, mode := range monitorModes {
		for _, daemon := range []bool{false, true} {
			m := newQEMU(t, machine.Options{Monitor: mode, Name: name})
			if daemon {
				m = machine.ForTest(t, qemutest.Find(t, qemutest.StorageDaemon), &machine.Options{StorageDaemon: true, Monitor: mode})
			}
			must(t, m.Launch(ctx))
			must(t, m.Shutdown(ctx))
			if log := m.Log(); strings.Contains(log, "warning") || strings.Contains(log, "deprecated") {
				t.Errorf("%s, storage daemon %v: it wrote %q", name, daemon, log)
			}
		}
	}
}

// The machine notices the end of its process even if another process has inherited the
// monitor's socket.
func TestMonitorThatAHelperHolds(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		qemutest.Unsupported(t, "the BSDs drop what has arrived when reading is shut down")
	}
	ctx := qemutest.Context(t)
	m := newFake(t, "holder", machine.Options{})
	must(t, m.Launch(ctx))
	_, err := m.Command(ctx, "emit", machine.Args{"names": []string{"A"}})
	must(t, err)
	_, err = m.Command(ctx, "quit", nil)
	must(t, err)
	ev, err := m.NextEvent(ctx)
	is(t, ev["event"], "A", err)
	ev, err = m.NextEvent(ctx)
	is(t, ev["event"], "SHUTDOWN", err)
	_, err = m.NextEvent(ctx)
	if _, ok := errors.AsType[*machine.ProcessEndedError](err); !ok {
		t.Errorf("%v", err)
	}
	if _, err := m.QMP(ctx, "query-status", nil); !errors.As(err, new(*machine.ProcessEndedError)) {
		t.Errorf("%v", err)
	}
	must(t, m.Shutdown(ctx))
}

// The descriptors of the machine's own sockets come after those of the caller.
func TestDescriptorsOfTheMonitor(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	f, err := os.Open(os.DevNull)
	must(t, err)
	defer f.Close()
	m, _ := newPC(t, machine.Options{Console: true})
	is(t, m.Inherit(f), 3, nil)
	m.AddFD(f, 7, "")
	must(t, m.Launch(ctx))
	line := strings.Join(m.CommandLine(), " ")
	for _, words := range []string{"socket,id=machine-monitor,fd=5 ", "socket,id=machine-console,fd=6 ", "-add-fd fd=4,set=7"} {
		if !strings.Contains(line, words) {
			t.Errorf("no %q in %s", words, line)
		}
	}
	_, err = async.Call[any](ctx, m.Client(), "query-fdsets", nil)
	must(t, err)
	must(t, m.Shutdown(ctx))
}
