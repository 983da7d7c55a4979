package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/qapi"
)

// exportNBD serves node over NBD, as an export with the same name, on the socket nbd.
func (d *daemon) exportNBD(ctx context.Context, node string) error {
	err := qapi.NBDServerStart(ctx, d.client, &qapi.NBDServerOptionsLegacy{
		Addr: qapi.SocketAddressLegacy{Unix: &qapi.UnixSocketAddressWrapper{
			Data: qapi.UnixSocketAddress{Path: d.path("nbd")},
		}},
	})
	if err != nil {
		return err
	}
	return qapi.BlockExportAdd(ctx, d.client, &qapi.BlockExportOptions{
		ID: "over-nbd", NodeName: node, Writable: new(true),
		NBD: &qapi.BlockExportOptionsNBD{Name: &node},
	})
}

// nbdURI is what programs call the export.
func (d *daemon) nbdURI() string { return "nbd+unix:///disk?socket=" + d.path("nbd") }

// install writes a boot sector to the NBD export, with qemu-img.
func (d *daemon) install(ctx context.Context) error {
	img, err := d.tool("qemu-img")
	if err != nil {
		return err
	}
	boot := d.path("boot.raw")
	if err := os.WriteFile(boot, bootSector(), 0o600); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, img, "dd", "-f", "raw", "-O", "raw", "if="+boot, "of="+d.nbdURI(), "count=1").CombinedOutput()
	if err != nil {
		return fmt.Errorf("qemu-img dd: %w: %s", err, out)
	}
	return nil
}

// compare compares an image that is closed with the NBD export.
func (d *daemon) compare(ctx context.Context, image string) error {
	img, err := d.tool("qemu-img")
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, img, "compare", "-F", "qcow2", "-f", "raw", d.nbdURI(), d.path(image+".qcow2")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("qemu-img compare: %w: %s", err, out)
	}
	d.say("%s", bytes.TrimSpace(out))
	return nil
}

// bootFromVhostUser exports node over vhost-user, boots a machine from it, and ends the
// export. The machine's memory is shared with the daemon, which reads and writes it.
func (d *daemon) bootFromVhostUser(ctx context.Context, node string) error {
	if err := d.exports(qapi.BlockExportTypeVhostUserBlk); err != nil {
		return err
	}
	err := qapi.BlockExportAdd(ctx, d.client, &qapi.BlockExportOptions{
		ID: "over-vhost-user", NodeName: node, Writable: new(true),
		VhostUserBlk: &qapi.BlockExportOptionsVhostUserBlk{
			Addr: qapi.SocketAddress{Unix: &qapi.UnixSocketAddress{Path: d.path("vhost")}},
		},
	})
	if err != nil {
		return err
	}
	err = d.boot(ctx,
		"-object", "memory-backend-memfd,id=memory,size=64M,share=on",
		"-machine", "pc,memory-backend=memory",
		"-chardev", "socket,id=disk,path="+d.path("vhost"),
		"-device", "vhost-user-blk-pci,chardev=disk,bootindex=0")
	return errors.Join(err, d.remove(ctx, "over-vhost-user"))
}

// readByFUSE exports node as a file, reads its first sector, and ends the export.
func (d *daemon) readByFUSE(ctx context.Context, node string) error {
	if err := d.exports(qapi.BlockExportTypeFUSE); err != nil {
		return err
	}
	file := d.path("disk.raw") // the export is mounted over this file, which must exist
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return err
	}
	err := qapi.BlockExportAdd(ctx, d.client, &qapi.BlockExportOptions{
		ID: "by-fuse", NodeName: node,
		FUSE: &qapi.BlockExportOptionsFUSE{Mountpoint: file},
	})
	if refused, ok := errors.AsType[*async.ExecuteError](err); ok {
		return &leftOut{refused.Desc + " (FUSE needs /dev/fuse, and root's rights or the program fusermount3)"}
	} else if err != nil {
		return err
	}
	return errors.Join(d.readSectors(file), d.remove(ctx, "by-fuse"))
}

// readSectors reads the first two sectors of the disk, and checks that a machine has
// copied one to the other.
func (d *daemon) readSectors(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	sectors := make([]byte, 1024)
	if _, err := f.ReadAt(sectors, 0); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	d.say("the file has %d MiB; what the machine wrote is there: %t", info.Size()>>20, bytes.Equal(sectors[:512], sectors[512:]))
	return nil
}

// remove ends an export, and returns when it has ended.
func (d *daemon) remove(ctx context.Context, id string) error {
	events := d.client.NewListener(nil, "BLOCK_EXPORT_DELETED")
	defer events.Close()
	if err := qapi.BlockExportDel(ctx, d.client, &qapi.BlockExportDelArguments{ID: id}); err != nil {
		return err
	}
	_, err := qapi.Wait(ctx, events, func(ev *qapi.BlockExportDeletedEvent) bool { return ev.ID == id })
	return err
}
