//go:build linux

// A test of what happens in the directory of a listening socket (rule E1).
// The code that it holds: listen.go and internal/socket.
package async_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
	"golang.org/x/sys/unix"
)

// Other users can at no moment connect. The socket has its final mode when it
// comes to its place, and the mode is not changed there. The kernel reports
// everything that happens in the directory (inotify(7)).
// Holds secure.
func TestE1ListeningSocketIsNeverTheOthers(t *testing.T) {
	t.Parallel()
	dir := qemutest.Dir(t)
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	watch := os.NewFile(uintptr(fd), "inotify")
	defer watch.Close()
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ATTRIB|unix.IN_DELETE); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, nil)
	if err := c.Listen(t.Context(), filepath.Join(dir, "qmp")); err != nil {
		t.Fatal(err)
	}
	wantListening(t, c, filepath.Join(dir, "qmp"))
	wantNil(t, "Close", c.Close())

	buf := make([]byte, 64<<10)
	n, err := watch.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	var happened []string
	for b := buf[:n]; len(b) > 0; {
		mask, size := binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[12:])
		name, _, _ := bytes.Cut(b[unix.SizeofInotifyEvent:][:size], []byte{0})
		b = b[unix.SizeofInotifyEvent+size:]
		if string(name) != "qmp" {
			continue // the directory in which it was made
		}
		for bit, what := range map[uint32]string{
			unix.IN_CREATE: "create", unix.IN_MOVED_TO: "move", unix.IN_ATTRIB: "change", unix.IN_DELETE: "delete",
		} {
			if mask&bit != 0 {
				happened = append(happened, what)
			}
		}
	}
	wantNames(t, "what happened to the socket", happened, "move delete")
}
