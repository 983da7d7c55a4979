// Jobs backs up the disks of a machine, moves one of them to another file, and migrates
// the machine, with the progress of all of that.
//
//	go run ./examples/jobs
//
// It uses qemu-system-x86_64 on the PATH, or the program that QMP_TEST_QEMU names, and
// starts machines without a guest system. Their disks are in a temporary folder.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/qapi"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "jobs:", err)
		cancel()
		os.Exit(1)
	}
}

// A host has the machines and the files.
type host struct {
	binary string
	dir    string
	out    io.Writer
}

// run does everything. When it returns, nothing of the machines is left.
func run(ctx context.Context, out io.Writer) (err error) {
	binary, err := exec.LookPath(cmp.Or(os.Getenv("QMP_TEST_QEMU"), "qemu-system-x86_64"))
	if err != nil {
		return fmt.Errorf("this example needs QEMU: %w", err)
	}
	dir, err := os.MkdirTemp("", "jobs-") // mode 0700
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	h := &host{binary: binary, dir: dir, out: out}

	vm, end, err := h.start(ctx)
	if err != nil {
		return err
	}
	defer end()
	const size = 16 << 20
	for _, disk := range []string{"system", "data"} {
		if err := h.addDisk(ctx, vm, disk, size, 'x'); err != nil {
			return err
		}
	}
	for _, disk := range []string{"system.backup", "data.backup", "elsewhere"} {
		if err := h.addDisk(ctx, vm, disk, size, 0); err != nil {
			return err
		}
	}
	if err := h.backup(ctx, vm, "system", "elsewhere"); err != nil {
		return err
	}
	if err := h.backupTogether(ctx, vm, map[string]string{"system": "system.backup", "data": "data.backup"}); err != nil {
		return err
	}
	if err := h.move(ctx, vm, "system", "elsewhere"); err != nil {
		return err
	}

	source, end, err := h.start(ctx)
	if err != nil {
		return err
	}
	defer end()
	destination, end, err := h.start(ctx, "-incoming", "defer")
	if err != nil {
		return err
	}
	defer end()
	return h.migrate(ctx, source, destination)
}

// start starts a machine. end ends it.
func (h *host) start(ctx context.Context, args ...string) (vm *async.Client, end func(), err error) {
	m := machine.New(h.binary, &machine.Options{Args: append([]string{"-machine", "q35", "-m", "64"}, args...)})
	if err := m.Launch(ctx); err != nil {
		return nil, nil, err
	}
	return m.Client(), func() { m.Kill() }, nil
}

// addDisk makes a file that is full of fill, and a block node with the same name.
func (h *host) addDisk(ctx context.Context, vm *async.Client, name string, size int64, fill byte) error {
	path := filepath.Join(h.dir, name)
	content := make([]byte, size)
	for i := range content {
		content[i] = fill
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return err
	}
	return qapi.BlockdevAdd(ctx, vm, &qapi.BlockdevOptions{
		NodeName: &name, File: &qapi.BlockdevOptionsFile{Filename: path},
	})
}

func (h *host) say(format string, args ...any) { fmt.Fprintf(h.out, format+"\n", args...) }
