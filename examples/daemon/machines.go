package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/goqmp/qmp/async/qmptest"
)

// machines are what the daemon follows, and what kills them.
type machines struct {
	dir string // for the sockets; only this user can enter it
	all []*machine
}

// A machine has its monitor at the same address each time it is started.
type machine struct {
	name, socket string
	start        func(*machine) error
	kill         func() // ends what start has started
}

// startAll starts n machines: QEMUs if QEMU is installed, otherwise simulated ones.
func startAll(n int, simulate bool) (_ *machines, err error) {
	dir, err := os.MkdirTemp("", "qmp-") // mode 0700
	if err != nil {
		return nil, err
	}
	start, binary := startSimulated, os.Getenv("QMP_TEST_QEMU")
	if binary == "" {
		binary = "qemu-system-x86_64"
	}
	if path, err := exec.LookPath(binary); err == nil && !simulate {
		start = func(m *machine) error { return m.startQEMU(path) }
	}
	ms := &machines{dir: dir}
	for i := range n {
		name := fmt.Sprintf("vm%02d", i+1)
		m := &machine{name: name, socket: filepath.Join(dir, name), start: start}
		if err := m.start(m); err != nil {
			ms.stop()
			return nil, err
		}
		ms.all = append(ms.all, m)
	}
	return ms, nil
}

// addrs returns the address of each machine's monitor.
func (ms *machines) addrs() map[string]string {
	addrs := make(map[string]string)
	for _, m := range ms.all {
		addrs[m.name] = m.socket
	}
	return addrs
}

// killAndStart kills a machine and starts it again, n times.
func (ms *machines) killAndStart(ctx context.Context, n int) error {
	for range n {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m := ms.all[rand.IntN(len(ms.all))]
		m.kill()
		if err := m.start(m); err != nil {
			return err
		}
	}
	return nil
}

// stop ends all machines, and removes their files.
func (ms *machines) stop() {
	for _, m := range ms.all {
		m.kill()
	}
	os.RemoveAll(ms.dir)
}

func (m *machine) startQEMU(binary string) error {
	qemu := exec.Command(binary, "-machine", "none", "-display", "none", "-qmp", "unix:"+m.socket+",server=on,wait=on")
	if err := qemu.Start(); err != nil {
		return err
	}
	m.kill = func() {
		qemu.Process.Kill()
		qemu.Wait()
	}
	return nil
}

// startSimulated starts a simulated machine. Its socket has another path each time, so
// there is a link to it.
func startSimulated(m *machine) error {
	server, err := qmptest.NewServer(&qmptest.Options{Name: m.name})
	if err != nil {
		return err
	}
	m.kill = func() { server.Close() }
	err = errors.Join(os.RemoveAll(m.socket), os.Symlink(server.Addr(), m.socket))
	if err != nil {
		server.Close()
	}
	return err
}
