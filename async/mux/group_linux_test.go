package mux_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/goqmp/qmp/async/mux"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"golang.org/x/sys/unix"
)

// The members of a socket's group can connect, and others cannot.
func TestListenGroupAdmitsTheGroup(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		qemutest.Lacks(t, "only root can be another user for a while")
	}
	const group = 54321
	dir := qemutest.Dir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "door")
	ln, err := mux.ListenGroup(t.Context(), path, fmt.Sprint(group))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := connectAs(54000, group, path); err != nil {
		t.Errorf("a member: %v", err)
	}
	if err := connectAs(54000, group+1, path); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("another user: %v", err)
	}
	ownerOnly := filepath.Join(dir, "mine")
	ln, err = mux.Listen(t.Context(), ownerOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := connectAs(54000, group, ownerOnly); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("another user, without a group: %v", err)
	}
}

// connectAs connects with the rights of a user and a group, for files.
func connectAs(uid, gid int, path string) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine, and its rights with it
		result <- func() error {
			if err := unix.Setfsgid(gid); err != nil {
				return err
			}
			if err := unix.Setfsuid(uid); err != nil {
				return err
			}
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		}()
	}()
	return <-result
}
