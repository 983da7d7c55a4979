//go:build unix

// Helpers of the tests that send file descriptors.
package async_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

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

// readAll is what a server does with a file: it reads it, and closes it.
func readAll(files []*os.File) (list []string, err error) {
	for _, f := range files {
		text, readErr := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
		list, err = append(list, string(text)), errors.Join(err, readErr, f.Close())
	}
	return list, err
}

// fileServer is a machine whose add-fd says what is in the files that came.
func fileServer(t testing.TB, opts *qmptest.Options) *qmptest.Server {
	t.Helper()
	s := qmptest.Start(t, opts)
	s.Handle("add-fd", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		return readAll(cmd.TakeFiles())
	})
	return s
}

// filesOverMemory connects over memory, with descriptors that go nowhere, so
// that a test of them can be in a bubble. sent is told of every write.
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
