package socket

import (
	"context"
	"net"
	"os"
	"path/filepath"
)

const sunPathLen = 108

// bindIn listens at name in dir.
func bindIn(dir, name string) (*net.UnixListener, error) {
	path := filepath.Join(dir, name)
	if err := checkPath(path); err != nil {
		return nil, err
	}
	return net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
}

// moveNew renames from to to.
func moveNew(from, to string) error { return os.Rename(from, to) }

// lockDir goes without: folders cannot be locked here.
func lockDir(context.Context, string) (unlock func(), err error) { return func() {}, nil }
