//go:build unix

// Helpers of the tests that drive QEMU's own programs. These tests are in the
// files named *_qemu_test.go. Their names begin with the rule of the engine
// that they hold, and end in _QEMU.
package async_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// onUnix is a monitor at the unix socket "qmp" in the process's directory.
//
// QEMU waits there for the first client before it goes on. With wait=off, QEMU
// 7.2 gives the listening socket to the monitor's own thread while QEMU starts.
// It may never answer a client that connects at that moment: its main loop
// waits in accept(2) for another client, or both threads read what the client
// sends and each gets a part. Where a test needs wait=off, it connects after
// QEMU has answered at another monitor.
const onUnix = "unix:qmp,server=on"

// arguments are the arguments of a command.
type arguments = map[string]any

// dialReal connects to a monitor, and waits for it if it is not up yet. It
// disconnects when the test ends.
func dialReal(t *testing.T, addr string, opts *async.Options) *async.Client {
	t.Helper()
	if opts == nil {
		opts = &async.Options{}
	}
	o := *opts
	o.Backoff = async.Every(qemutest.DialEvery)
	c := newClient(t, &o)
	if err := c.Connect(qemutest.Context(t), addr); err != nil {
		t.Fatal(err)
	}
	return c
}

// startReal starts an empty machine and connects to its monitor.
func startReal(t *testing.T, opts *async.Options, args ...string) (*qemutest.Process, *async.Client) {
	t.Helper()
	vm := qemutest.Machine(t, append([]string{"-qmp", onUnix}, args...)...)
	return vm, dialReal(t, vm.Path("qmp"), opts)
}

// callReal executes a command that must succeed, and decodes its value.
func callReal[T any](t *testing.T, c *async.Client, cmd string, args any) T {
	t.Helper()
	v, err := async.Call[T](qemutest.Context(t), c, cmd, args)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// mustReal executes a command that must succeed, and ignores its value.
func mustReal(t *testing.T, c *async.Client, cmd string, args any) {
	t.Helper()
	callReal[json.RawMessage](t, c, cmd, args)
}

// wantAlive checks that c and its connection work: a command gets its own
// reply, in which QEMU names the command.
func wantAlive(t *testing.T, c *async.Client) {
	t.Helper()
	const token = "is-this-mine"
	_, err := c.Execute(qemutest.Context(t), token, nil)
	wantToken(t, err, token)
}

// wantOOB checks that QEMU answers an out-of-band command. Every version of
// QEMU allows migrate-pause out of band, and refuses it where no migration can
// be paused. (query-yank would succeed, but it is only in QEMU 6.0 and later.)
func wantOOB(t *testing.T, c *async.Client, when string) {
	t.Helper()
	_, err := c.ExecuteOOB(qemutest.Context(t), "migrate-pause", nil)
	if e := wantAs[*async.ExecuteError](t, "out of band, "+when, err); e.Class != "GenericError" {
		t.Errorf("out of band, %s: %v, want QEMU's refusal", when, err)
	}
}

// wantToken checks that err is QEMU's answer to an unknown command of that name.
func wantToken(t *testing.T, err error, token string) {
	t.Helper()
	e := wantAs[*async.ExecuteError](t, token, err)
	if want := "The command " + token + " has not been found"; e.Class != "CommandNotFound" || e.Desc != want {
		t.Errorf("%s: got the reply %s: %s, want %q", token, e.Class, e.Desc, want)
	}
}

// await returns the next value of ch.
func await[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-qemutest.Context(t).Done():
		t.Fatalf("%s: nothing within %v", what, qemutest.Patience)
		panic("unreachable")
	}
}

// wantPending checks that a call has not ended. The test has already seen
// elsewhere what could have ended it.
func wantPending(t *testing.T, what string, done <-chan result) {
	t.Helper()
	select {
	case r := <-done:
		t.Errorf("%s: got %s and error %v, want no answer yet", what, r.value, r.err)
	default:
	}
}

// A wire watches a connection through the hooks of its client. With it a test
// waits until a command is sent, and not for some time to pass.
type wire struct {
	mu       sync.Mutex
	sent     []string // the names of the commands
	received []string // the messages
	changed  chan struct{}
}

func watchWire(opts *async.Options) *wire {
	w := &wire{changed: make(chan struct{})}
	opts.OnSend = func(msg json.RawMessage) json.RawMessage {
		var cmd struct {
			Execute string `json:"execute"`
			ExecOOB string `json:"exec-oob"`
		}
		if err := json.Unmarshal(msg, &cmd); err != nil {
			panic(err)
		}
		w.note(func() { w.sent = append(w.sent, cmd.Execute+cmd.ExecOOB) })
		return nil
	}
	opts.OnReceive = func(msg json.RawMessage) json.RawMessage {
		w.note(func() { w.received = append(w.received, string(msg)) })
		return nil
	}
	return w
}

func (w *wire) note(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
}

// commands returns the names of all commands sent since the handshake.
func (w *wire) commands() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.sent), func(name string) bool { return name == "qmp_capabilities" })
}

// messages returns all messages that were received.
func (w *wire) messages() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.received)
}

// replies returns the greeting and all replies that were received, without the
// events: a machine that starts may send some before them.
func (w *wire) replies() []string {
	return slices.DeleteFunc(w.messages(), func(msg string) bool { return strings.Contains(msg, `"event": `) })
}

// precededReply reports whether an event of that name came before the last reply.
func (w *wire) precededReply(event string) bool {
	came, before := false, false
	for _, msg := range w.messages() {
		switch {
		case strings.Contains(msg, `"event": "`+event+`"`):
			came = true
		case !strings.Contains(msg, `"event": `):
			before = came
		}
	}
	return before
}

// await waits until n commands were sent since the handshake. What another call
// sends after that comes after these commands.
func (w *wire) await(t *testing.T, n int) {
	t.Helper()
	ctx := qemutest.Context(t)
	for {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		sent := w.commands()
		if len(sent) >= n {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("only %v sent within %v, want %d commands", sent, qemutest.Patience, n)
		}
	}
}

// awaitUnread waits until some bytes that c has sent are in the socket and
// unread, as a stopped QEMU leaves them: the write of a message has begun.
func awaitUnread(t *testing.T, c *async.Client) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	ctx := qemutest.Context(t)
	for unread := 0; unread == 0; time.Sleep(time.Millisecond) {
		ctlErr := raw.Control(func(fd uintptr) { unread, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
		if err := errors.Join(ctlErr, err, ctx.Err()); err != nil {
			t.Fatalf("wait for a message to be written: %v", err)
		}
	}
}

// A block is a command that keeps QEMU's main loop busy for as long as the test
// wants: it writes more to a FIFO than a FIFO holds. The monitor's own thread
// goes on, and answers out-of-band commands.
type block struct {
	cmd    async.Command
	path   string
	reader *os.File
}

const blockSize = 256 << 10

func newBlock(t *testing.T, vm *qemutest.Process) *block {
	t.Helper()
	path := filepath.Join(vm.Dir, "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return &block{path: path, cmd: async.Command{
		Name: "pmemsave",
		Args: arguments{"val": 0, "size": blockSize, "filename": path},
	}}
}

// awaitStart returns when QEMU is busy with the command.
func (b *block) awaitStart(t *testing.T) {
	t.Helper()
	opened := do(func() (err error) {
		b.reader, err = os.Open(b.path) // Open waits until the command opens the FIFO to write
		return err
	})
	if err := await(t, "the start of the blocked command", opened); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.reader.Close() })
}

// release lets the command finish. It will succeed.
func (b *block) release(t *testing.T) {
	t.Helper()
	if b.reader == nil {
		b.awaitStart(t)
	}
	defer b.reader.Close()
	if n, err := io.Copy(io.Discard, b.reader); n != blockSize || err != nil {
		t.Fatalf("the blocked command wrote %d bytes, %v; want %d", n, err, blockSize)
	}
}

// spoil lets the command finish. It will fail.
func (b *block) spoil(t *testing.T) {
	t.Helper()
	if b.reader == nil {
		b.awaitStart(t)
	}
	b.reader.Close()
}

// isGone reports whether err is the end of a connection to a process that was
// killed: an end of file, or a reset if the process had not read everything.
func isGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}

// emptyMachine returns the command line of Machine, for tests that start QEMU
// in another way.
func emptyMachine(args ...string) []string {
	return append([]string{"-nodefaults", "-machine", "none", "-display", "none"}, args...)
}

// wantListening checks that only the owner can connect to c's socket at path.
func wantListening(t *testing.T, c *async.Client, path string) {
	t.Helper()
	wantState(t, c, async.Connecting)
	if a := c.ListenAddr(); a == nil || a.String() != path || a.Network() != "unix" {
		t.Errorf("listens at %v, want unix socket %s", a, path)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode(), fs.ModeSocket|0o600; got != want {
		t.Errorf("mode of the socket is %v, want %v", got, want)
	}
	wantFiles(t, filepath.Dir(path), filepath.Base(path))
}

// socketChardev returns the arguments for a monitor at a chardev. TCP over IPv6
// needs that: QEMU 7.2 refuses the short form, -qmp tcp:[::1]:PORT.
func socketChardev(t *testing.T, options string) []string {
	t.Helper()
	return append([]string{"-chardev", "socket,id=m," + options}, qemutest.OnChardev(t, "m")...)
}

// boundPort returns the port that the system chose for the chardev id, which
// was given port 0. It asks over c.
func boundPort(t *testing.T, c *async.Client, id string) string {
	t.Helper()
	type chardev struct {
		Label    string `json:"label"`
		Filename string `json:"filename"`
	}
	for _, dev := range callReal[[]chardev](t, c, "query-chardev", nil) {
		if dev.Label == id {
			// Filename is, for example, disconnected:tcp:127.0.0.1:4444,server=on
			addr, _, _ := strings.Cut(dev.Filename, ",")
			return addr[strings.LastIndexByte(addr, ':')+1:]
		}
	}
	t.Fatalf("no chardev %s", id)
	return ""
}

// startTCP starts an empty machine and connects to its monitor over TCP.
func startTCP(t *testing.T, opts *async.Options) (*qemutest.Process, *async.Client) {
	t.Helper()
	vm, addr := tcpMonitor(t)
	return vm, dialReal(t, addr, opts)
}

// someFiles makes n different files.
func someFiles(t *testing.T, n int) []*os.File {
	t.Helper()
	dir := qemutest.Dir(t)
	var files []*os.File
	for i := range n {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("file-%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		files = append(files, f)
	}
	return files
}

// tcpMonitor starts an empty machine with a monitor on TCP, and returns its
// address. The system chooses the port, so that it is free. A second monitor
// tells which one it is.
func tcpMonitor(t *testing.T) (*qemutest.Process, string) {
	t.Helper()
	vm, teller := startReal(t, nil, socketChardev(t, "host=127.0.0.1,port=0,server=on,wait=off")...)
	defer teller.Close()
	return vm, "127.0.0.1:" + boundPort(t, teller, "m")
}
