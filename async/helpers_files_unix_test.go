//go:build unix

// Helpers of the tests that send file descriptors.
package async_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// fileWith returns an open file that holds text.
func fileWith(t testing.TB, text string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// readAll reads files as a server does, and closes them.
func readAll(files []*os.File) (list []string, err error) {
	for _, f := range files {
		text, readErr := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
		list, err = append(list, string(text)), errors.Join(err, readErr, f.Close())
	}
	return list, err
}

// fileServer starts a machine whose add-fd returns the contents of the files
// that came with it.
func fileServer(t testing.TB, opts *qmptest.Options) *qmptest.Server {
	t.Helper()
	s := qmptest.Start(t, opts)
	s.Handle("add-fd", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		return readAll(cmd.TakeFiles())
	})
	return s
}

// filesOverMemory connects over memory. Descriptors go nowhere there, so a test
// of them can run in a bubble. It calls sent before every write.
func filesOverMemory(t testing.TB, opts async.Options, sent func(b []byte, files []*os.File), steps ...qmptest.Step) *async.Client {
	t.Helper()
	p := memory(t, steps...)
	var conn net.Conn
	opts.Dialer = rig(p, func(c net.Conn) net.Conn {
		conn = c
		return c
	})
	c := dial(t, p, &opts)
	write := func(b []byte, files []*os.File) (int, error) {
		sent(b, files)
		return conn.Write(b)
	}
	async.RigSender(c, async.RiggedSender{Try: write, Send: write})
	return c
}

// cramped attaches a client to a script over a pair of unix sockets. The socket
// takes only a little from the client before the script reads it.
func cramped(t testing.TB, opts *async.Options, steps ...qmptest.Step) (*async.Client, net.Conn, *qmptest.Player) {
	t.Helper()
	p := play(t, qmptest.ScriptOptions{Network: qmptest.SocketPair}, steps...)
	if err := p.Conn().(*net.UnixConn).SetWriteBuffer(4096); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, opts)
	if err := c.Attach(t.Context(), p.Conn()); err != nil {
		t.Fatal(err)
	}
	return c, p.Conn(), p
}

// fill writes white space, which is not a message, until conn takes no more.
func fill(t testing.TB, conn net.Conn) {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	blank := bytes.Repeat([]byte(" "), 512)
	err = raw.Write(func(fd uintptr) bool {
		for {
			if _, writeErr := unix.Write(int(fd), blank); writeErr != nil {
				if !errors.Is(writeErr, unix.EAGAIN) {
					t.Errorf("filling the socket: %v", writeErr)
				}
				return true
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
