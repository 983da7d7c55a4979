//go:build unix

package agent_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// startPiped starts cmd, whose input and output are pipes.
func startPiped(t *testing.T, cmd *agent.Cmd) (io.WriteCloser, *bufio.Reader) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return in, bufio.NewReader(out)
}

// empty waits until a folder of temporary files is empty.
func empty(t *testing.T, dir string) {
	t.Helper()
	for end := time.Now().Add(qemutest.Patience); ; time.Sleep(5 * time.Millisecond) {
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("left: %v", left)
		}
	}
}

// A program answers each line of its input before it gets the next one.
func TestStreamDialogue_QEMU(t *testing.T) {
	t.Parallel()
	ctx, a := dialReal(t)
	cmd := a.Command(ctx, "/bin/sh", "-c", `while read -r line; do echo "$NAME: $line"; done; echo "end in $PWD" >&2; exit 3`)
	cmd.TempDir, cmd.Dir = qemutest.Dir(t), "/usr"
	cmd.Env = []string{"NAME=guest", "PATH=/usr/bin:/bin"}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for _, word := range []string{"one", "two  three", "four"} {
		fmt.Fprintln(in, word)
		if line, err := lines.ReadString('\n'); line != "guest: "+word+"\n" || err != nil {
			t.Errorf("got %q, %v", line, err)
		}
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(lines); len(rest) > 0 || err != nil {
		t.Errorf("the rest is %q, %v", rest, err)
	}
	err = cmd.Wait()
	if exit, ok := errors.AsType[*agent.ExitError](err); !ok || exit.Code != 3 {
		t.Errorf("Wait: %v", err)
	}
	if stderr.String() != "end in /usr\n" {
		t.Errorf("standard error: %q", &stderr)
	}
	if _, err := in.Write([]byte("late")); err == nil {
		t.Error("a write after the program's exit")
	}
	if err := cmd.Wait(); err == nil {
		t.Error("a second Wait")
	}
	empty(t, cmd.TempDir)
}

// More input and output than is on its way at a time.
func TestStreamLarge_QEMU(t *testing.T) {
	t.Parallel()
	ctx, a := dialReal(t)
	text := make([]byte, 3<<20+17)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(text)
	cmd := a.Command(ctx, "cat")
	cmd.Stream, cmd.TempDir, cmd.Stdin = true, qemutest.Dir(t), bytes.NewReader(text)
	out, err := cmd.Output()
	if err != nil || sha256.Sum256(out) != sha256.Sum256(text) {
		t.Errorf("%d bytes came back, %v", len(out), err)
	}
	empty(t, cmd.TempDir)
}

// Programs that do not read their input, write nothing, or write both streams to one.
func TestStreamOddPrograms_QEMU(t *testing.T) {
	t.Parallel()
	ctx, a := dialReal(t)
	dir := qemutest.Dir(t)
	stream := func(script string) *agent.Cmd {
		cmd := a.Command(ctx, "/bin/sh", "-c", script)
		cmd.Stream, cmd.TempDir = true, dir
		return cmd
	}
	deaf := stream("exit 0")
	deaf.Stdin = strings.NewReader("input")
	if err := deaf.Run(); err != nil {
		t.Errorf("a program that does not read: %v", err)
	}
	if out, err := stream("echo 1; echo 2 >&2; echo 3").CombinedOutput(); err != nil || string(out) != "1\n2\n3\n" {
		t.Errorf("both streams: %q, %v", out, err)
	}
	err := stream("kill -9 $$").Run()
	if exit, ok := errors.AsType[*agent.ExitError](err); !ok || exit.Signal != 9 {
		t.Errorf("killed: %v", err)
	}
	broken := stream("cat")
	broken.Stdin = io.MultiReader(strings.NewReader("x"), errReader{})
	if out, err := broken.Output(); string(out) != "x" || !errors.Is(err, errBroken) {
		t.Errorf("an input that breaks: %q, %v", out, err)
	}
	full := stream("echo x")
	full.Stdout = errWriter{}
	if err := full.Run(); !errors.Is(err, errBroken) {
		t.Errorf("a writer that fails: %v", err)
	}
	empty(t, dir)
}

// The context ends while the program runs. The temporary files are removed, and the
// program can be killed.
func TestStreamGivesUp_QEMU(t *testing.T) {
	t.Parallel()
	ctx, a := dialReal(t)
	short, cancel := context.WithCancel(ctx)
	cmd := a.Command(short, "/bin/sh", "-c", "echo begin; exec sleep 600")
	cmd.TempDir = qemutest.Dir(t)
	in, lines := startPiped(t, cmd)
	if line, err := lines.ReadString('\n'); line != "begin\n" || err != nil {
		t.Errorf("got %q, %v", line, err)
	}
	cancel()
	if _, err := lines.ReadString('\n'); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	if _, err := in.Write([]byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("write: %v", err)
	}
	if err := cmd.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: %v", err)
	}
	empty(t, cmd.TempDir)
	if err := cmd.Kill(ctx); err != nil {
		t.Error(err)
	}
}

// Nothing is started where streaming cannot work, and the error says why.
func TestStreamCannotWork_QEMU(t *testing.T) {
	t.Parallel()
	dir := qemutest.Dir(t)
	refused := func(cmd *agent.Cmd, words string) {
		t.Helper()
		cmd.Stdin = strings.NewReader("input")
		_, err := cmd.Output()
		if e, ok := errors.AsType[*agent.StreamError](err); !ok || !strings.Contains(e.Error(), words) || e.Path != cmd.Path {
			t.Errorf("got %v, want a StreamError with %q", err, words)
		}
	}
	ctx, a := dialReal(t)
	streaming := func(a *agent.Client, name string) *agent.Cmd {
		cmd := a.Command(ctx, name, filepath.Join(dir, "ran"))
		cmd.Stream, cmd.TempDir = true, dir
		return cmd
	}
	refused(streaming(a, "/nonexistent"), "cannot start /nonexistent")
	nowhere := streaming(a, "touch")
	nowhere.Dir = "/nonexistent"
	refused(nowhere, "/nonexistent")
	nowhere = streaming(a, "touch")
	nowhere.TempDir = "/nonexistent"
	refused(nowhere, "/nonexistent")
	_, restricted := dialReal(t, "guest-file-write")
	refused(streaming(restricted, "touch"), "guest-file-write")
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("a program was started")
	}
	empty(t, dir)
}

func TestPipesOnce_QEMU(t *testing.T) {
	t.Parallel()
	ctx, a := dialReal(t)
	cmd := a.Command(ctx, "true")
	for _, pipe := range []func() error{
		func() error { return second(cmd.StdinPipe()) },
		func() error { return second(cmd.StdoutPipe()) },
		func() error { return second(cmd.StderrPipe()) },
	} {
		if err := pipe(); err != nil {
			t.Error(err)
		}
		if err := pipe(); err == nil {
			t.Error("a second pipe")
		}
	}
	if _, err := cmd.Output(); err == nil {
		t.Error("Output with a pipe")
	}
	if _, err := cmd.CombinedOutput(); err == nil {
		t.Error("CombinedOutput with a pipe")
	}
	if err := cmd.Wait(); err == nil {
		t.Error("Wait before Start")
	}
}

// The folder of a program without streaming.
func TestDir_QEMU(t *testing.T) {
	t.Parallel()
	ctx, a := dialReal(t)
	cmd := a.Command(ctx, "pwd")
	cmd.Dir = "/usr"
	if out, err := cmd.Output(); err != nil || string(out) != "/usr\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if err := cmd.Start(); err == nil {
		t.Error("a second Start")
	}
}

// The connection ends again and again while a program runs. Nothing of its input and output
// is lost.
func TestStreamReconnects_QEMU(t *testing.T) {
	t.Parallel()
	p := startAgent(t)
	ctx := qemutest.Context(t)
	conns := make(chan net.Conn, 100)
	opts := waitForSocket()
	opts.Engine.Reconnect = &async.Reconnect{}
	opts.Engine.Dialer = func(ctx context.Context) (net.Conn, error) {
		conn, err := net.Dial("unix", p.Path("qga"))
		if err == nil {
			conns <- conn
		}
		return conn, err
	}
	a, err := agent.Dial(ctx, "", opts)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	cmd := a.Command(ctx, "/bin/sh", "-c", `while read -r line; do echo "guest: $line"; done`)
	cmd.TempDir = qemutest.Dir(t)
	in, lines := startPiped(t, cmd)
	for i := range 4 {
		(<-conns).Close()
		fmt.Fprintln(in, i)
		if line, err := lines.ReadString('\n'); line != fmt.Sprintf("guest: %d\n", i) || err != nil {
			t.Fatalf("got %q, %v", line, err)
		}
	}
	in.Close()
	if _, err := lines.ReadByte(); err != io.EOF {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil && !errors.As(err, new(*agent.LostProcessError)) {
		t.Error(err) // the reply with the exit status may be lost with the connection
	}
	empty(t, cmd.TempDir)
}
