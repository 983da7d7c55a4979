//go:build unix

// Tests of HMP with a real QEMU.
// The code that they hold: hmp.go.
package async_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// Lines of the human monitor, some of which fail, on the QEMU that is
// installed.
func TestHMP_QEMU(t *testing.T) {
	t.Parallel()
	dir := qemutest.Dir(t)
	p := qemutest.Start(t, qemutest.Command{Program: qemutest.QEMU, Args: []string{
		"-nodefaults", "-machine", "pc", "-display", "none", "-S", "-qmp", onUnix,
		"-drive", "if=none,id=d0,driver=null-co,size=1M,read-only=on",
	}})
	c := dialReal(t, p.Path("qmp"), nil)
	help, err := async.HMP(qemutest.Context(t), c, "help")
	if err != nil || strings.Contains(help, "\r") {
		t.Fatalf("help: %v, %.80q", err, help)
	}
	// has reports whether the human monitor has a command, by its name or another.
	has := func(name string) bool {
		for line := range strings.Lines(help) {
			names, _, _ := strings.Cut(line, " ")
			for _, n := range strings.Split(strings.TrimSpace(names), "|") {
				if n == name {
					return true
				}
			}
		}
		return false
	}
	for _, line := range []string{
		"bogus", "info bogus", "help bogus", `"unterminated`,
		"x", "x/", "x /4x foo", "xp /4x 0x10000000000", "print (1", "print 1/0", "print $foo", "print 1+1 extra", "i", "sum 0",
		"gpa2hva 0xffffffffffff", "commit", "commit bogus", "block_resize bogus", "block_resize bogus 1G", "block_stream bogus",
		"block_job_cancel bogus", "eject bogus", "drive_del bogus", "drive_add 0 if=none,file=/nonexistent,id=x", "drive_add x",
		"drive_add 0 foo=bar", "drive_add 0 if=bogus", "drive_mirror bogus /x", "snapshot_blkdev bogus", "change bogus x",
		"change vnc x", "screendump /nonexistent/x", "trace-event bogus on", "log bogus", "loadvm x",
		"singlestep bogus", "one-insn-per-tb bogus", "gdbserver bogus", "device_add bogus", "device_add", "device_del bogus",
		"object_add bogus,id=x", "object_add secret", "object_del bogus", "chardev-add bogus,id=x", "chardev-remove bogus",
		"netdev_add bogus", "netdev_del bogus", "hostfwd_add bogus", "hostfwd_remove bogus", "nbd_server_start bogus", "nbd_server_stop",
		"migrate bogus", "migrate_set_capability bogus on", "migrate_set_capability xbzrle bogus", "migrate_set_parameter bogus 1",
		"cpu 99", "memsave 0 10 /nonexistent/x", "dump-guest-memory /nonexistent/x", "dump-guest-memory -Q /x", "boot_set bogus",
		"system_wakeup", "sendkey bogus", "mouse_set 99", "watchdog_action bogus", "set_link bogus on", "set_link bogus bogus",
		"set_password bogus x", "qom-list /bogus", "qom-get /bogus type", "qom-set /machine", "ringbuf_read bogus 10", "closefd bogus",
		"getfd bogus", "qemu-io bogus", "stop extra", "info name extra", "info block -x", "quit -x", "commit -f all", "sync-profile bogus",
		"info rocker bogus", "info vm-generation-id",
	} {
		name, _, _ := strings.Cut(line, " ")
		if _, err := async.HMP(qemutest.Context(t), c, line); !failedAs(err, name) {
			t.Errorf("%q: %v", line, err)
		}
	}
	worked := 0
	for _, line := range []string{
		"info", "info status", "info block", "info version", "info registers", "info qtree", "info mtree", "info pci", "info chardev", "info migrate",
		"stop", "print 1", "x /4x 0", "xp/4x 0", "i /b 0x80", "o /b 0x80 1", "sum 0 10", "gpa2hva 0", "gva2gpa 0", "commit all",
		"drive_add 0 if=none,id=d1,driver=null-co", "drive_del d1", "device_add help", "object_add memory-backend-ram,id=m0,size=1M", "object_del m0",
		"chardev-add null,id=c0", "chardev-remove c0", "log none", "trace-event load_file on", "logfile " + filepath.Join(dir, "log"), "singlestep off", "one-insn-per-tb off",
		"gdbserver unix:" + filepath.Join(dir, "gdb") + ",server=on,wait=off", "gdbserver none", "cpu 0", "boot_set n", "sendkey a", "mouse_set 2", "watchdog_action none",
		"netdev_add user,id=n0", "hostfwd_add n0 tcp:127.0.0.1:0-:22", "migrate_set_capability events on", "savevm -h", "qom-list /machine", "system_powerdown", "cont", "",
	} {
		name, _, _ := strings.Cut(line, " ")
		if name, _, _ := strings.Cut(name, "/"); name != "" && name != "savevm" && !has(name) {
			continue // this QEMU does not have it
		}
		text, err := async.HMP(qemutest.Context(t), c, line)
		switch {
		case name == "savevm": // this QEMU does not have that option
			if !failedAs(err, name) {
				t.Errorf("%q: %v", line, err)
			}
		case err != nil:
			t.Errorf("%q: %v", line, err)
		case strings.Contains(text, "\r"):
			t.Errorf("%q: a carriage return in %q", line, text)
		default:
			worked++
		}
	}
	if worked < 35 {
		t.Errorf("only %d lines were tried that work", worked)
	}
}

// failedAs reports whether err says that a line of the human monitor with that
// command failed.
func failedAs(err error, command string) bool {
	var failed *async.HMPError
	if !errors.As(err, &failed) {
		return false
	}
	name, _, _ := strings.Cut(failed.Command, " ")
	before, _, _ := strings.Cut(command, "/")
	return name == before && failed.Text != ""
}
