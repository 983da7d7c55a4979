package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/async/record"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/qapi"
)

// makeDisk is the program that fails: it makes a disk in a folder that does not exist.
func makeDisk(ctx context.Context, out io.Writer, vm *async.Client) error {
	job, err := jobs.Start(ctx, vm, "disk0", func(ctx context.Context) error {
		return qapi.BlockdevCreate(ctx, vm, &qapi.BlockdevCreateArguments{
			JobID: "disk0",
			Options: qapi.BlockdevCreateOptions{
				Driver: qapi.BlockdevDriverFile,
				File:   &qapi.BlockdevCreateOptionsFile{Filename: "no-such-folder/disk.raw", Size: 1 << 20},
			},
		})
	}, nil)
	if err != nil {
		return err
	}
	defer job.Close()
	fmt.Fprintln(out, "the disk:", job.Wait(ctx))
	return nil
}

// recordFailure starts QEMU, and records what makeDisk does with it in a file.
func recordFailure(ctx context.Context, out io.Writer, qemu, file string) (err error) {
	rec, err := record.Create(file, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rec.Close()) }()
	vm := machine.New(qemu, &machine.Options{
		Name: "vm1", Args: []string{"-machine", "none"},
		QMP: &async.Options{Tracers: []*async.Tracer{rec.Tracer("vm1")}},
	})
	defer vm.Kill()
	if err := vm.Launch(ctx); err != nil {
		return err
	}
	if err := makeDisk(ctx, out, vm.Client()); err != nil {
		return err
	}
	return vm.Shutdown(ctx)
}
