// Package guest boots a small Linux in QEMU, for tests that need a real guest: it
// has a power button, a panic, a guest agent.
//
//	vm := machine.New(qemu, &machine.Options{Console: true, Args: guest.Args(t, guest.Options{})})
//	...
//	console := guest.Attach(t, vm.Console())
//	console.Await("ready")
//
// The kernel and busybox are Debian's; "make guest" fetches them into a cache. A
// machine without them skips the test, or fails it where CI is set, as package
// qemutest does.
package guest

import (
	"context"
	_ "embed"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// Patience bounds what a test waits for a guest to do. QEMU interprets the guest's
// code, so a boot takes seconds, and many of them on a busy machine.
const Patience = 5 * time.Minute

// Context returns a context for one test, bounded by [Patience].
func Context(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// What the guest does when its power button is pressed.
const (
	PowersOff = "poweroff"
	Ignores   = "ignore"
	Reboots   = "reboot"
	Panics    = "panic" // the kernel tells QEMU, if there is a "-device pvpanic"
)

// Options says how the guest behaves. The zero value is a guest that powers off
// when its power button is pressed.
type Options struct {
	// Button is what it does when its power button is pressed; the default is
	// PowersOff.
	Button string

	// Hold has it stop in the middle of its boot, before it knows of a power button.
	// It says "booting" then, and goes on after [Console.Go].
	Hold bool

	// Agent starts the guest agent on the first virtio-serial port, for which
	// [AgentArgs] are needed.
	Agent bool
}

// Args returns QEMU's options that boot the guest: those for the machine, the
// memory, the kernel. It has the first serial port as its console; that one is the
// caller's to connect.
func Args(t testing.TB, opts Options) []string {
	t.Helper()
	dir := find(t)
	initrd := filepath.Join(qemutest.Dir(t), "initrd")
	packed, err := build(filepath.Join(dir, "files"), opts.Agent)
	if err == nil {
		err = os.WriteFile(initrd, packed, 0o600)
	}
	if err != nil {
		t.Fatalf("the guest's files: %v", err)
	}
	words := []string{"console=ttyS0", "quiet", "panic=-1"}
	if opts.Button != "" {
		words = append(words, "button="+opts.Button)
	}
	if opts.Hold {
		words = append(words, "hold=yes")
	}
	if opts.Agent {
		words = append(words, "agent=yes")
	}
	return []string{
		"-nodefaults", "-machine", "q35", "-accel", "tcg", "-m", "256",
		"-kernel", filepath.Join(dir, "vmlinuz"), "-initrd", initrd, "-append", strings.Join(words, " "),
	}
}

// AgentArgs returns the options for the virtio-serial port of the guest agent,
// whose other end is the character device with that id.
func AgentArgs(chardev string) []string {
	return []string{"-device", "virtio-serial-pci", "-device", "virtserialport,name=org.qemu.guest_agent.0,chardev=" + chardev}
}

// find returns the folder with the kernel and the guest's files. It ends the test, as
// the package comment says, where there is none.
func find(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("skipped by -short: boots a guest")
	}
	dir, err := cache()
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "vmlinuz"))
	}
	if err != nil {
		qemutest.Lacks(t, "no guest: %v ('make guest' fetches it)", err)
	}
	return dir
}

// cache returns the folder that scripts/guest.sh fills.
func cache() (string, error) {
	if dir := os.Getenv("QMP_TEST_CACHE"); dir != "" {
		return filepath.Join(dir, "guest"), nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "goqmp", "guest"), err
}

//go:embed init.sh
var initScript []byte

// build returns the guest's file system, which stays in memory, as an archive that
// the kernel unpacks. Making it takes milliseconds, so it is made anew for each guest
// and is never out of date. It leaves out the agent, most of the size, unless asked.
func build(files string, agent bool) ([]byte, error) {
	var a archive
	a.folder("dev")
	a.add("init", initScript)
	err := fs.WalkDir(os.DirFS(files), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name == "agent" && !agent:
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		content, err := os.ReadFile(filepath.Join(files, name))
		if err != nil {
			return err
		}
		a.add(name, content)
		return nil
	})
	return a.finish(), err
}
