package docs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/compat/iotests"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/compat/qtest"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// These tests run the Go code of migrating.md's part about the harness: each block
// of that code is copied from here.

type dict = iotests.Dict

func TestHarnessLaunch(t *testing.T) {
	t.Parallel()
	qemutest.Find(t, qemutest.QEMU)
	ctx := t.Context()
	run := func() error {
		vm := machine.New("qemu-system-x86_64", &machine.Options{Name: "vm1"})
		defer vm.Kill() // does nothing after Shutdown
		vm.AddArgs("-machine", "none")
		if err := vm.Launch(ctx); err != nil {
			return err
		}
		status, err := vm.Command(ctx, "query-status", nil)
		if err != nil {
			return err
		}
		fmt.Fprintln(t.Output(), status.(map[string]any)["status"])
		return vm.Shutdown(ctx)
	}
	if err := run(); err != nil {
		t.Error(err)
	}
}

func TestHarnessFailures(t *testing.T) {
	t.Parallel()
	qemutest.Find(t, qemutest.QEMU)
	ctx := t.Context()
	var out strings.Builder
	show := func(vm *machine.Machine) {
		err := vm.Launch(ctx)
		if failure, ok := errors.AsType[*machine.VMLaunchFailure](err); ok {
			fmt.Fprintln(&out, failure.Exit, failure.Output)
		}

		err = vm.Shutdown(ctx)
		if abnormal, ok := errors.AsType[*machine.AbnormalShutdown](err); ok {
			fmt.Fprintln(&out, abnormal.Steps, abnormal.Exit, vm.Log())
		}
	}
	show(machine.New("qemu-system-x86_64", &machine.Options{Args: []string{"-machine", "nosuch"}}))
	if text := out.String(); !strings.Contains(text, "exit code 1") || !strings.Contains(text, "unsupported machine type") {
		t.Errorf("%s", text)
	}
	out.Reset()
	// Shutdown allows no time for quit and SIGTERM, and kills at once.
	show(machine.New("qemu-system-x86_64", &machine.Options{
		Args: []string{"-machine", "none"}, QuitTimeout: -1, TerminateTimeout: -1,
	}))
	if text := out.String(); !strings.Contains(text, "SIGKILL") || runtime.GOOS != "windows" && !strings.Contains(text, "signal 9") {
		t.Errorf("%s", text)
	}
}

func TestHarnessEvents(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, &iotests.Options{Format: "raw"})
	it.TempFile("disk", make([]byte, 1<<20))
	wait := func(ctx context.Context, vm *machine.Machine) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		event, err := vm.EventsWait(ctx,
			machine.EventMatch{Name: "JOB_STATUS_CHANGE", Pattern: dict{"data": dict{"id": "job0", "status": "concluded"}}},
			machine.EventMatch{Name: "BLOCK_JOB_ERROR"},
		)
		if errors.Is(err, context.DeadlineExceeded) {
			return errors.New("no event in ten seconds")
		} else if err != nil {
			return err
		}
		it.AssertQMP(event, "event", "JOB_STATUS_CHANGE")
		return nil
	}
	vm := it.QSD(nil).Launch()
	vm.Cmd("blockdev-create", dict{"job-id": "job0", "options": dict{"driver": "file", "filename": it.Path("disk"), "size": 512}})
	if err := wait(t.Context(), vm.Machine); err != nil {
		t.Error(err)
	}
	if err := wait(t.Context(), machine.New("qemu", nil)); !errors.Is(err, machine.ErrNotRunning) {
		t.Errorf("%v", err)
	}
}

func TestDisk(t *testing.T) {
	t.Parallel()
	iotests.Each(t, []string{"raw", "qcow2"}, func(it *iotests.Test) {
		it.RequireProtocols("file")
		disk := it.Path("disk.img")
		it.ImgCreate(disk, "64M")
		vm := it.VM(nil).AddDrive(disk).Launch()

		vm.IO("drive0", "write -P 1 0 64k", "read -P 1 0 64k")
		reply := vm.QMP("query-block", nil)
		it.AssertQMP(reply, "return[0]/inserted/image/virtual-size", 64<<20)
	})
}

func TestBackup(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, nil)
	disk, target := it.Path("disk.img"), it.Path("target.img")
	it.ImgCreate(disk, "64M")
	it.ImgCreate(target, "64M")
	vm := it.VM(nil).
		AddBlockdev(dict{"driver": it.Format, "node-name": "disk", "file": dict{"driver": "file", "filename": disk}}).
		AddBlockdev(dict{"driver": it.Format, "node-name": "target", "file": dict{"driver": "file", "filename": target}}).
		Launch()

	it.Log("--- a backup ---")
	vm.QMPLog("blockdev-backup", dict{"job-id": "backup0", "device": "disk", "target": "target", "sync": "full"})
	vm.RunJob("backup0", nil)
	it.CheckGolden("backup")

	vm.Cmd("blockdev-backup", dict{
		"job-id": "backup0", "device": "disk", "target": "target", "sync": "full",
		"auto-finalize": false, "auto-dismiss": false,
	})
	result := vm.RunJob("backup0", &iotests.RunJobOptions{
		ManualFinalize: true, ManualDismiss: true, MayFail: true,
		BeforeFinalize: func() { it.Log("all is copied, nothing is final") },
	})
	if !result.OK() {
		it.Log("it failed: " + result.Error)
	}

	vm.Cmd("blockdev-mirror", dict{"job-id": "mirror0", "device": "disk", "target": "target", "sync": "full"})
	vm.CompleteAndWait("mirror0")
	vm.AssertNoActiveBlockJobs()
}

func TestHarnessPaths(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, nil)
	disk, target := it.Path("disk.img"), it.Path("target.img")
	it.ImgCreate(disk, "64M")
	it.ImgCreate(target, "64M")
	it.QemuIO(disk, "write -P 1 0 64M")
	vm := it.VM(nil).
		AddBlockdev(dict{"driver": it.Format, "node-name": "disk", "file": dict{"driver": "file", "filename": disk}}).
		AddBlockdev(dict{"driver": it.Format, "node-name": "target", "file": dict{"driver": "file", "filename": target}}).
		Launch()
	vm.Cmd("blockdev-backup", dict{"job-id": "job0", "device": "disk", "target": "target", "sync": "full", "speed": 64 << 10})

	reply := vm.QMP("query-block-jobs", nil)
	it.AssertQMP(reply, "return[0]/device", "job0")
	it.AssertQMP(reply, "return[0]/status", []string{"running", "paused"})
	it.AssertQMPAbsent(reply, "return[0]/error")
	offset := iotests.Get[int64](it, reply, "return[0]/offset")

	if offset < 0 || offset >= 64<<20 {
		it.Errorf("offset %d", offset)
	}
	vm.CancelAndWait("job0", true)
}

func TestHarnessTools(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, nil)
	base, top := it.Path("base.img"), it.Path("top.img")
	it.ImgCreate(base, "1M")

	it.ImgCreate(top, "", "-b", base, "-F", it.Format)
	it.QemuIO(top, "write -P 1 0 64k", "read -P 1 0 64k")
	it.AssertQMP(it.ImgInfo(top), "backing-filename", base)
	if result := it.ImgResult("info", it.Path("nosuch")); result.OK() {
		it.Errorf("the image exists: %v", result)
	}
}

func TestHarnessStorageDaemon(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, nil)
	disk := it.Path("disk.img")
	it.ImgCreate(disk, "1M")

	socket := it.SocketPath("nbd")
	qsd := it.QSD(nil).
		AddBlockdev(dict{"driver": it.Format, "node-name": "disk", "file": dict{"driver": "file", "filename": disk}}).
		AddArgs("--nbd-server", "addr.type=unix,addr.path="+socket).
		AddExport(dict{"type": "nbd", "id": "export0", "node-name": "disk", "writable": true}).
		Launch()
	vm := it.VM(nil).AddBlockdev(dict{
		"driver": "nbd", "node-name": "remote", "server": dict{"type": "unix", "path": socket}, "export": "disk",
	}).Launch()
	vm.IO("remote", "write -P 1 0 64k")
	vm.Shutdown()
	qsd.Shutdown()
}

func TestHarnessPause(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, &iotests.Options{Format: "raw"})
	disk := it.Path("disk.img")
	it.ImgCreate(disk, "1M")

	vm := it.VM(nil).AddDrive("blkdebug::" + disk).Launch()
	vm.PauseDrive("drive0", "write_aio")
	vm.HMPQemuIO("drive0", "aio_write -P 1 0 64k")
	vm.WaitPaused("drive0")
	// ... what is to happen meanwhile ...
	vm.ResumeDrive("drive0")
}

func TestHarnessMigration(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, nil)
	uri := "unix:" + it.SocketPath("migration")
	source, destination := it.VM(nil).Launch(), it.VM(nil).AddIncoming(uri).Launch()
	source.EnableMigrationEvents()
	destination.EnableMigrationEvents()
	source.Migrate(uri)
	if !source.WaitMigration("postmigrate") || !destination.WaitMigration("") {
		it.Fatalf("it failed: %v", source.Cmd("query-migrate", nil))
	}
}

func TestHarnessSkips(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, nil)
	it.RequireFormats("qcow2", "qed")
	it.SkipFormats("they have no backing files", "raw", "luks")
	it.RequireProtocols("file")
	it.RequireDrivers("throttle", "blkdebug")
	it.RequireVersion(5, 2)
	if runtime.GOOS != "linux" {
		it.Skipf("only for Linux: needs /proc")
	}
	it.Logf("it runs")
}

func TestHarnessQtest(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, nil)
	ctx := t.Context()

	listener, err := qtest.Listen("unix:" + it.SocketPath("qtest"))
	if err != nil {
		it.Fatalf("%v", err)
	}
	defer listener.Close()
	it.VM(&iotests.VMOptions{Machine: "pc"}).
		AddArgs("-qtest", "unix:"+it.SocketPath("qtest"), "-qtest-log", "none").Launch()
	guest, err := listener.Accept(ctx)
	if err != nil {
		it.Fatalf("%v", err)
	}
	defer guest.Close()
	if err := guest.WriteL(ctx, 0x1000, 0x12345678); err != nil {
		it.Fatalf("%v", err)
	}

	if got, err := guest.ReadL(ctx, 0x1000); err != nil || got != 0x12345678 {
		it.Errorf("%#x, %v", got, err)
	}
}

func TestHarnessConsole(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, nil)
	vm := it.VM(&iotests.VMOptions{
		Machine: "pc",
		Process: &machine.Options{Wrapper: []string{"env", "LC_ALL=C"}, ConsoleFile: it.Path("console.log")},
	}).Launch()
	vm.Shutdown()
	it.AssertEqual("the size of the console log of a guest that does not run", it.FileSize(it.Path("console.log")), 0)
}

func TestHarnessDescriptors(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, &iotests.Options{Format: "raw"})
	f, err := os.Open(it.TempFile("disk.img", make([]byte, 1<<20)))
	if err != nil {
		it.Fatalf("%v", err)
	}
	defer f.Close()

	vm := it.VM(nil).AddFD(f, 7).Launch() // "/dev/fdset/7"
	name := vm.PassFD(f, "the disk")      // "/dev/fdset/8", say
	vm.Cmd("blockdev-add", dict{"driver": "file", "node-name": "disk", "filename": name, "read-only": true})
}

// program is a test that is run without go test.
func program(ctx context.Context) error {
	return iotests.RunProgram(ctx, os.Stdout, "my test", func(tb iotests.TB) {
		it := iotests.New(tb, &iotests.Options{Format: "qcow2"})
		it.VM(nil).Launch().Shutdown()
	})
}

func TestHarnessProgram(t *testing.T) {
	t.Parallel()
	iotests.New(t, nil) // skips the test if QEMU is missing
	if err := program(t.Context()); err != nil {
		t.Error(err)
	}
}

// Some rows of the table of what the harness does differently from Python's.
func TestHarnessDiffers(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, nil)
	message := dict{"event": "STOP", "timestamp": dict{"seconds": 1, "microseconds": 2}}
	it.AssertQMP(iotests.FilterQMPEvent(message), "timestamp/seconds", "SECS")
	it.AssertQMP(message, "timestamp/seconds", 1) // the filter returned a copy

	vm := it.VM(&iotests.VMOptions{MayEndBadly: true}).Launch()
	it.AssertEqual("a refusal", vm.CmdError("nosuch", nil).Class, "CommandNotFound")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if event, err := vm.Machine.EventWait(ended, "STOP", nil); err == nil {
		it.Errorf("%v", event)
	}
	vm.Kill()
	var gone *machine.ProcessEndedError
	if _, err := vm.Machine.QMP(t.Context(), "query-status", nil); err == nil || errors.As(err, &gone) {
		it.Errorf("%v", err)
	}
}
