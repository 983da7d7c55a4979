//go:build unix

package cli

import (
	"os"
	"strconv"
	"syscall"
	"testing"

	"github.com/goqmp/qmp/async/qmptest"
)

// An inherited descriptor is an address, too.
func TestDescriptor(t *testing.T) {
	conn := qmptest.ScriptConn(t, qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`), qmptest.Expect("query-name"), qmptest.Return(`{}`))
	f, err := conn.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	want(t, run("", "-c", "query-name", "fd:"+strconv.Itoa(fd)), 0, "{}\n", "")
}
