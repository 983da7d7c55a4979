// Storage-daemon keeps a disk with qemu-storage-daemon. It creates the disk, and exports
// it over NBD, vhost-user and FUSE to qemu-img, to two machines and to this program. It
// takes a snapshot, makes backups, and moves the disk to another file, while it is
// exported.
//
//	go run ./examples/storage-daemon
//
// It uses qemu-storage-daemon, qemu-img and qemu-system-x86_64 on the PATH, and leaves
// out what needs a program that is missing. Without qemu-storage-daemon, or with
// -simulate, it uses a simulated daemon.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/goqmp/qmp/qapi"
)

func main() {
	simulate := flag.Bool("simulate", false, "use a simulated daemon even if qemu-storage-daemon is installed")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Stdout, *simulate); err != nil {
		fmt.Fprintln(os.Stderr, "storage-daemon:", err)
		cancel()
		os.Exit(1)
	}
}

// run drives a storage daemon. When it returns, no file and no process is left.
func run(ctx context.Context, out io.Writer, simulate bool) error {
	d, stop, err := start(ctx, out, simulate)
	if err == nil {
		err = errors.Join(story(ctx, d), stop())
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// story is what happens to the disk.
func story(ctx context.Context, d *daemon) error {
	const size = 64 << 20
	steps := []struct {
		title string
		do    func() error
	}{
		{"Create a disk of 64 MiB", func() error { return d.create(ctx, "disk", size) }},
		{"Export it over NBD", func() error { return d.exportNBD(ctx, "disk") }},
		{"qemu-img writes a boot sector to the export", func() error { return d.install(ctx) }},
		{"Take a snapshot: from now on, writes go to another image", func() error { return d.snapshot(ctx, "disk", "newer", size) }},
		{"Back it up, while it is exported", func() error { return d.backup(ctx, "newer", "backup", size) }},
		{"A machine boots from the disk over NBD, and writes to it", func() error { return d.bootFromNBD(ctx) }},
		{"Back up what has changed since", func() error { return d.backupChanges(ctx, "newer", "backup", "changes", size) }},
		{"qemu-img compares the backup with the disk, over NBD", func() error { return d.compare(ctx, "changes") }},
		{"Bring the snapshot's data into the newer image", func() error { return d.stream(ctx, "newer") }},
		{"Move the disk to another file, while it is exported", func() error { return d.move(ctx, "newer", "moved", size) }},
		{"A machine boots from the disk over vhost-user", func() error { return d.bootFromVhostUser(ctx, "moved") }},
		{"This program reads the disk as a file, by FUSE", func() error { return d.readByFUSE(ctx, "moved") }},
		{"The exports at the end", func() error { return d.list(ctx) }},
	}
	for _, step := range steps {
		fmt.Fprintf(d.out, "%s.\n", step.title)
		var left *leftOut
		switch err := step.do(); {
		case errors.As(err, &left):
			fmt.Fprintf(d.out, "  Left out: %v.\n", left)
		case err != nil:
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	return nil
}

// A leftOut is the error of a step that cannot be done here. The others can.
type leftOut struct{ why string }

func (e *leftOut) Error() string { return e.why }

// list prints the exports.
func (d *daemon) list(ctx context.Context) error {
	exports, err := qapi.QueryBlockExports(ctx, d.client)
	for _, e := range exports {
		d.say("%s exports node %s by %s", e.ID, e.NodeName, e.Type)
	}
	return err
}
