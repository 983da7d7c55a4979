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
	what string
	addr string // of its monitor
	stop func() // ends it and removes all that belongs to it
}

// start starts a machine: QEMU's if that is there, else a simulated one.
func start(ctx context.Context, simulate bool) (*machine, error) {
	binary := os.Getenv("QMP_TEST_QEMU")
	if binary == "" {
		binary = "qemu-system-x86_64"
	}
	path, err := exec.LookPath(binary)
	switch {
	case simulate:
		return startSimulated("a simulated one, as asked for")
	case errors.Is(err, exec.ErrNotFound):
		return startSimulated("a simulated one, since there is no " + binary + " on the PATH")
	case err != nil:
		return nil, err
	}
	return startQEMU(ctx, path)
}

func startSimulated(what string) (*machine, error) {
	server, err := qmptest.NewServer(nil)
	if err != nil {
		return nil, err
	}
	return &machine{what: what, addr: server.Addr(), stop: func() { server.Close() }}, nil
}

// startQEMU starts QEMU with its monitor in a fresh directory, which nobody else
// can enter: whoever reaches a monitor owns the machine.
func startQEMU(ctx context.Context, binary string) (*machine, error) {
	dir, err := os.MkdirTemp("", "qmp-") // mode 0700
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "qmp.sock")

	// QEMU waits for us before it goes on, and says so. With wait=off, QEMU 7.2 now
	// and then leaves a client that comes while it starts without an answer.
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
