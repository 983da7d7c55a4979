//go:build unix

package socket

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/goqmp/qmp/internal/contexts"
)

// lockDir keeps other processes that use it, and other callers in this one, out
// of dir until unlock is called. Where a folder cannot be locked (it may not be
// read, or its file system knows no locks) it goes on without.
func lockDir(ctx context.Context, dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return func() {}, nil
	}
	for {
		err := flock(d)
		if err == nil {
			return func() { d.Close() }, nil // which unlocks it
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			d.Close()
			return func() {}, nil
		}
		// The system has no way to wait for a lock that ends with a context.
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			d.Close()
			return nil, fmt.Errorf("waiting for the lock of %s, which somebody holds: %w", dir, contexts.Err(ctx))
		}
	}
}

func flock(f *os.File) (err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	ctlErr := raw.Control(func(fd uintptr) { err = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) })
	return errors.Join(err, ctlErr)
}
