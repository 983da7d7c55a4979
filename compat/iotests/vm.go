package iotests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/secrets"
)

// VMOptions configures a [VM]. A nil *VMOptions, like the zero value, makes a machine
// without processor, bus and guest. That is enough for images, jobs, exports and
// migration.
type VMOptions struct {
	// Name is the VM's name in failures and in the log. The default is the kind, vm
	// or qsd, and a number that counts the machines and servers of the test: vm1.
	Name string

	// Machine is the machine type. The default is "none". Devices need a type that
	// has a bus, such as "pc" or "q35".
	Machine string

	// Args are added to the command line, after the harness's own arguments.
	Args []string

	// Run starts the guest's processor. Without it the harness passes -S, and the
	// processor does not run until the command cont.
	Run bool

	// MayEndBadly lets the process end in a way that [machine.Machine.Shutdown]
	// reports as an error, such as by a crash that the test is about. Without it
	// such an end fails the test. [VM.Kill] does not need it.
	MayEndBadly bool

	// Process has further options of the process, such as Wrapper, Env, ConsoleFile,
	// or Console (read the console by vm.Machine.Console()). The harness itself sets
	// Name, Args, StorageDaemon, TempDir and Monitor, and ignores what Process has
	// there. The default of Dir is [Test].Dir. The default of LogLimit is no limit.
	Process *machine.Options
}

// A VM is a QEMU process, or a storage daemon ([Test.QSD]), and its monitor. If
// something does not work, its methods fail the test. If the VM still runs when the test
// ends, the harness ends it as [VM.Shutdown] does.
//
// The methods that add to the command line are called before [VM.Launch] and return the
// VM, so that calls can be chained:
//
//	vm := it.VM(nil).AddDrive(it.Path("disk")).Launch()
type VM struct {
	// Machine is the process. Use it for what VM has no method for.
	Machine *machine.Machine

	it     *Test
	name   string
	binary string          // the path of the program
	daemon bool            // it is a storage daemon
	drives int             // how many drives were added
	mayEnd bool            // VMOptions.MayEndBadly
	breaks map[string]bool // the breakpoints of blkdebug that are set, by name
	seen   int             // how many bytes of the process's output newOutput has returned
}

// VM returns a machine that is not launched yet. It takes a copy of opts, which may be
// nil.
//
// By default the machine has no processor (-machine none), and a machine that has one
// does not start it (-S): a test of the block layer needs no guest, and without KVM, a
// dozen guests in their firmware would keep all cores busy. QEMU's own iotests use the
// accelerator "qtest" for that, which distributions often leave out.
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

// QSD returns a storage daemon that is not launched yet: a [VM] with block nodes, jobs
// and exports, but without drives, devices and a human monitor. It uses the options
// Name, Args, MayEndBadly and Process, and ignores the others.
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
	// IO decides by the process's output whether a command worked. With a limit the
	// middle of a long output would be lost.
	if process.LogLimit == 0 {
		process.LogLimit = -1
	}
	vm.binary = it.find(p)
	if tracer := it.record(vm); tracer != nil {
		var qmp async.Options
		if process.QMP != nil {
			qmp = *process.QMP
		}
		qmp.Tracers = append(slices.Clip(qmp.Tracers), tracer)
		process.QMP = &qmp
	}
	vm.Machine = machine.New(vm.binary, &process)
	it.Cleanup(func() {
		it.Helper()
		vm.end()
		if log := vm.Machine.Log(); it.Failed() && log != "" {
			it.Logf("%s: its output ends:\n%s", vm.name, tail(secrets.Output(log, vm.Machine.CommandLine())))
		}
	})
	return vm
}

// end ends the process as VM.Shutdown describes it. newVM registers it for the end of the
// test.
func (vm *VM) end() {
	vm.it.Helper()
	// When the test has ended, so has its context: use another one.
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

// tail returns the last 2 KiB of a process's output.
func tail(text string) string {
	const most = 2 << 10
	if len(text) > most {
		return "..." + text[len(text)-most:]
	}
	return text
}

// Name returns the VM's name in failures and in the log.
func (vm *VM) Name() string { return vm.name }

// AddArgs adds arguments to the command line. If the VM runs already, the test fails.
func (vm *VM) AddArgs(args ...string) *VM {
	vm.it.Helper()
	vm.mustNotRun("options", quote(args))
	vm.Machine.AddArgs(args...)
	return vm
}

// AddDrive adds an image in the test's format as a drive without a device. The drives
// are called drive0, drive1 and so on, and commands use these names. options, such as
// "node-name=top" or "read-only=on", override those of the harness. path may begin with
// a protocol, such as "blkdebug::".
func (vm *VM) AddDrive(path string, options ...string) *VM {
	it := vm.it
	it.Helper()
	// Without auto-read-only=off, -drive opens a file for writing only while one of its
	// users may write. A qemu-io command inside the VM is such a user for a moment, so
	// QEMU opens the file again twice. Requests of a job that are under way then may
	// fail with "Bad file descriptor" (seen with 7.2).
	drive := fmt.Sprintf("if=none,id=drive%d,file=%s,format=%s,cache=%s,aio=%s,auto-read-only=off",
		vm.drives, machine.Escape(path), it.Format, it.CacheMode, it.AIOMode)
	for _, option := range options {
		drive += "," + option
	}
	return vm.AddDriveRaw(drive)
}

// AddDriveRaw adds an option -drive with the given text, unchanged.
func (vm *VM) AddDriveRaw(drive string) *VM {
	vm.it.Helper()
	vm.drives++
	return vm.AddArgs("-drive", drive)
}

// AddBlockdev adds a block node. node is the text of the option --blockdev, a []string
// of its parts, or an object, such as a [Dict], with the arguments of the command
// blockdev-add. An object is passed as JSON. Any other value fails the test.
func (vm *VM) AddBlockdev(node any) *VM {
	vm.it.Helper()
	return vm.addOption("--blockdev", node)
}

// AddDevice adds a device. device has one of the forms of [VM.AddBlockdev]; the member
// "driver" of an object names the device's type.
func (vm *VM) AddDevice(device any) *VM {
	vm.it.Helper()
	return vm.addOption("-device", device)
}

// AddObject adds an object such as a throttle group. object has one of the forms of
// [VM.AddBlockdev]; the member "qom-type" names the object's type.
func (vm *VM) AddObject(object any) *VM {
	vm.it.Helper()
	return vm.addOption("--object", object)
}

// AddExport adds an export of a storage daemon. export has one of the forms of
// [VM.AddBlockdev]; the member "type" names the export's type.
func (vm *VM) AddExport(export any) *VM {
	vm.it.Helper()
	return vm.addOption("--export", export)
}

// mustNotRun fails the test if the VM runs. The failure shows what was to be added.
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
		vm.fail(fmt.Sprintf("the value of %s has to be a text, a list of texts, or an object, not a %T", option, value), "value", FormatJSON(value))
	}
	return vm.AddArgs(option, FormatJSON(n))
}

// AddIncoming makes the VM wait for a migration at a URI such as "unix:PATH". The socket
// exists when [VM.Launch] returns. With the URI "defer", the VM waits for the command
// migrate-incoming instead.
func (vm *VM) AddIncoming(uri string) *VM {
	vm.it.Helper()
	return vm.AddArgs("-incoming", uri)
}

// AddFD passes an open file to the VM, in the descriptor set with the number set. Options
// and commands name it "/dev/fdset/SET". The caller still owns f, and closes it after
// the last [VM.Launch].
//
// QEMU has to open the set in exactly the mode in which f was opened: see
// [machine.Machine.AddFD].
func (vm *VM) AddFD(f *os.File, set int) *VM {
	vm.it.Helper()
	vm.mustNotRun("file", f.Name())
	vm.Machine.AddFD(f, set, "")
	return vm
}

// Launch starts the VM and connects to its monitor. If that does not work, the test
// fails, and shows the command line and the process's output. To test that a launch
// fails, use vm.Machine.Launch.
func (vm *VM) Launch() *VM {
	vm.it.Helper()
	ctx, cancel := vm.it.withTimeout()
	defer cancel()
	vm.seen, vm.breaks = 0, nil
	if err := vm.Machine.Launch(ctx); err != nil {
		vm.it.fail(err.Error())
	}
	return vm
}

// Shutdown ends the VM by the command quit, and waits until it has ended. If the process
// ends, or has ended before, in a way that [machine.Machine.Shutdown] reports as an error,
// the test fails, unless [VMOptions].MayEndBadly is set. The VM may be launched again.
func (vm *VM) Shutdown() {
	vm.it.Helper()
	vm.end()
}

// Kill ends the VM immediately, as a power failure would: QEMU does not close its images.
// The VM may be launched again.
func (vm *VM) Kill() {
	vm.it.Helper()
	if err := vm.Machine.Kill(); err != nil {
		vm.it.Errorf("%v", err)
	}
}

// WaitExit waits until the process has ended, without telling it to, and returns its exit
// status.
func (vm *VM) WaitExit() machine.ExitStatus {
	vm.it.Helper()
	ctx, cancel := vm.it.withTimeout()
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

// fail is [Test.fail], with the VM's name and the end of the process's output.
func (vm *VM) fail(what string, pairs ...string) {
	vm.it.Helper()
	vm.it.fail(vm.name+": "+what, append(pairs, "output", tail(vm.Machine.Log()))...)
}
