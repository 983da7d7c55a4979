package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/goqmp/qmp/compat/machine"
)

// bootFromNBD boots a machine from the NBD export.
func (d *daemon) bootFromNBD(ctx context.Context) error {
	return d.boot(ctx,
		"-machine", "pc", "-m", "64",
		"-blockdev", "driver=nbd,node-name=disk,export=disk,server.type=unix,server.path="+machine.Escape(d.path("nbd")),
		"-device", "virtio-blk-pci,drive=disk,bootindex=0")
}

// The exit codes of a QEMU whose guest runs bootSector: its device isa-debug-exit turns
// the guest's n into 2n+1.
const (
	wrote    = 2*0x10 + 1
	notWrote = 2*0x11 + 1
)

// boot starts a machine, and waits until its guest has ended it.
func (d *daemon) boot(ctx context.Context, args ...string) error {
	binary, err := d.tool("qemu-system-x86_64")
	if err != nil {
		return err
	}
	m := machine.New(binary, &machine.Options{
		Args:      append([]string{"-nodefaults", "-device", "isa-debug-exit,iobase=0xf4,iosize=1"}, args...),
		ExitCodes: []int{wrote},
	})
	if err := m.Launch(ctx); err != nil {
		return err
	}
	status, err := m.Wait(ctx)
	if err = errors.Join(err, m.Shutdown(ctx)); err != nil {
		return err
	}
	if status.Code != wrote {
		return fmt.Errorf("the guest did not write its sector: %v", status)
	}
	d.say("the guest has copied its boot sector to the next one")
	return nil
}

// bootSector returns a boot sector for the BIOS. It writes itself to the next sector of
// its disk, and ends the machine through the device isa-debug-exit.
func bootSector() []byte {
	sector := make([]byte, 512)
	copy(sector, []byte{
		0x31, 0xc0, //       xor ax, ax
		0x8e, 0xd8, //       mov ds, ax
		0xbe, 0x18, 0x7c, // mov si, packet
		0xb8, 0x00, 0x43, // mov ax, 0x4300    ; extended write
		0xcd, 0x13, //       int 0x13          ; the BIOS has put the disk's number in dl
		0xb0, 0x10, //       mov al, 0x10      ; it has worked
		0x73, 0x02, //       jnc end
		0xb0, 0x11, //       mov al, 0x11      ; it has not
		0xe6, 0xf4, // end:  out 0xf4, al
		0xf4,       //       hlt
		0xeb, 0xfd, //       jmp back to hlt
		0x90, //             nop
		// packet: 16 bytes long, one sector, from address 0000:7c00, to sector 1
		0x10, 0x00, 0x01, 0x00, 0x00, 0x7c, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	})
	sector[510], sector[511] = 0x55, 0xaa // bootable
	return sector
}
