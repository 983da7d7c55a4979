// Iotest runs one test of QEMU's block layer with package iotests, and prints what it
// checks. The test copies a disk of 1 GiB while a machine uses it. After that the machine
// uses the copy.
//
//	go run ./examples/iotest
//
// It needs qemu-system-x86_64 and qemu-img, and twice the disk's size in the directory
// for temporary files. It takes less than a minute, and leaves no files.
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
	"github.com/goqmp/qmp/qapi"
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

// run runs the test. When it returns, no files and no processes of the test are left.
func run(ctx context.Context, out io.Writer, size int64) error {
	if size < 1 {
		return errors.New("-size: the disk must have at least 1 MiB")
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

// dict is short for a type that the test uses often.
type dict = iotests.Dict

// mirror is the test. It does not check errors: a step that fails ends the test and
// reports why.
func mirror(it *iotests.Test, out io.Writer, size int64) {
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	source, target := it.Path("source.img"), it.Path("target.qcow2")

	say("Create a raw disk of %d MiB, full of data, and an empty qcow2 image for the copy.", size>>20)
	fill(it, source, size)
	it.ImgCreate(target, fmt.Sprint(size))

	vm := it.VM(nil).
		AddDriveRaw("if=none,id=drive0,node-name=source,format=raw,auto-read-only=off,file=" + source).
		AddBlockdev(dict{"driver": "qcow2", "node-name": "target", "file": dict{"driver": "file", "filename": target}}).
		Launch()
	say("Start a machine that has the disk. %s", version(vm))
	vm.AssertBlockPath("drive0", "root", "source")

	say("Copy the disk, and write to it when the copy is complete:")
	vm.Cmd("blockdev-mirror", dict{"job-id": "mirror0", "device": "drive0", "target": "target", "sync": "full"})
	bar := newBar(out)
	result := vm.RunJob("mirror0", &iotests.RunJobOptions{
		Progress: func(job iotests.Job) { bar.show(job.Current, job.Total) },
		Interval: bar.interval(),
		// Until the job is told to complete, it keeps the copy equal to the disk.
		BeforeComplete: func() { vm.IO("drive0", "write -P 0xaa 0 64k") },
	})
	bar.end()
	say("The job went through these states: %v", result.States)

	say("Check: the job has copied everything.")
	it.AssertEqual("how far the job got", result.Last.Current, result.Last.Total)
	say("Check: no job is left.")
	vm.AssertNoActiveBlockJobs()
	say("Check: the machine now uses the copy, not the disk.")
	vm.AssertBlockPath("drive0", "root", "target")
	say("Check: the copy has the data that was written while the job ran, and the data from before.")
	vm.IO("drive0", "read -P 0xaa 0 64k", "read -P 0x01 64k 64k", fmt.Sprintf("read -P %d %d 64k", pattern(size-1), size-64<<10))
	vm.Shutdown()
	say("Check: after the machine has ended, disk and copy are equal, byte for byte.")
	it.AssertImagesEqual(source, target, "-f", "raw", "-F", "qcow2")
	say("Check: the copy has no leaks and no errors.")
	it.AssertImageClean(target)
	say("The test has passed.")
}

// version returns a sentence that says which version of QEMU runs.
func version(vm *iotests.VM) string {
	version := iotests.CmdInto[qapi.VersionInfo](vm, "query-version", nil).QEMU
	return fmt.Sprintf("It runs in QEMU %d.%d. It has no processor, because a test of disks needs none.", version.Major, version.Minor)
}

// pattern returns the byte that the disk has at offset. Each MiB has another byte, up to
// 250 MiB, so that the test finds data that was copied to the wrong place.
func pattern(offset int64) byte { return byte(offset>>20%250 + 1) }

// fill writes an image of size bytes, with pattern in every byte.
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
