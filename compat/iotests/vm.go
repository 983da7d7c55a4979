package iotests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/goqmp/qmp/compat/machine"
)

// VMOptions configures a [VM]. A nil *VMOptions, like the zero value, makes a
// machine with no processor, no bus and no guest, on which everything that has to
// do with images, jobs, exports and migration works.
type VMOptions struct {
	// Name is for messages and the log. The default is vm1, vm2 and so on, or
	// qsd1 for a storage daemon.
	Name string

	// Machine is the machine's type; the default is none. For devices there has
	// to be one that has a bus, such as pc or q35.
	Machine string

	// Args go onto the command line, behind the harness's own.
	Args []string

	// Run starts the guest's processor. Without it the machine waits, as with
	// -S, until the command cont.
	Run bool

	// MayEndBadly lets the process end otherwise than by quit, such as by
	// Kill, or by a crash that the test is about.
	MayEndBadly bool

	// Process is what else the process is to have, such as a Wrapper, an Env, a
	// ConsoleFile, or a Console, which is vm.Machine.Console() then. Its Name,
	// Args, StorageDaemon, TempDir and Monitor are the harness's, and the default
	// of its Dir is the test's directory.
	Process *machine.Options
}

// A VM is a QEMU, or a storage daemon ([Test.QSD]), and its monitor. Its methods
// fail the test where something does not work. It ends with the test at the
// latest; one that does not end well fails the test.
//
// What adds to the command line is called before [VM.Launch] and returns the VM:
//
//	vm := it.VM(nil).AddDrive(it.Path("disk")).Launch()
type VM struct {
	// Machine is the process below, for everything that is not here.
	Machine *machine.Machine

	it     *Test
	name   string
	binary string
	daemon bool
	drives int
	mayEnd bool
	breaks map[string]bool // the breakpoints that were set for qemu-io's wait_break, by name
	seen   int             // how much of the process's output was returned by qemu-io calls
}

// VM returns a machine that is still to be launched.
//
// Its guest never runs. A test of the block layer needs none, and on two cores,
// without KVM, a dozen of guests in their firmware would take all the time there
// is. So there is no processor at all by default (-machine none), and where
// devices are needed and there has to be a machine, it is not started (-S). Jobs,
// their events, exports and migration do not care. iotests themselves get there
// by the accelerator "qtest", which distributions often leave out.
func (it *Test) VM(opts *VMOptions) *VM {
	it.Helper()
	if opts == nil {
		opts = &VMOptions{}
	}
	args := []string{"-nodefaults", "-machine", first(opts.Machine, "none")}
	if !opts.Run {
		args = append(args, "-S")
	}
	return it.newVM(qemuProgram, "vm", opts, append(args, opts.Args...))
}

// QSD returns a storage daemon that is still to be launched: a [VM] that has block
// nodes, jobs and exports, but no drives, no devices and no human monitor. Of the
// options it uses Name, Args, MayEndBadly and Process.
func (it *Test) QSD(opts *VMOptions) *VM {
	it.Helper()
	if opts == nil {
		opts = &VMOptions{}
	}
	return it.newVM(qsdProgram, "qsd", opts, opts.Args)
}

func (it *Test) newVM(p program, kind string, opts *VMOptions, args []string) *VM {
	it.Helper()
	it.vms++
	vm := &VM{it: it, daemon: kind == "qsd", mayEnd: opts.MayEndBadly, name: first(opts.Name, label(kind, it.vms))}
	var process machine.Options
	if opts.Process != nil {
		process = *opts.Process
	}
	process.Name, process.Args, process.StorageDaemon = vm.name, args, vm.daemon
	process.TempDir, process.Monitor = it.sockDir, machine.MonitorAccept
	process.Dir = first(process.Dir, it.Dir)
	// IO judges commands by what they add to the log, which must not lose its middle.
	if process.LogLimit == 0 {
		process.LogLimit = -1
	}
	vm.binary = it.find(p)
	vm.Machine = machine.New(vm.binary, &process)
	it.Cleanup(func() {
		it.Helper()
		vm.end()
		if log := vm.Machine.Log(); it.Failed() && log != "" {
			it.Logf("%s: its output ends:\n%s", vm.name, tail(log))
		}
	})
	return vm
}

// end ends the process, at the test's end if the test has not done so.
func (vm *VM) end() {
	vm.it.Helper()
	// The test's own context has ended by then.
	ctx, cancel := context.WithTimeout(context.Background(), vm.it.timeout)
	defer cancel()
	err := vm.Machine.Shutdown(ctx)
	var abnormal *machine.AbnormalShutdown
	if err != nil && !(vm.mayEnd && errors.As(err, &abnormal) && abnormal.Exit != nil) {
		vm.it.Errorf("%v", err)
	}
}

// label returns a name such as vm3.
func label(kind string, n int) string { return fmt.Sprintf("%s%d", kind, n) }

// tail returns the end of a process's output.
func tail(text string) string {
	const most = 2 << 10
	if len(text) > most {
		return "..." + text[len(text)-most:]
	}
	return text
}

// Name returns the name that messages have for the VM.
func (vm *VM) Name() string { return vm.name }

// AddArgs adds to the command line. It fails the test while the VM runs, when it
// is too late for that.
func (vm *VM) AddArgs(args ...string) *VM {
	vm.it.Helper()
	vm.mustNotRun("options", quote(args))
	vm.Machine.AddArgs(args...)
	return vm
}

// AddDrive adds an image in the test's format as drive0, drive1 and so on: a
// backend without a device, to be named in commands. options, such as
// "node-name=top" or "read-only=on", win over the harness's. path may have a
// protocol in front, such as "blkdebug::".
func (vm *VM) AddDrive(path string, options ...string) *VM {
	it := vm.it
	it.Helper()
	// Without auto-read-only=off, -drive has a file open for writing only while
	// somebody may write. A qemu-io command inside the VM is such a somebody for a
	// moment: the descriptor changes twice, and requests of a job that are under
	// way meanwhile may fail with "Bad file descriptor" (seen with 7.2).
	drive := fmt.Sprintf("if=none,id=drive%d,file=%s,format=%s,cache=%s,aio=%s,auto-read-only=off",
		vm.drives, machine.Escape(path), it.Format, it.CacheMode, it.AIOMode)
	for _, option := range options {
		drive += "," + option
	}
	return vm.AddDriveRaw(drive)
}

// AddDriveRaw adds the option -drive as it is.
func (vm *VM) AddDriveRaw(drive string) *VM {
	vm.it.Helper()
	vm.drives++
	return vm.AddArgs("-drive", drive)
}

// AddBlockdev adds a node: the text of the option, a []string of its parts, or a
// [Dict] with the arguments of the command blockdev-add, which goes onto the command
// line as JSON, with all its types. Anything else fails the test.
func (vm *VM) AddBlockdev(node any) *VM {
	vm.it.Helper()
	return vm.addOption("--blockdev", node)
}

// AddDevice adds a device, in the same ways; in a Dict, "driver" names it.
func (vm *VM) AddDevice(device any) *VM {
	vm.it.Helper()
	return vm.addOption("-device", device)
}

// AddObject adds an object such as a throttle group, in the same ways; in a
// Dict, "qom-type" names its type.
func (vm *VM) AddObject(object any) *VM {
	vm.it.Helper()
	return vm.addOption("--object", object)
}

// AddExport adds an export of a storage daemon, in the same ways; in a Dict,
// "type" names its type.
func (vm *VM) AddExport(export any) *VM {
	vm.it.Helper()
	return vm.addOption("--export", export)
}

// mustNotRun fails the test while the VM runs.
func (vm *VM) mustNotRun(what, added string) {
	vm.it.Helper()
	if vm.Machine.Running() {
		vm.fail("too late for the command line: add to it before Launch, or use a command such as blockdev-add", what, added)
	}
}

func (vm *VM) addOption(option string, value any) *VM {
	vm.it.Helper()
	switch v := value.(type) {
	case string:
		return vm.AddArgs(option, v)
	case []string:
		return vm.AddArgs(option, strings.Join(v, ","))
	}
	n, err := normalize(value)
	if _, ok := members(n); err != nil || !ok {
		vm.fail(fmt.Sprintf("the value of %s is a text, a list of texts, or an object, not a %T", option, value), "value", FormatJSON(value))
	}
	return vm.AddArgs(option, FormatJSON(n))
}

// AddIncoming has the VM wait for a migration from a URI such as "unix:PATH". Its
// name is there from the launch on. With "defer" it waits for the command
// migrate-incoming.
func (vm *VM) AddIncoming(uri string) *VM {
	vm.it.Helper()
	return vm.AddArgs("-incoming", uri)
}

// AddFD gives a file to the VM in a descriptor set, so that "/dev/fdset/SET" names
// it in options and commands. The file stays the caller's.
//
// The mode in which f was opened has to match exactly: see [machine.Machine.AddFD].
func (vm *VM) AddFD(f *os.File, set int) *VM {
	vm.it.Helper()
	vm.mustNotRun("file", f.Name())
	vm.Machine.AddFD(f, set, "")
	return vm
}

// Launch starts the VM, and fails the test with everything that is known where
// that does not work. To see it fail, use vm.Machine.Launch.
func (vm *VM) Launch() *VM {
	vm.it.Helper()
	ctx, cancel := vm.it.patience()
	defer cancel()
	vm.seen, vm.breaks = 0, nil
	if err := vm.Machine.Launch(ctx); err != nil {
		vm.it.fail(err.Error())
	}
	return vm
}

// Shutdown ends the VM by the command quit, and fails the test if it does not end
// as it should. It may be launched again.
func (vm *VM) Shutdown() {
	vm.it.Helper()
	vm.end()
}

// Kill ends the VM at once, as a power failure would: images are left as they are.
func (vm *VM) Kill() {
	vm.it.Helper()
	if err := vm.Machine.Kill(); err != nil {
		vm.it.Errorf("%v", err)
	}
}

// WaitExit waits until the process ends by itself, and returns how.
func (vm *VM) WaitExit() machine.ExitStatus {
	vm.it.Helper()
	ctx, cancel := vm.it.patience()
	defer cancel()
	status, err := vm.Machine.Wait(ctx)
	if err != nil {
		state := ""
		if vm.Machine.Running() {
			state = "the process still runs"
		}
		vm.fail(err.Error(), "now", state, "events", eventNames(vm.Machine.Events()))
	}
	return status
}

// fail ends the test with a story about the VM. See [Test.fail].
func (vm *VM) fail(what string, pairs ...string) {
	vm.it.Helper()
	vm.it.fail(vm.name+": "+what, append(pairs, "output", tail(vm.Machine.Log()))...)
}
