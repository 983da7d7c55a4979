package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/record"
)

// playFailure plays a recording at a socket, and lets makeDisk do what it did with QEMU.
func playFailure(ctx context.Context, out io.Writer, file string) error {
	rec, err := record.LoadFile(file)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "replay")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ln, err := net.Listen("unix", filepath.Join(dir, "vm1.qmp"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	played := make(chan error, 1)
	go func() { played <- record.Serve(ctx, ln, rec, nil) }()

	err = callMakeDisk(ctx, out, ln.Addr().String())
	if err != nil {
		cancel()
	}
	return errors.Join(err, <-played)
}

// callMakeDisk connects to a machine for makeDisk, and then tells the machine to quit.
func callMakeDisk(ctx context.Context, out io.Writer, addr string) error {
	vm, err := async.Dial(ctx, addr, nil)
	if err != nil {
		return err
	}
	defer vm.Close()
	if err := makeDisk(ctx, out, vm); err != nil {
		return err
	}
	return vm.Quit(ctx)
}
