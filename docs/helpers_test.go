package docs_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	finish := qemutest.OwnTempDir()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { finish(code) }))
}

// qemu starts a real QEMU with an empty machine, or skips the test, and returns
// the path of its monitor. QEMU inherits a socket that is listening already, so
// that a snippet that does not wait for the socket can connect at once.
func qemu(t *testing.T, args ...string) (addr string) {
	t.Helper()
	qemutest.Find(t, qemutest.QEMU)
	addr = filepath.Join(qemutest.Dir(t), "qmp")
	ln, err := net.Listen("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	f, err := ln.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	qemutest.Start(t, qemutest.Command{
		Program: qemutest.QEMU,
		Args: append([]string{
			"-nodefaults", "-machine", "none", "-display", "none",
			"-chardev", "socket,id=qmp,fd=3,server=on,wait=on", "-mon", "chardev=qmp,mode=control",
		}, args...),
		Files: []*os.File{f},
	})
	return addr
}

// printed calls f, which must not fail, and returns what it wrote to the standard
// output. Tests that call it are not parallel.
func printed(t *testing.T, f func() error) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(r)
		text <- string(b)
	}()
	stdout := os.Stdout
	os.Stdout = w
	err = f()
	os.Stdout = stdout
	w.Close()
	got := <-text
	if err != nil {
		t.Errorf("%v; it printed %q", err, got)
	}
	return got
}

// trimmed returns text without indentation and empty lines.
func trimmed(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
