// Iotest runs one test of QEMU's block layer, as package iotests has it, and says
// in words what it checks: a disk of 1 GiB is copied while a machine uses it, and
// the machine then goes on with the copy.
//
//	go run ./examples/iotest
//
// It needs qemu-system-x86_64 and qemu-img, twice the disk's size below the
// directory for temporary files, and no more than a minute. It leaves nothing.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/goqmp/qmp/compat/iotests"
)

func main() {
	size := flag.Int64("size", 1024, "the disk's size in MiB")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Stdout, *size); err != nil {
		fmt.Fprintln(os.Stderr, "iotest:", err)
		cancel()
		os.Exit(1)
	}
}

// run runs the test and leaves nothing of it behind, whatever happens.
func run(ctx context.Context, out io.Writer, size int64) error {
	if size < 1 {
		return errors.New("the disk has to have at least 1 MiB")
	}
	var missing error
	for _, program := range []string{"qemu-system-x86_64", "qemu-img"} {
		_, err := iotests.FindProgram(program)
		missing = errors.Join(missing, err)
	}
	if missing != nil {
		return missing
	}
	err := iotests.RunProgram(ctx, out, "the test", func(tb iotests.TB) {
		mirror(iotests.New(tb, &iotests.Options{Format: "qcow2"}), out, size<<20)
	})
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// dict is short for what the test is full of.
type dict = iotests.Dict

// mirror is the test. Nothing in it looks at errors: a step that fails ends it,
// with the reason.
func mirror(it *iotests.Test, out io.Writer, size int64) {
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	source, target := it.Path("source.img"), it.Path("target.qcow2")

	say("A disk of %d MiB, full of data (raw), and an empty one for the copy (qcow2).", size>>20)
	fill(it, source, size)
	it.ImgCreate(target, fmt.Sprint(size))

	vm := it.VM(nil).
		AddDriveRaw("if=none,id=drive0,node-name=source,format=raw,auto-read-only=off,file=" + source).
		AddBlockdev(dict{"driver": "qcow2", "node-name": "target", "file": dict{"driver": "file", "filename": target}}).
		Launch()
	say("A machine that has the disk. %s", version(it, vm))
	vm.AssertBlockPath("drive0", "root", "source")

	say("The disk is copied, and written to when the copy is complete:")
	vm.Cmd("blockdev-mirror", dict{"job-id": "mirror0", "device": "drive0", "target": "target", "sync": "full"})
	bar := newBar(out)
	result := vm.RunJob("mirror0", &iotests.RunJobOptions{
		Progress: func(job iotests.Job) { bar.show(job.Current, job.Total) },
		Interval: bar.interval(),
		// The job keeps the two alike until it is told to complete.
		BeforeComplete: func() { vm.IO("drive0", "write -P 0xaa 0 64k") },
	})
	bar.end()
	say("The job went through these states: %v", result.States)

	say("Checked: the job has copied all there was to be copied.")
	it.AssertEqual("how far the job got", result.Last.Current, result.Last.Total)
	say("Checked: no job is left.")
	vm.AssertNoActiveBlockJobs()
	say("Checked: the machine uses the copy now, and not the disk.")
	vm.AssertBlockPath("drive0", "root", "target")
	say("Checked: in the copy is what was written while the job ran, and what was there before.")
	vm.IO("drive0", "read -P 0xaa 0 64k", "read -P 0x01 64k 64k", fmt.Sprintf("read -P %d %d 64k", pattern(size-1), size-64<<10))
	vm.Shutdown()
	say("Checked: the two are the same, byte for byte, after the machine has ended.")
	it.AssertImagesEqual(source, target, "-f", "raw", "-F", "qcow2")
	say("Checked: the copy has no leaks and no errors.")
	it.AssertImageClean(target)
	say("The test has passed.")
}

// version says which QEMU it is.
func version(it *iotests.Test, vm *iotests.VM) string {
	reply := vm.QMP("query-version", nil)
	return fmt.Sprintf("It is QEMU %d.%d's, and has no processor: a test of disks needs none.",
		iotests.Get[int](it, reply, "return/qemu/major"), iotests.Get[int](it, reply, "return/qemu/minor"))
}

// pattern is the byte that the disk has at offset: each MiB has its own, for a
// while, so that data in the wrong place are noticed.
func pattern(offset int64) byte { return byte(offset>>20%250 + 1) }

// fill writes the disk.
func fill(it *iotests.Test, path string, size int64) {
	f, err := os.Create(path)
	if err != nil {
		it.Fatalf("%v", err)
	}
	const mib = 1 << 20
	for at := int64(0); at < size && err == nil && it.Context().Err() == nil; at += mib {
		_, err = f.Write(bytes.Repeat([]byte{pattern(at)}, mib))
	}
	if err = errors.Join(err, f.Close(), it.Context().Err()); err != nil {
		it.Fatalf("%v", err)
	}
}
