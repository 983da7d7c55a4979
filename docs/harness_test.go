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

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/iotests"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/compat/qtest"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// The Go code of the harness's part of migrating.md is cut from these tests.

type dict = iotests.Dict

func TestHarnessLaunch(t *testing.T) {
	t.Parallel()
	qemutest.Find(t, qemutest.QEMU)
	ctx := t.Context()
	run := func() error {
		vm := machine.New("qemu-system-x86_64", &machine.Options{Name: "vm1"})
		defer vm.Kill() // behind Shutdown it does nothing
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
	// It gets no time for quit and SIGTERM.
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
			return errors.New("nothing in ten seconds")
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
		it.Errorf("there is such an image: %v", result)
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
	it.AssertEqual("what a guest that does not run has written", it.FileSize(it.Path("console.log")), 0)
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
	iotests.New(t, nil) // which skips where there is nothing to be tested with
	if err := program(t.Context()); err != nil {
		t.Error(err)
	}
}

// What the harness does otherwise than Python's.
func TestHarnessDiffers(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, nil)
	message := dict{"event": "STOP", "timestamp": dict{"seconds": 1, "microseconds": 2}}
	it.AssertQMP(iotests.FilterQMPEvent(message), "timestamp/seconds", "SECS")
	it.AssertQMP(message, "timestamp/seconds", 1) // it is another one

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

// Example_harnessCalls has the calls of the tables about the harness. Not all of
// them make sense behind each other, so it is compiled and not run.
func Example_harnessCalls() {
	ctx, it, f := context.Background(), (*iotests.Test)(nil), os.Stdin
	var err error
	calls := func() {
		m := machine.New("/usr/bin/qemu-system-x86_64", &machine.Options{Args: []string{"-S"}, Name: "vm1"})
		use(&machine.Options{Wrapper: []string{"strace", "-f"}, TempDir: "/var/tmp", LogFile: "vm1.log"})
		use(&machine.Options{Console: true}, &machine.Options{ConsoleFile: "console.log"})
		use(&machine.Options{Monitor: machine.MonitorDial}, &machine.Options{Monitor: machine.MonitorNone})
		m.AddArgs("-machine", "none")
		m.AddFD(f, 7, "my disk")
		use(m.SendFD(ctx, f, "net0"))
		use(m.PassFD(ctx, f, "my disk"))
		use(m.Launch(ctx))
		use(m.Shutdown(ctx))
		use(m.Kill())
		use(m.Wait(ctx))
		use(m.Running(), m.Pid(), m.CommandLine(), m.Log(), m.Console())
		use(m.ExitStatus())
		use(m.QMP(ctx, "query-block", nil))
		use(m.QMP(ctx, "blockdev-del", machine.Args{"node_name": "disk0"}))
		use(m.Command(ctx, "query-block", nil))
		use(m.NextEvent(ctx))
		use(m.Events())
		m.ClearEvents()
		use(m.EventWait(ctx, "STOP", nil))
		use(m.EventsWait(ctx, machine.EventMatch{Name: "STOP"}, machine.EventMatch{Name: "RESUME"}))
		use(machine.Match(dict{}, dict{}))
		use(m.Dir())
		use(m.SocketPath("nbd"))
		use(errors.AsType[*machine.VMLaunchFailure](err))
		use(errors.AsType[*machine.AbnormalShutdown](err))
		use(errors.Is(err, machine.ErrNotRunning))
		use(errors.AsType[*machine.ProcessEndedError](err))
		use(errors.AsType[*async.ExecuteError](err))
	}
	vms := func() {
		path, uri, driver := "disk.img", "unix:socket", "qcow2"
		vm := it.VM(nil)
		use(it.VM(&iotests.VMOptions{Name: "source"}), it.VM(&iotests.VMOptions{Machine: "pc"}))
		vm.AddArgs("-S")
		vm.AddDrive(path, "node-name=disk")
		vm.AddDriveRaw("if=none,id=drive0,file=disk.img")
		vm.AddBlockdev(dict{"driver": driver, "node-name": "disk", "file": "file0"})
		vm.AddDevice(dict{"driver": "scsi-hd", "drive": "disk"})
		vm.AddObject(dict{"qom-type": "iothread", "id": "iothread0"})
		vm.AddIncoming(uri)
		vm.AddFD(f, 7)
		use(vm.PassFD(f, "my disk"))
		vm.Launch()
		vm.Shutdown()
		vm.Kill()
		use(vm.WaitExit())
		use(vm.Machine.Log(), vm.Machine.Pid())
		use(vm.QMP("query-block", nil), vm.Cmd("query-block", nil))
		use(iotests.CmdInto[[]iotests.Job](vm, "query-jobs", nil))
		use(vm.CmdError("blockdev-del", dict{"node-name": "disk"}))
		use(vm.QMPLog("query-block", nil), vm.QMPLogIndent("query-block", nil))
		use(vm.HMP("info block"), vm.HMPCmd("commit all"), vm.HMPQemuIO("drive0", "write 0 64k"), vm.HMPQemuIODevice("disk0", "write 0 64k"))
		use(vm.IO("drive0", "write 0 64k"))
		vm.PauseDrive("drive0")
		vm.ResumeDrive("drive0")
		use(vm.EventWait("STOP", nil), vm.Events(), vm.EventsLog("BLOCK_JOB_COMPLETED"))
		use(vm.EventsWait(machine.EventMatch{Name: "STOP"}, machine.EventMatch{Name: "RESUME"}))
		vm.ClearEvents()
		vm.NoEvent("STOP", nil)
		use(vm.RunJob("job0", nil), vm.RunJob("job0", &iotests.RunJobOptions{ManualDismiss: true}))
		use(vm.RunJob("job0", &iotests.RunJobOptions{ManualDismiss: true, ManualFinalize: true, Cancel: true}))
		use(vm.RunJob("job0", &iotests.RunJobOptions{Quiet: true}))
		use(vm.BlockdevCreate(dict{"driver": driver, "file": "file0", "size": 1 << 30}))
		use(vm.CancelAndWait("job0", false), vm.CancelAndWait("job0", true))
		use(vm.WaitReady("job0"), vm.CompleteAndWait("job0"), vm.WaitReadyAndCancel("job0"))
		use(vm.WaitUntilCompleted("job0"), vm.WaitUntilFailed("job0"))
		vm.PauseJob("job0")
		vm.PauseWait("job0")
		vm.ResumeJob("job0")
		use(vm.Jobs(), vm.WaitJob("job0", "paused"))
		vm.AssertNoActiveBlockJobs()
		vm.AssertHasNode("disk", path)
		vm.AssertNoNode("disk")
		use(vm.NodeInfo("disk"), vm.NodeNames(), vm.Bitmaps())
		vm.AddBitmap("disk", "bitmap0", dict{"granularity": 65536})
		vm.AssertBitmapCount("disk", "bitmap0", 65536)
		bitmap, exists := vm.FindBitmap("disk", "bitmap0")
		it.AssertEqual("the bitmap's state", vm.Bitmap("disk", "bitmap0").Recording, true)
		vm.AssertBlockPath("top", "backing/file", "base-file")
		it.AssertEqual("the edges", vm.BlockGraph().Lines(), []string{"top -backing-> base"})
		vm.EnableMigrationEvents()
		vm.SetMigrationCapability("dirty-bitmaps", true)
		vm.Migrate(uri)
		use(vm.WaitMigration("postmigrate"), vm.WaitForRunstate("paused"))
		use(bitmap, exists, it.QSD(nil), &iotests.Options{Timeout: time.Minute})
	}
	tests := func() {
		a, b, top, base, path, size, message := "a.img", "b.img", "top.img", "base.img", "disk.img", "64M", dict{}
		use(it.Format, it.Protocol, it.CacheMode, it.AIOMode, it.Dir)
		use(it.Path("disk.img"), it.SocketPath("nbd"), it.TempFile("seed", []byte{1, 2, 3}))
		it.Remove(path)
		use(it.Img("resize", path, "1G"), it.ImgResult("resize", path, "1G"))
		it.ImgCreate(path, size)
		it.ImgCreate(top, "", "-b", base, "-F", it.Format)
		use(it.ImgInfo(path), it.ImgMap(path), it.ImgCheck(path), it.ImgMeasure("--size", size))
		use(it.ImgLog("create", "-f", it.Format, path, size))
		it.ImgInfoLog(path)
		it.ImgConvert(a, b)
		use(it.ImgCompare(a, b), it.ImageSize(path), it.FileSize(path))
		it.AssertImagesEqual(a, b)
		it.AssertImageClean(path)
		use(it.QemuIO(path, "read 0 64k"), it.QemuIOResult(path, "read 0 64k"), it.QemuIOLog(path, "read 0 64k"))
		io := it.OpenQemuIO(path)
		use(io.Cmd("read 0 64k"))
		io.Close()
		server := it.NBDServe(path)
		use(it.QemuIOAs("raw", server.URI, "read 0 64k"))
		use(server.URI, iotests.NBDURI("socket", "export"), it.NBDList(server.Socket), it.NBDListLog(server.Socket))
		server.Stop()
		{
			server := it.NBDServeLog(path)
			server.Stop()
		}
		it.Log("text")
		it.LogIndent(message)
		it.CheckGolden("name")
		use(iotests.FilterQMP(message, func(key, value any) any { return value }), iotests.FilterQMPEvent(message))
		use(it.FilterTestFiles(path), it.FilterTestDir(path), it.FilterImgFmt(path), iotests.FilterNBDExports(path), iotests.FilterWin32(path))
		output := it.Img("info", path)
		use(it.FilterImgInfo(output, path))
		use(iotests.OverStrings(it.FilterTestFiles), iotests.OverStrings(it.FilterImgFmt))
		use(iotests.FilterGeneratedNodeIDs(path), iotests.FilterQemuIO(path), iotests.FilterChown(path))
		use(iotests.OverStrings(iotests.FilterVirtioSCSI), iotests.FilterImgCreate(path), iotests.FilterSizes(message))
		use(iotests.FlattenQMP(message), iotests.QMPToOpts(message), iotests.OrderedQMP(message, true))
		use(iotests.Lookup(message, "return[0]/status"))
		use(it.Lookup(message, "return[0]/status"))
		use(iotests.Get[string](it, message, "return[0]/status"))
		it.AssertQMP(message, "return[0]/status", "ready")
		it.AssertQMPAbsent(message, "error")
		it.AssertEqual("what", a, b)
		it.AssertJSONFilename(path, dict{"driver": "qcow2"})
		it.RequireFormats("raw", "qcow2")
		it.SkipFormats("no snapshots", "raw")
		it.RequireProtocols("file")
		it.RequireCacheModes("none", "writeback")
		it.RequireAIOModes("threads", "native")
		it.RequireDrivers("quorum")
		it.RequireVersion(7, 2)
		if os.Getuid() == 0 {
			it.Skipf("not for root")
		}
	}
	use(calls, vms, tests)
}
