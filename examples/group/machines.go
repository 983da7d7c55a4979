package main

import (
	"context"
	"os"
	"os/exec"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/compat/machine"
)

// start starts a machine, and returns its client: QEMU if it is installed, otherwise a
// simulated machine. stop ends it.
func start(ctx context.Context, name string, simulate bool) (vm *async.Client, stop func(), err error) {
	binary := os.Getenv("QMP_TEST_QEMU")
	if binary == "" {
		binary = "qemu-system-x86_64"
	}
	path, err := exec.LookPath(binary)
	if simulate || err != nil {
		return startSimulated(ctx, name)
	}
	m := machine.New(path, &machine.Options{Name: name, Args: []string{"-machine", "none"}})
	if err := m.Launch(ctx); err != nil {
		return nil, nil, err
	}
	return m.Client(), func() { m.Kill() }, nil
}

func startSimulated(ctx context.Context, name string) (vm *async.Client, stop func(), err error) {
	server, err := qmptest.NewServer(&qmptest.Options{Name: name})
	if err != nil {
		return nil, nil, err
	}
	vm, err = async.Dial(ctx, server.Addr(), nil)
	if err != nil {
		server.Close()
		return nil, nil, err
	}
	return vm, func() { server.Close() }, nil
}
