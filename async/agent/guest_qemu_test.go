//go:build unix

package agent_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/internal/socket"
	"github.com/goqmp/qmp/internal/testing/guest"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/qapi/qga"
)

// TestGuest_QEMU boots one guest for everything that needs a real one.
func TestGuest_QEMU(t *testing.T) {
	t.Parallel()
	args := guest.Args(t, guest.Options{Agent: true})
	ours, theirs, err := socket.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	vm := qemutest.Start(t, qemutest.Command{
		Program: qemutest.QEMU, Files: []*os.File{theirs},
		Args: append(append(args, guest.AgentArgs("agent")...),
			"-display", "none", "-chardev", "socket,id=console,fd=3", "-serial", "chardev:console",
			"-qmp", "unix:monitor,server=on,wait=off", "-chardev", "socket,id=agent,path=agent,server=on,wait=off"),
	})
	g := &realGuest{vm: vm, console: guest.Attach(t, ours)}

	// The guest has not booted yet. Dial waits for the agent.
	opts := waitForSocket()
	opts.LostAfter = 300 * time.Millisecond
	if g.Client, err = agent.Dial(guest.Context(t), vm.Path("agent"), opts); err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"exec", g.exec},
		{"stream", g.stream},
		{"files", g.files},
		{"typed", g.typed},
		{"freeze", g.freeze},
		{"restart of the agent", g.restartAgent},
		{"reboot", g.reboot},
		{"reconnect", g.reconnect},
		{"shutdown", g.shutdown},
	} {
		if !t.Run(part.name, part.run) {
			return
		}
	}
}

// A realGuest is a guest with its agent and its console.
type realGuest struct {
	*agent.Client
	vm      *qemutest.Process
	console *guest.Console
}

func (g *realGuest) exec(t *testing.T) {
	ctx := guest.Context(t)
	cmd := g.Command(ctx, "/bin/sh", "-c", "cat; uname -s >&2; exit 7")
	cmd.Stdin = strings.NewReader("input")
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*agent.ExitError](err); !ok || exit.Code != 7 || string(exit.Stderr) != "Linux\n" || string(out) != "input" {
		t.Errorf("got %q, %v", out, err)
	}
	if out, err := g.Command(ctx, "/bin/sh", "-c", "echo 1; echo 2 >&2").CombinedOutput(); string(out) != "1\n2\n" || err != nil {
		t.Errorf("both streams: %q, %v", out, err)
	}
}

func (g *realGuest) stream(t *testing.T) {
	ctx := guest.Context(t)
	cmd := g.Command(ctx, "/bin/sh", "-c", `while read -r line; do echo "guest: $line"; done`)
	in, lines := startPiped(t, cmd)
	for _, word := range []string{"one", "two"} {
		fmt.Fprintln(in, word)
		if line, err := lines.ReadString('\n'); line != "guest: "+word+"\n" || err != nil {
			t.Errorf("got %q, %v", line, err)
		}
	}
	in.Close()
	if _, err := lines.ReadByte(); err != io.EOF {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if left, err := fs.Glob(g.FS(ctx, "/tmp"), "qga-*"); len(left) > 0 || err != nil {
		t.Errorf("left: %q, %v", left, err)
	}
}

func (g *realGuest) files(t *testing.T) {
	ctx := guest.Context(t)
	text := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	want := agent.Copied{Size: int64(len(text)), SHA256: sha256.Sum256(text), Checked: true}
	copied, err := g.CopyIn(ctx, "/mnt/file", bytes.NewReader(text), int64(len(text)), nil)
	if err != nil || copied != want {
		t.Errorf("CopyIn: %+v, %v", copied, err)
	}
	var back bytes.Buffer
	copied, err = g.CopyOut(ctx, &writerAt{&back}, "/mnt/file", &agent.CopyOptions{Parallel: 1})
	if err != nil || copied != want || !bytes.Equal(back.Bytes(), text) {
		t.Errorf("CopyOut: %+v, %v", copied, err)
	}
	fsys := g.FS(ctx, "/mnt")
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil || len(entries) != 2 || entries[0].Name() != "file" || !entries[1].IsDir() {
		t.Errorf("ReadDir: %v, %v", entries, err)
	}
	if info, err := fs.Stat(fsys, "file"); err != nil || info.Size() != want.Size {
		t.Errorf("Stat: %v, %v", info, err)
	}
}

func (g *realGuest) typed(t *testing.T) {
	ctx := guest.Context(t)
	interfaces, err := qga.GuestNetworkGetInterfaces(ctx, g)
	if err != nil || len(interfaces) != 1 || interfaces[0].Name != "lo" {
		t.Errorf("interfaces: %v, %v", interfaces, err)
	}
	cpus, err := qga.GuestGetVCPUs(ctx, g)
	if err != nil || len(cpus) != 1 || !cpus[0].Online {
		t.Errorf("processors: %v, %v", cpus, err)
	}
	if _, err := qga.GuestFstrim(ctx, g, nil); err != nil {
		t.Errorf("fstrim: %v", err)
	}
	if now, err := qga.GuestGetTime(ctx, g); err != nil || now < 1_500_000_000_000_000_000 {
		t.Errorf("the time is %d, %v", now, err)
	}
}

func (g *realGuest) freeze(t *testing.T) {
	ctx := guest.Context(t)
	// The agent has this file while it freezes. One of the writes lasts until it thaws.
	writer := g.Command(ctx, "/bin/sh", "-c", `until [ -e /run/qga.state.isfrozen ]; do sleep 0.02; done
while [ -e /run/qga.state.isfrozen ]; do
	read -r begin _ </proc/uptime; echo x >/mnt/x; read -r end _ </proc/uptime
	[ $begin = $end ] || echo $begin $end
done`)
	var times bytes.Buffer
	writer.Stdout = &times
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	err := g.Freeze(ctx, nil, func(ctx context.Context) error {
		if status, err := qga.GuestFsfreezeStatus(ctx, g); status != qga.GuestFsfreezeStatusOptionsFrozen {
			t.Errorf("the status is %q, %v", status, err)
		}
		err := g.Command(ctx, "true").Run()
		if err == nil || !strings.Contains(err.Error(), "frozen") {
			t.Errorf("guest-exec: %v", err)
		}
		time.Sleep(500 * time.Millisecond)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Wait(); err != nil {
		t.Error(err)
	}
	longest := 0.0
	for line := range strings.Lines(times.String()) {
		var begin, end float64
		if _, err := fmt.Sscan(line, &begin, &end); err != nil {
			t.Error(err)
		}
		longest = max(longest, end-begin)
	}
	if longest < 0.1 {
		t.Errorf("while the file system is frozen the longest write took %v s", longest)
	}

	// The limit is reached while the function runs.
	err = g.Freeze(ctx, &agent.FreezeOptions{Limit: 50 * time.Millisecond}, func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	})
	leaseError(t, err, agent.ErrFreezeLimit)
}

func (g *realGuest) restartAgent(t *testing.T) {
	ctx := guest.Context(t)
	sleep := g.Command(ctx, "sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	lost := make(chan error, 1)
	go func() { lost <- sleep.Wait() }()
	// The agent may be killed before it replies.
	err := g.Command(ctx, "/bin/sh", "-c", "kill -9 $PPID").Start()
	if err != nil && !errors.As(err, new(*agent.LostReplyError)) {
		t.Fatal(err)
	}
	if err := <-lost; !errors.As(err, new(*agent.LostProcessError)) {
		t.Errorf("Wait: %v", err)
	}
	if out, err := g.Command(ctx, "echo", "again").Output(); string(out) != "again\n" || err != nil {
		t.Errorf("after the restart: %q, %v", out, err)
	}
}

// The guest restarts while commands wait.
func (g *realGuest) reboot(t *testing.T) {
	ctx := guest.Context(t)
	sleep := g.Command(ctx, "sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	// The agent is stopped, so one of the commands is in the guest when that restarts.
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = g.Command(ctx, "/bin/sh", "-c", "kill -STOP $PPID").Start() // the agent may be stopped before it replies
	}()
	monitor, err := async.Dial(ctx, g.vm.Path("monitor"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer monitor.Close()
	process, pinged := make(chan error, 1), make(chan error, 1)
	go func() { process <- sleep.Wait() }()
	var pings atomic.Int64
	go func() {
		for {
			if err := qga.GuestPing(ctx, g); err != nil {
				pinged <- err
				return
			}
			pings.Add(1)
		}
	}()
	for before := int64(-1); pings.Load() > before; time.Sleep(300 * time.Millisecond) {
		before = pings.Load()
	}
	if _, err := monitor.Execute(ctx, "system_reset", nil); err != nil {
		t.Fatal(err)
	}
	<-stopped
	if err := <-process; !errors.As(err, new(*agent.LostProcessError)) {
		t.Errorf("Wait: %v", err)
	}
	if err := <-pinged; !errors.As(err, new(*agent.LostReplyError)) {
		t.Errorf("guest-ping: %v", err)
	}
	g.console.Await("ready", 2)
	if out, err := g.Command(ctx, "echo", "again").Output(); string(out) != "again\n" || err != nil {
		t.Errorf("after the reboot: %q, %v", out, err)
	}
}

// A client hangs up in the middle of a command. The next one is not confused.
func (g *realGuest) reconnect(t *testing.T) {
	ctx := guest.Context(t)
	if err := g.Disconnect(ctx); err != nil {
		t.Error(err)
	}
	for range 3 {
		conn, err := net.Dial("unix", g.vm.Path("agent"))
		for err != nil && ctx.Err() == nil { // QEMU's queue is full
			time.Sleep(qemutest.DialEvery)
			conn, err = net.Dial("unix", g.vm.Path("agent"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, `{"execute": "guest-info"}{"execute": "guest-ping", "arguments": {"garbage`); err != nil {
			t.Error(err)
		}
		conn.Close()
	}
	var err error
	if g.Client, err = agent.Dial(ctx, g.vm.Path("agent"), waitForSocket()); err != nil {
		t.Fatal(err)
	}
	if err := qga.GuestPing(ctx, g); err != nil {
		t.Error(err)
	}
}

func (g *realGuest) shutdown(t *testing.T) {
	ctx := guest.Context(t)
	if err := qga.GuestShutdown(ctx, g, nil, 0); err != nil {
		t.Error(err)
	}
	if err := g.vm.Wait(t); err != nil {
		t.Error(err)
	}
	<-g.Done()
	if !async.HungUp(g.Err()) {
		t.Errorf("the connection ended with %v", g.Err())
	}
}
