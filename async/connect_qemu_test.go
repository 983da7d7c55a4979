//go:build unix

// Tests with a real QEMU: connecting, accepting, the handshake, and waiting for
// the monitor (rules E1, E3, E8, E10, E12 and E14).
// The code that they hold: connect.go, listen.go and handshake.go.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

func TestE1Connect_QEMU(t *testing.T) {
	t.Parallel()
	hasIPv6(t)
	name := filepath.Base(qemutest.Dir(t)) // a name that no other run has
	// The system chooses the ports of the other monitors, so that they are free.
	// The monitor on a unix socket tells which ports these are.
	vm := qemutest.Machine(t, slices.Concat(
		[]string{"-qmp", onUnix},
		[]string{"-chardev", "socket,id=v4,host=127.0.0.1,port=0,server=on,wait=off"}, qemutest.OnChardev(t, "v4"),
		[]string{"-chardev", "socket,id=v6,host=::1,port=0,server=on,wait=off"}, qemutest.OnChardev(t, "v6"),
		[]string{"-chardev", "socket,id=abstract,path=" + name + ",abstract=on,tight=on,server=on,wait=off"}, qemutest.OnChardev(t, "abstract"),
	)...)
	first := dialReal(t, vm.Path("qmp"), nil)
	v4, v6 := boundPort(t, first, "v4"), boundPort(t, first, "v6")

	for name, addr := range map[string]string{
		"path":          vm.Path("qmp"),
		"unix scheme":   "unix:" + vm.Path("qmp"),
		"tcp":           "127.0.0.1:" + v4,
		"tcp scheme":    "tcp:127.0.0.1:" + v4,
		"tcp over IPv6": "[::1]:" + v6,
		"tcp scheme v6": "tcp:[::1]:" + v6,
		"abstract":      "@" + name,
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(addr, vm.Path("qmp")) {
				first.Close() // a monitor serves one client at a time
			}
			c := newClient(t, nil)
			w := c.WatchRunstate()
			if err := c.Connect(qemutest.Context(t), addr); err != nil {
				t.Fatal(err)
			}
			if g := c.Greeting(); g == nil || g.Version.Major < 4 || !slices.Contains(g.Capabilities, "oob") {
				t.Errorf("greeting: got %+v, want one of a QEMU with oob", g)
			}
			status := callReal[map[string]any](t, c, "query-status", nil)
			if status["status"] != "running" {
				t.Errorf("status: got %v, want running", status)
			}
			wantNil(t, "Disconnect", c.Disconnect(t.Context()))
			wantTransitions(t, w, "IDLE CONNECTING RUNNING DISCONNECTING IDLE")
		})
	}
}

func hasIPv6(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		qemutest.Lacks(t, "no IPv6 on this machine: %v", err)
	}
	ln.Close()
}

func TestE1Accept_QEMU(t *testing.T) {
	t.Parallel()
	name := filepath.Base(qemutest.Dir(t)) // a name that no other run has
	short := func(_ *testing.T, addr net.Addr) []string {
		return []string{"-qmp", addr.Network() + ":" + addr.String()}
	}
	for name, tt := range map[string]struct {
		addr string
		args func(*testing.T, net.Addr) []string
	}{
		"unix": {"qmp", short},
		"tcp":  {"127.0.0.1:0", short},
		"tcp over IPv6": {"[::1]:0", func(t *testing.T, addr net.Addr) []string {
			return socketChardev(t, fmt.Sprintf("host=::1,port=%d", addr.(*net.TCPAddr).Port))
		}},
		"abstract": {"@" + name, func(t *testing.T, _ net.Addr) []string {
			return socketChardev(t, "path="+name+",abstract=on,tight=on")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if strings.Contains(name, "IPv6") {
				hasIPv6(t)
			}
			addr, dir := tt.addr, qemutest.Dir(t)
			if addr == "qmp" {
				addr = dir + "/" + addr
			}
			ctx := qemutest.Context(t)
			c := newClient(t, nil)
			w := c.WatchRunstate()
			if err := c.Listen(ctx, addr); err != nil {
				t.Fatal(err)
			}
			wantState(t, c, async.Connecting)
			vm := qemutest.Start(t, qemutest.Command{
				Program: qemutest.QEMU, Dir: dir,
				Args: emptyMachine(tt.args(t, c.ListenAddr())...),
			})
			if err := c.Accept(ctx); err != nil {
				t.Fatal(err)
			}
			if a := c.ListenAddr(); a != nil {
				t.Errorf("still listening at %v", a)
			}
			if tt.addr == "qmp" {
				if _, err := os.Lstat(addr); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the socket is still there: %v", err)
				}
			}
			wantAlive(t, c)
			mustReal(t, c, "quit", nil)
			if err := vm.Wait(t); err != nil {
				t.Errorf("QEMU ended with %v", err)
			}
			_ = c.Disconnect(ctx) // an end of file, or nil if this side was first
			wantTransitions(t, w, "IDLE CONNECTING RUNNING DISCONNECTING IDLE")
		})
	}
}

// QEMU connects to us and exits before its greeting. The client is idle then,
// and can listen again.
func TestE1AcceptOfADyingPeer_QEMU(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	dir := qemutest.Dir(t)
	c := newClient(t, nil)
	for range 3 {
		if err := c.Listen(ctx, dir+"/qmp"); err != nil {
			t.Fatal(err)
		}
		accepted := do(func() error { return c.Accept(ctx) })
		// QEMU connects, and then refuses the second option.
		vm := qemutest.Start(t, qemutest.Command{
			Program: qemutest.QEMU, Dir: dir,
			Args: emptyMachine("-qmp", "unix:qmp", "-device", "no-such-device"),
		})
		err := await(t, "Accept", accepted)
		e := wantAs[*async.ConnectError](t, "Accept", err)
		if e.Op != "accept" || e.Stage != async.StageSession || !isGone(err) {
			t.Errorf("Accept: got %v (operation %q, stage %q), want the end of the session", err, e.Op, e.Stage)
		}
		wantState(t, c, async.Idle)
		if vm.Wait(t) == nil {
			t.Error("QEMU accepted a device that does not exist")
		}
	}
}

func TestE1ConnectAgain_QEMU(t *testing.T) {
	t.Parallel()
	vm, c := startReal(t, nil)
	for i := range 20 {
		wantAlive(t, c)
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		wantState(t, c, async.Idle)
		if err := c.Connect(qemutest.Context(t), vm.Path("qmp")); err != nil {
			t.Fatalf("connection %d: %v", i+2, err)
		}
	}
	// Another client after that one.
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	wantAlive(t, dialReal(t, vm.Path("qmp"), nil))
}

// QEMU serves one client at a time. A second one can connect, and gets no
// greeting until the first one has gone.
func TestE12SecondClientIsToldWhy_QEMU(t *testing.T) {
	t.Parallel()
	vm, first := startReal(t, nil)
	events := first.NewListener(nil)
	defer events.Close()

	second := newClient(t, nil)
	ctx, cancel := context.WithTimeout(qemutest.Context(t), 300*time.Millisecond)
	defer cancel()
	err := second.Connect(ctx, vm.Path("qmp"))
	wantAs[*async.ConnectError](t, "second client", err)
	wantAs[*async.GreetingError](t, "second client", err)
	wantIs(t, "second client", err, context.DeadlineExceeded)
	wantText(t, "second client", err, "another client connected?")
	wantState(t, second, async.Idle)

	wantAlive(t, first)
	mustReal(t, first, "stop", nil)
	wantNames(t, "first client", drained(t, events), "STOP")

	// The second one gets in when the first one goes.
	connected := do(func() error { return second.Connect(qemutest.Context(t), vm.Path("qmp")) })
	wantNil(t, "Disconnect", first.Disconnect(t.Context()))
	if err := await(t, "second client", connected); err != nil {
		t.Fatal(err)
	}
	wantAlive(t, second)
}

// Each monitor of a machine is a server of its own. Each of them sends all
// events.
func TestE3SeveralMonitors_QEMU(t *testing.T) {
	t.Parallel()
	const n = 4
	var args []string
	for i := range n {
		args = append(args, "-qmp", fmt.Sprintf("unix:m%d,server=on,wait=%s", i, onOff(i == 0)))
	}
	vm := qemutest.Machine(t, args...)
	var clients []*async.Client
	var listeners []*async.EventListener
	for i := range n {
		c := dialReal(t, vm.Path(fmt.Sprintf("m%d", i)), nil)
		wantAlive(t, c) // wait=off needs it: see onUnix
		clients = append(clients, c)
		listeners = append(listeners, c.NewListener(nil))
	}
	for i, c := range clients {
		mustReal(t, c, "stop", nil)
		mustReal(t, c, "cont", nil)
		// The client that executed the commands has the events when its calls return ...
		if got := listeners[i].Len(); got < 2*(i+1) {
			t.Errorf("monitor %d has %d events after its call, want at least %d", i, got, 2*(i+1))
		}
	}
	// ... the others soon.
	for i, l := range listeners {
		var got []string
		for range 2 * n {
			ev, err := l.Next(qemutest.Context(t))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, ev.Name)
		}
		wantNames(t, fmt.Sprintf("monitor %d", i), got, strings.Repeat("STOP RESUME ", n))
	}
	wantNil(t, "Disconnect", clients[0].Disconnect(t.Context()))
	for _, c := range clients[1:] {
		wantAlive(t, c)
	}
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func TestE8NegotiationAsksForOOB_QEMU(t *testing.T) {
	t.Parallel()
	opts := &async.Options{}
	w := watchWire(opts)
	_, c := startReal(t, opts)
	if !slices.Contains(c.Greeting().Capabilities, "oob") {
		t.Fatalf("this QEMU offers %v, not oob", c.Greeting().Capabilities)
	}
	if got := w.replies(); len(got) != 2 || got[1] != `{"return": {}, "id": 1}` {
		t.Errorf("handshake: got %q, want a greeting and the reply to command 1", got)
	}
	wantOOB(t, c, "after the handshake")
}

func TestE8NoOOBDeclines_QEMU(t *testing.T) {
	t.Parallel()
	opts := &async.Options{NoOOB: true}
	w := watchWire(opts)
	_, c := startReal(t, opts)
	_, err := c.ExecuteOOB(qemutest.Context(t), "migrate-pause", nil)
	wantIs(t, "ExecuteOOB", err, async.ErrNoOOB)
	if got := w.commands(); len(got) != 0 {
		t.Errorf("sent %v, want nothing", got)
	}
	// In QEMU, too, the capability is off.
	_, err = c.Do(qemutest.Context(t), async.Command{Object: json.RawMessage(`{"exec-oob": "migrate-pause"}`)})
	wantIs(t, "exec-oob as an object", err, async.ErrNoOOB)
	wantAlive(t, c)
}

// Before the negotiation a server refuses all other commands.
func TestE12SkipNegotiation_QEMU(t *testing.T) {
	t.Parallel()
	_, c := startReal(t, &async.Options{SkipNegotiation: true})
	_, err := c.Execute(qemutest.Context(t), "query-status", nil)
	e := wantAs[*async.ExecuteError](t, "query-status", err)
	if e.Class != "CommandNotFound" || !strings.Contains(e.Desc, "qmp_capabilities") {
		t.Errorf("got %v, want that negotiation is expected", e)
	}
	mustReal(t, c, "qmp_capabilities", nil)
	wantAlive(t, c)
}

// With pretty=on a message has many lines.
func TestE10PrettyMonitor_QEMU(t *testing.T) {
	t.Parallel()
	opts := &async.Options{}
	w := watchWire(opts)
	vm := qemutest.Machine(t, append([]string{"-chardev", "socket,id=m,path=qmp,server=on"}, qemutest.OnChardev(t, "m", "pretty=on")...)...)
	c := dialReal(t, vm.Path("qmp"), opts)
	events := c.NewListener(nil)
	defer events.Close()
	mustReal(t, c, "stop", nil)
	mustReal(t, c, "cont", nil)
	wantNames(t, "events", drained(t, events), "STOP RESUME")
	schema := callReal[[]json.RawMessage](t, c, "query-qmp-schema", nil)
	if len(schema) < 500 {
		t.Errorf("schema of %d entries", len(schema))
	}
	wantAlive(t, c)
	for _, msg := range w.messages() {
		if strings.Count(msg, "\n") < 2 {
			t.Errorf("a message on few lines: is this monitor pretty? %q", msg)
		}
	}
}

// The client begins to connect before the socket exists.
func TestE14WaitsForTheSocket_QEMU(t *testing.T) {
	t.Parallel()
	dir := qemutest.Dir(t)
	tried := make(chan struct{}, 1)
	c := newClient(t, &async.Options{
		Backoff: async.Every(qemutest.DialEvery),
		Dialer: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, "unix", dir+"/qmp")
			select {
			case tried <- struct{}{}:
			default:
			}
			return conn, err
		},
	})
	connected := do(func() error { return c.Connect(qemutest.Context(t), "the socket that is to come") })
	await(t, "a first attempt", tried)
	qemutest.Start(t, qemutest.Command{
		Program: qemutest.QEMU, Dir: dir,
		Args: emptyMachine("-qmp", onUnix),
	})
	if err := await(t, "Connect", connected); err != nil {
		t.Fatal(err)
	}
	wantAlive(t, c)

	// Without a policy it is tried once.
	err := newClient(t, nil).Connect(qemutest.Context(t), dir+"/nothing")
	if e := wantAs[*async.ConnectError](t, "no policy", err); e.Attempts != 1 {
		t.Errorf("dialed %d times, want once", e.Attempts)
	}
	wantIs(t, "no policy", err, os.ErrNotExist)
}

// The monitor's queue is full: QEMU serves one client, two wait, and the next
// one gets EAGAIN. The client waits for room.
func TestE14WaitsForRoomInTheQueue_QEMU(t *testing.T) {
	t.Parallel()
	vm, first := startReal(t, nil)
	var waiting []net.Conn
	for {
		conn, err := net.Dial("unix", vm.Path("qmp"))
		if err != nil {
			wantIs(t, "a client for which there is no room", err, syscall.EAGAIN)
			break
		}
		defer conn.Close()
		if waiting = append(waiting, conn); len(waiting) == 100 {
			t.Fatal("QEMU's queue is never full")
		}
	}
	err := newClient(t, nil).Connect(qemutest.Context(t), vm.Path("qmp"))
	wantIs(t, "without a policy", err, syscall.EAGAIN)

	tried := make(chan struct{}, 1)
	c := newClient(t, &async.Options{
		Backoff: async.Every(qemutest.DialEvery),
		Dialer: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, "unix", vm.Path("qmp"))
			select {
			case tried <- struct{}{}:
			default:
			}
			return conn, err
		},
	})
	connected := do(func() error { return c.Connect(qemutest.Context(t), "") })
	await(t, "a first attempt", tried)
	for _, conn := range waiting {
		conn.Close()
	}
	wantNil(t, "Disconnect", first.Disconnect(t.Context()))
	if err := await(t, "Connect", connected); err != nil {
		t.Fatal(err)
	}
	wantAlive(t, c)
}
