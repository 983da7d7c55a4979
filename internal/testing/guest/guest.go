// Package guest boots a small Linux in QEMU, for tests that need a real guest. The
// guest reacts to its power button, can panic, and can run the guest agent.
//
//	vm := machine.New(qemu, &machine.Options{Console: true, Args: guest.Args(t, guest.Options{})})
//	...
//	console := guest.Attach(t, vm.Console())
//	console.Await("ready", 1)
//
// The kernel and busybox are Debian's; "make guest" fetches them into a cache. If
// they are missing, the test is skipped, or fails if CI is set, as in package
// qemutest.
package guest

import (
	"context"
	_ "embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// Patience is how long a test waits for a guest to do something. QEMU emulates the
// guest's processor, so a boot takes seconds, and much longer on a busy machine.
const Patience = 5 * time.Minute

// Context returns a context for one test, with the time limit [Patience].
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
	Panics    = "panic" // with "-device pvpanic" the kernel reports it to QEMU
)

// Options says how the guest behaves. A guest with the zero value powers off when its
// power button is pressed.
type Options struct {
	// Button is what the guest does when its power button is pressed. The default is
	// PowersOff.
	Button string

	// Hold makes the guest stop in the middle of its boot, before it reacts to a power
	// button. It writes "booting" then, and continues after [Console.Go].
	Hold bool

	// Agent makes the guest start the guest agent on the first virtio-serial port, and
	// start it again when it ends. That port needs [AgentArgs]. guest-shutdown works. The
	// file system at /mnt, which is in the guest's memory, can be frozen.
	Agent bool
}

// Args returns the options with which QEMU boots the guest: machine, memory, kernel.
// The guest's console is the first serial port, for which the caller adds the option.
func Args(t testing.TB, opts Options) []string {
	t.Helper()
	if testing.Short() {
		t.Skip("skipped by -short: boots a guest")
	}
	args, err := Build(qemutest.Dir(t), opts)
	if errors.Is(err, fs.ErrNotExist) {
		qemutest.Lacks(t, "no guest: %v ('make guest' fetches it)", err)
	}
	if err != nil {
		t.Fatalf("the guest's files: %v", err)
	}
	return args
}

// Build is [Args] for a program that is not a test. It makes the guest's file system in
// the folder dir. If the cache has no guest, the error matches fs.ErrNotExist.
func Build(dir string, opts Options) ([]string, error) {
	from, err := cache()
	if err != nil {
		return nil, err
	}
	kernel, initrd := filepath.Join(from, "vmlinuz"), filepath.Join(dir, "initrd")
	if _, err := os.Stat(kernel); err != nil {
		return nil, err
	}
	packed, err := build(filepath.Join(from, "files"), opts.Agent)
	if err == nil {
		err = os.WriteFile(initrd, packed, 0o600)
	}
	if err != nil {
		return nil, err
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
		"-kernel", kernel, "-initrd", initrd, "-append", strings.Join(words, " "),
	}, nil
}

// AgentArgs returns the options for the virtio-serial port of the guest agent.
// chardev is the id of the character device at the port's other end.
func AgentArgs(chardev string) []string {
	return []string{"-device", "virtio-serial-pci", "-device", "virtserialport,name=org.qemu.guest_agent.0,chardev=" + chardev}
}

// cache returns the folder that scripts/guest.sh fills.
func cache() (string, error) {
	const name = "guest-2" // as in that script
	return qemutest.Cache(name)
}

//go:embed init.sh
var initScript []byte

// build returns the guest's file system as an archive, which the kernel unpacks into
// memory. Each guest gets a new one, since making it takes only milliseconds, so it is
// never out of date. agent says whether it has the guest agent, which is most of its
// size.
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
