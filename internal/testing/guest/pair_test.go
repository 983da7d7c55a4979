package guest

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// socketPair returns the two ends of a connection, the second for a process to
// inherit.
func socketPair(t *testing.T) (net.Conn, *os.File) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(qemutest.Dir(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	theirs, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	ours, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	f, err := theirs.(*net.UnixConn).File()
	if err != nil {
		t.Fatal(err)
	}
	return ours, f
}
