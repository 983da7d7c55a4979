package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/goqmp/qmp/async/qmptest"
)

// machine is a virtual machine that was started.
type machine struct {
	what string // says which machine it is
	addr string // the address of its monitor
	stop func() // ends the machine and removes its files
}

// start starts a machine: with QEMU if it is installed, otherwise a simulated one.
func start(ctx context.Context, simulate bool) (*machine, error) {
	binary := os.Getenv("QMP_TEST_QEMU")
	if binary == "" {
		binary = "qemu-system-x86_64"
	}
	path, err := exec.LookPath(binary)
	switch {
	case simulate:
		return startSimulated("a simulated one, because of -simulate")
	case errors.Is(err, exec.ErrNotFound):
		return startSimulated("a simulated one, because " + binary + " is not on the PATH")
	case err != nil:
		return nil, err
	}
	return startQEMU(ctx, path)
}

// startSimulated starts a simulated machine.
func startSimulated(what string) (*machine, error) {
	server, err := qmptest.NewServer(nil)
	if err != nil {
		return nil, err
	}
	return &machine{what: what, addr: server.Addr(), stop: func() { server.Close() }}, nil
}

// startQEMU starts QEMU with its monitor's socket in a new directory that no other user
// can enter: anybody who can connect to a monitor controls the machine.
func startQEMU(ctx context.Context, binary string) (*machine, error) {
	dir, err := os.MkdirTemp("", "qmp-") // mode 0700
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "qmp.sock")

	// With wait=on QEMU does not start the machine before a client has connected. With
	// wait=off, QEMU 7.2 sometimes never answers a client that connects while it starts.
	ctx, kill := context.WithCancel(ctx)
	qemu := exec.CommandContext(ctx, binary,
		"-machine", "none", "-display", "none", "-qmp", "unix:"+socket+",server=on,wait=on")
	qemu.Stderr = os.Stderr
	stop := func() {
		kill()
		qemu.Wait()
		os.RemoveAll(dir)
	}
	if err := qemu.Start(); err != nil {
		kill()
		os.RemoveAll(dir)
		return nil, err
	}
	return &machine{what: fmt.Sprintf("%s, process %d", binary, qemu.Process.Pid), addr: socket, stop: stop}, nil
}
