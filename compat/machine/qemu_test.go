//go:build unix

package machine_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// newQEMU returns a machine with nothing in it.
func newQEMU(t *testing.T, opts machine.Options) *machine.Machine {
	t.Helper()
	opts.Args = append([]string{"-nodefaults", "-machine", "none"}, opts.Args...)
	return machine.ForTest(t, qemutest.Find(t, qemutest.QEMU), &opts)
}

// newPC returns a PC whose processor does not run, and a function that connects to its
// qtest socket.
func newPC(t *testing.T, opts machine.Options) (*machine.Machine, func() *guest) {
	t.Helper()
	opts.Args = append([]string{"-nodefaults", "-machine", "pc", "-S", "-qtest-log", "none"}, opts.Args...)
	m := machine.ForTest(t, qemutest.Find(t, qemutest.QEMU), &opts)
	path, err := m.SocketPath("qtest")
	must(t, err)
	m.AddArgs("-qtest", "unix:"+machine.Escape(path)+",server=on,wait=off")
	return m, func() *guest {
		conn, err := net.Dial("unix", path)
		must(t, err)
		t.Cleanup(func() { conn.Close() })
		return &guest{t, conn, bufio.NewReader(conn)}
	}
}

// A guest uses the first serial port over qtest, one byte at a time, as a guest would.
type guest struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (g *guest) do(format string, args ...any) string {
	g.t.Helper()
	_, err := fmt.Fprintf(g.conn, format+"\n", args...)
	must(g.t, err)
	line, err := g.in.ReadString('\n')
	must(g.t, err)
	return strings.TrimSpace(line)
}

func (g *guest) print(text string) {
	g.t.Helper()
	for _, b := range []byte(text) {
		is(g.t, g.do("outb 0x3f8 %d", b), "OK", nil)
	}
}

func TestQEMU(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]machine.Options{
		"default": {},
		"accept":  {Monitor: machine.MonitorAccept},
		"dial":    {Monitor: machine.MonitorDial},
		"no oob":  {QMP: &async.Options{NoOOB: true}},
		"wrapper": {Wrapper: []string{"sh", "-c", `"$@"; exit $?`, "sh"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := qemutest.Context(t)
			m := newQEMU(t, opts)
			must(t, m.Launch(ctx))
			status, err := async.Call[struct {
				Status string `json:"status"`
			}](ctx, m.Client(), "query-status", nil)
			is(t, status.Status, "running", err)
			_, err = m.Command(ctx, "stop", nil)
			must(t, err)
			_, err = m.Command(ctx, "object-add", machine.Args{"qom_type": "memory-backend-ram", "id": "m0", "size": 1 << 20})
			must(t, err)
			ev, err := m.NextEvent(ctx)
			is(t, ev["event"], "STOP", err)
			must(t, m.Shutdown(ctx))
			ev, err = m.EventWait(ctx, "SHUTDOWN", map[string]any{"data": map[string]any{"reason": "host-qmp-quit"}})
			must(t, err)
			is(t, machine.Match(ev, map[string]any{"data": map[string]any{"guest": false}}), true, nil)
			exit, ok := m.ExitStatus()
			is(t, ok && exit.Success(), true, nil)
		})
	}
}

func TestStorageDaemon(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	qsd := qemutest.Find(t, qemutest.StorageDaemon)
	for _, mode := range monitorModes {
		m := machine.ForTest(t, qsd, &machine.Options{
			StorageDaemon: true, Monitor: mode,
			Args: []string{"--blockdev", "null-co,node-name=n0,size=1048576"},
		})
		must(t, m.Launch(ctx))
		nodes, err := m.Command(ctx, "query-named-block-nodes", machine.Args{"flat": true})
		must(t, err)
		first := nodes.([]any)[0]
		is(t, machine.Match(first, map[string]any{"node-name": "n0"}), true, nil)
		must(t, m.Shutdown(ctx))
	}
	m := machine.ForTest(t, qsd, &machine.Options{StorageDaemon: true, Args: []string{"--blockdev", "nonesuch"}})
	var failure *machine.VMLaunchFailure
	if err := m.Launch(ctx); !errors.As(err, &failure) || failure.Exit == nil || failure.Exit.Code != 1 || !strings.Contains(failure.Output, "nonesuch") {
		t.Errorf("%v", err)
	}
}

func TestQEMUThatRefusesItsOptions(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	for _, opts := range []machine.Options{
		{Args: []string{"-bogus"}},
		{Args: []string{"-device", "bogus"}},
		{Args: []string{"-object", "bogus,id=o"}, Monitor: machine.MonitorDial},
	} {
		m := newQEMU(t, opts)
		var failure *machine.VMLaunchFailure
		if err := m.Launch(ctx); !errors.As(err, &failure) || failure.Exit == nil || failure.Exit.Code != 1 || !strings.Contains(failure.Output, "bogus") {
			t.Errorf("%v", err)
		}
	}
}

func TestQEMUThatIsStopped(t *testing.T) {
	t.Parallel()
	m := newQEMU(t, machine.Options{QuitTimeout: brief, TerminateTimeout: brief})
	must(t, m.Launch(qemutest.Context(t)))
	must(t, syscall.Kill(m.Pid(), syscall.SIGSTOP))
	err := m.Shutdown(context.Background())
	var abnormal *machine.AbnormalShutdown
	if !errors.As(err, &abnormal) || len(abnormal.Steps) != 3 || *abnormal.Exit != killed {
		t.Errorf("%v", err)
	}
}

func TestQEMUThatIsTerminated(t *testing.T) {
	t.Parallel()
	m := newQEMU(t, machine.Options{QuitTimeout: -1})
	must(t, m.Launch(qemutest.Context(t)))
	must(t, m.Shutdown(context.Background())) // QEMU takes SIGTERM for a quit
	status, _ := m.ExitStatus()
	if !status.Success() || !strings.Contains(m.Log(), "terminating on signal 15") {
		t.Errorf("%v: %s", status, m.Log())
	}
}

// A guest reports with isa-debug-exit that its tests have passed: it writes 16, and QEMU
// ends with exit code 2*16+1.
func TestIsaDebugExit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		codes []int
		value int
		well  bool
	}{
		{[]int{33}, 16, true},
		{[]int{33}, 17, false},
		{nil, 16, false},
	} {
		ctx := qemutest.Context(t)
		m, connect := newPC(t, machine.Options{ExitCodes: tt.codes, Args: []string{"-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"}})
		must(t, m.Launch(ctx))
		_, err := fmt.Fprintf(connect().conn, "outb 0xf4 %d\n", tt.value) // QEMU ends without an answer
		must(t, err)
		status, err := m.Wait(ctx)
		is(t, status.Code, 2*tt.value+1, err)
		err = m.Shutdown(ctx)
		var abnormal *machine.AbnormalShutdown
		if tt.well != (err == nil) || err != nil && !errors.As(err, &abnormal) {
			t.Errorf("%v, %d: %v", tt.codes, tt.value, err)
		}
	}
}

func TestQEMUThatCrashes(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	m, connect := newPC(t, machine.Options{})
	must(t, m.Launch(ctx))
	g := connect()
	_, err := io.WriteString(g.conn, "readb\n") // an assertion of QEMU's fails
	must(t, err)
	_, err = m.NextEvent(ctx)
	var ended *machine.ProcessEndedError
	if !errors.As(err, &ended) || ended.Exit.Signal != syscall.SIGABRT || !strings.Contains(ended.Output, "assertion failed") {
		t.Errorf("%v", err)
	}
	if _, err = m.QMP(ctx, "query-status", nil); !errors.As(err, &ended) {
		t.Errorf("%v", err)
	}
	if err := m.Shutdown(ctx); err == nil {
		t.Error("nothing was abnormal")
	}
}

func TestConsole(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	file := filepath.Join(t.TempDir(), "con,sole")
	m, connect := newPC(t, machine.Options{Console: true, ConsoleFile: file})
	is(t, m.Console(), nil, nil)
	must(t, m.Launch(ctx))
	g := connect()
	g.print("login: ")
	buf := make([]byte, 7)
	_, err := io.ReadFull(m.Console(), buf)
	is(t, string(buf), "login: ", err)
	_, err = io.WriteString(m.Console(), "x")
	must(t, err)
	eventually(t, "the guest reads an x", func() bool { return strings.HasSuffix(g.do("inb 0x3f8"), "78") })
	g.print("bye\n")
	_, err = m.Command(ctx, "quit", nil)
	must(t, err)
	rest, err := io.ReadAll(m.Console())
	is(t, string(rest), "bye\n", err)
	must(t, m.Shutdown(ctx))
	b, err := os.ReadFile(file)
	is(t, string(b), "login: bye\n", err)
	if _, err := m.Console().Read(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Shutdown: %v", err)
	}

	// With ConsoleFile only, QEMU appends to the file.
	m, connect = newPC(t, machine.Options{ConsoleFile: file})
	must(t, m.Launch(ctx))
	connect().print("again\n")
	must(t, m.Shutdown(ctx))
	b, err = os.ReadFile(file)
	is(t, string(b), "login: bye\nagain\n", err)
	is(t, m.Console(), nil, nil)
}

func TestDescriptors(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(1<<20))

	m, _ := newPC(t, machine.Options{Console: true}) // its socket comes after these
	m.AddFD(f, 3, "a,b")
	is(t, m.Inherit(f), 4, nil)
	must(t, m.Launch(ctx))
	sets, err := m.Command(ctx, "query-fdsets", nil)
	must(t, err)
	first := sets.([]any)[0].(map[string]any)
	is(t, machine.Match(first["fdset-id"], 3), true, nil)
	opaque := first["fds"].([]any)[0].(map[string]any)["opaque"]
	is(t, opaque, any("a,b"), nil)
	_, err = m.Command(ctx, "blockdev-add", machine.Args{"driver": "file", "node_name": "n0", "filename": "/dev/fdset/3"})
	must(t, err)

	set, err := m.PassFD(ctx, f, "passed")
	must(t, err)
	_, err = m.Command(ctx, "blockdev-add", machine.Args{"driver": "file", "node_name": "n1", "filename": set})
	must(t, err)
	unnamed, err := m.PassFD(ctx, f, "")
	must(t, err)
	if set == unnamed || !strings.HasPrefix(unnamed, "/dev/fdset/") {
		t.Errorf("sets %q, %q", set, unnamed)
	}
	must(t, m.SendFD(ctx, f, "mine"))
	_, err = m.Command(ctx, "closefd", machine.Args{"fdname": "mine"})
	must(t, err)
	_, err = m.Command(ctx, "closefd", machine.Args{"fdname": "mine"})
	var refused *async.ExecuteError
	if !errors.As(err, &refused) {
		t.Errorf("closed twice: %v", err)
	}
	if err := m.SendFD(ctx, f, "1"); !errors.As(err, &refused) { // a name must not begin with a digit
		t.Errorf("a bad name: %v", err)
	}
	must(t, m.Shutdown(ctx))
	if err := m.SendFD(ctx, f, "late"); !errors.Is(err, machine.ErrNotRunning) {
		t.Errorf("after Shutdown: %v", err)
	}
	if set, err := m.PassFD(ctx, f, "late"); !errors.Is(err, machine.ErrNotRunning) || set != "" {
		t.Errorf("after Shutdown: %q, %v", set, err)
	}
}

func TestHumanMonitor(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	m := newQEMU(t, machine.Options{})
	must(t, m.Launch(ctx))
	text, err := m.HMP(ctx, "info status")
	is(t, text, "VM status: running\n", err)
	text, err = m.HMP(ctx, "device_del nosuch")
	var failed *async.HMPError
	if !errors.As(err, &failed) || failed.Command != "device_del" || !strings.Contains(text, "'nosuch' not found\n") {
		t.Errorf("%q, %v", text, err)
	}
	must(t, m.Shutdown(ctx))
	if _, err := m.HMP(ctx, "info status"); !errors.Is(err, machine.ErrNotRunning) {
		t.Errorf("after Shutdown: %v", err)
	}
}

func TestManyQEMUs(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	start := time.Now()
	var wg sync.WaitGroup
	for range 6 {
		m := newQEMU(t, machine.Options{})
		wg.Go(func() {
			for range 2 { // the same machine again
				if err := m.Launch(ctx); err != nil {
					t.Error(err)
				}
				if err := m.Shutdown(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("12 launches took %v", time.Since(start))
}
