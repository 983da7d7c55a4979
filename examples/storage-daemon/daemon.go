package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/qapi"
)

// A daemon is a storage daemon that was started.
type daemon struct {
	client    *async.Client
	schema    *qapi.Schema // what the daemon can do
	dir       string       // for images and sockets; only this user can enter it
	out       io.Writer
	simulated bool
}

// start starts the daemon: qemu-storage-daemon if it is installed, otherwise a simulated
// one. stop ends it, and removes its files.
func start(ctx context.Context, out io.Writer, simulate bool) (_ *daemon, stop func() error, err error) {
	dir, err := os.MkdirTemp("", "qsd-") // mode 0700
	if err != nil {
		return nil, nil, err
	}
	d := &daemon{dir: dir, out: out}
	binary, notFound := exec.LookPath("qemu-storage-daemon")
	var end func() error
	if d.simulated = simulate || notFound != nil; d.simulated {
		end, err = d.startSimulated(ctx)
	} else {
		end, err = d.startProcess(ctx, binary)
	}
	stop = func() error { return errors.Join(end(), os.RemoveAll(dir)) }
	if err == nil {
		d.schema, err = qapi.Introspect(ctx, d.client)
	}
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return d, stop, nil
}

// startProcess starts a real daemon. end ends it.
func (d *daemon) startProcess(ctx context.Context, binary string) (end func() error, err error) {
	m := machine.New(binary, &machine.Options{StorageDaemon: true})
	d.client = m.Client()
	end = func() error { return m.Shutdown(context.WithoutCancel(ctx)) }
	if err := m.Launch(ctx); err != nil {
		return end, err
	}
	fmt.Fprintf(d.out, "The daemon is %s, process %d.\n", binary, m.Pid())
	return end, nil
}

// startSimulated starts a simulated daemon. end ends it.
func (d *daemon) startSimulated(ctx context.Context) (end func() error, err error) {
	server, err := newSimulated()
	if err != nil {
		return func() error { return nil }, err
	}
	d.client = async.New(nil)
	end = func() error { return errors.Join(d.client.Close(), server.Close()) }
	if err := d.client.Connect(ctx, server.Addr()); err != nil {
		return end, err
	}
	fmt.Fprintln(d.out, "The daemon is a simulated one.")
	return end, nil
}

// say prints a line.
func (d *daemon) say(format string, args ...any) { fmt.Fprintf(d.out, "  "+format+"\n", args...) }

// path returns the path of a file in the daemon's directory.
func (d *daemon) path(name string) string { return filepath.Join(d.dir, name) }

// tool returns the path of one of QEMU's programs. If it is not there, or if the daemon is
// a simulated one, the step is left out.
func (d *daemon) tool(name string) (string, error) {
	if d.simulated {
		return "", &leftOut{"a simulated daemon has no data"}
	}
	if own := os.Getenv("QMP_TEST_QEMU"); own != "" && name == "qemu-system-x86_64" {
		name = own
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &leftOut{err.Error()}
	}
	return path, nil
}

// exports reports whether the daemon was built with exports of a type.
func (d *daemon) exports(kind qapi.BlockExportType) error {
	if !d.schema.Has("block-export-add", "type", string(kind)) {
		return &leftOut{fmt.Sprintf("this daemon was built without exports by %s", kind)}
	}
	return nil
}
