package iotests_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
	"github.com/goqmp/qmp/compat/machine"
)

// endlessJob begins the job job0, which waits until somebody finalizes it.
func endlessJob(it *iotests.Test, vm *iotests.VM) {
	it.Helper()
	for _, name := range []string{"a", "b"} {
		it.TempFile(name, make([]byte, 1<<20))
		vm.Cmd("blockdev-add", file(name, "raw", it.Path(name)))
	}
	vm.Cmd("blockdev-backup", dict{"job-id": "job0", "device": "a", "target": "b", "sync": "full", "auto-finalize": false})
}

// A failure shows the text of the tool, or of QEMU, and the command.
func TestFailuresTellTheTools(t *testing.T) {
	t.Parallel()
	const noFile = "No such file or directory"
	for name, tt := range map[string]struct {
		test func(it *iotests.Test)
		want []string
	}{
		"info": {
			func(it *iotests.Test) { it.ImgInfo(it.Path("nosuch")) },
			[]string{"qemu-img: exit code 1", "command: ", "info --output=json", "Could not open", noFile},
		},
		"map":     {func(it *iotests.Test) { it.ImgMap(it.Path("nosuch")) }, []string{"qemu-img", noFile}},
		"check":   {func(it *iotests.Test) { it.ImgCheck(it.Path("nosuch")) }, []string{"qemu-img", noFile}},
		"clean":   {func(it *iotests.Test) { it.AssertImageClean(it.Path("nosuch")) }, []string{"qemu-img", noFile}},
		"measure": {func(it *iotests.Test) { it.ImgMeasure(it.Path("nosuch")) }, []string{"qemu-img", noFile}},
		"compare": {func(it *iotests.Test) { it.ImgCompare(it.Path("a"), it.Path("b")) }, []string{"qemu-img: exit code 2", noFile}},
		"equal":   {func(it *iotests.Test) { it.AssertImagesEqual(it.Path("a"), it.Path("b")) }, []string{"qemu-img", noFile}},
		"convert": {func(it *iotests.Test) { it.ImgConvert(it.Path("a"), it.Path("b")) }, []string{"qemu-img", noFile}},
		"backing": {
			func(it *iotests.Test) { it.ImgCreate(it.Path("a"), "", "-b", it.Path("nosuch"), "-F", "raw") },
			[]string{"qemu-img", noFile},
		},
		"qemu-io": {func(it *iotests.Test) { it.QemuIO(it.Path("nosuch"), "read 0 512") }, []string{"qemu-io: exit code 1", "-c 'read 0 512'", noFile}},
		"session": {func(it *iotests.Test) { it.OpenQemuIO(it.Path("nosuch")).Cmd("read 0 512") }, []string{"qemu-io", noFile}},
		"pattern": {
			func(it *iotests.Test) {
				it.ImgCreate(it.Path("a"), "1M")
				it.QemuIO(it.Path("a"), "read -P 7 0 512")
			},
			[]string{"Pattern verification failed at offset 0, 512 bytes"},
		},
		"qemu-nbd":  {func(it *iotests.Test) { it.NBDServe(it.Path("nosuch")) }, []string{"ended with exit code 1", noFile}},
		"drive":     {func(it *iotests.Test) { it.VM(nil).AddDrive(it.Path("nosuch")).Launch() }, []string{"launch failed", "exit code 1", noFile}},
		"daemon":    {func(it *iotests.Test) { it.QSD(nil).AddBlockdev(file("a", "raw", it.Path("nosuch"))).Launch() }, []string{"launch failed", noFile}},
		"file size": {func(it *iotests.Test) { it.FileSize(it.Path("nosuch")) }, []string{"nosuch: no such file or directory"}},
		"command": {
			func(it *iotests.Test) {
				vm := it.VM(nil).Launch()
				vm.QMPLog("query-version", nil)
				vm.Cmd("blockdev-add", file("a", "raw", it.Path("nosuch")))
			},
			[]string{"vm1: the command failed", `command: {"execute": "blockdev-add"`, `reply: {"error": {"class": "GenericError"`, noFile, "log:", "query-version"},
		},
		"no refusal": {func(it *iotests.Test) { it.VM(nil).Launch().CmdError("query-status", nil) }, []string{"QEMU had to refuse the command, but it succeeded", "prelaunch"}},
		"job": {
			func(it *iotests.Test) {
				it.QSD(nil).Launch().BlockdevCreate(dict{"driver": "file", "filename": it.Path("nosuch/x"), "size": 0})
			},
			[]string{"the job job0 failed: Could not create", noFile, "states: created running aborting concluded null", "log:"},
		},
		"refused job": {
			func(it *iotests.Test) { it.QSD(nil).Launch().BlockdevCreate(dict{"driver": "nosuch"}) },
			[]string{"blockdev-create was refused", "nosuch"},
		},
		"io": {
			func(it *iotests.Test) {
				it.ImgCreate(it.Path("a"), "1M")
				it.VM(nil).AddDrive(it.Path("a")).Launch().IO("drive0", "write 0 512", "read -P 9 0 512")
			},
			[]string{"qemu-io failed", "command: read -P 9 0 512", "Pattern verification failed"},
		},
		"io on no drive": {func(it *iotests.Test) { it.VM(nil).Launch().IO("drive7", "read 0 512") }, []string{"Cannot find device", "drive7"}},
		"no blkdebug": {
			func(it *iotests.Test) {
				it.ImgCreate(it.Path("a"), "1M")
				it.VM(nil).AddDrive(it.Path("a")).Launch().PauseDrive("drive0")
			},
			[]string{"does the drive have a blkdebug?", "Could not set"},
		},
		"event": {
			func(it *iotests.Test) {
				vm := it.VM(&iotests.VMOptions{MayEndBadly: true}).Launch()
				vm.Cmd("quit", nil)
				vm.EventWait("BLOCK_JOB_READY", nil)
			},
			[]string{"vm1: wait for BLOCK_JOB_READY: the process has ended with exit code 0", "waited for: BLOCK_JOB_READY"},
		},
		"human monitor": {func(it *iotests.Test) { it.QSD(nil).Launch().HMP("info block") }, []string{"a storage daemon has no human monitor"}},
		"human monitor's error": {
			func(it *iotests.Test) { it.VM(nil).Launch().HMPCmd("drive_del nosuch") },
			[]string{"human monitor: drive_del: Device 'nosuch' not found", "command: drive_del nosuch"},
		},
		"secrets of a tool": {
			func(it *iotests.Test) {
				it.Img("info", "--object", "secret,id=shown,data=hunter2,bad=1", it.Path("nosuch"))
			},
			[]string{"secret,id=shown,data=***,bad=1"},
		},
		"secrets of a VM": {
			func(it *iotests.Test) { it.VM(nil).AddArgs("-object", "secret,id=shown,data=hunter2,bad=1").Launch() },
			[]string{"secret,id=shown,data=***,bad=1"},
		},
		"secrets of a command": {
			func(it *iotests.Test) {
				it.VM(nil).Launch().Cmd("object-add", dict{"qom-type": "nosuch", "id": "shown", "data": "hunter2"})
			},
			[]string{"shown", `"data":"***"`},
		},
		"secrets of a line": {
			func(it *iotests.Test) { it.VM(nil).Launch().HMPCmd("object_add secret,id=s,data=hunter2,bad=1") },
			[]string{"command: object_add ***"},
		},
		"no human monitor": {func(it *iotests.Test) { it.QSD(nil).Launch().HMPCmd("info block") }, []string{"a storage daemon has no human monitor"}},
		"node":             {func(it *iotests.Test) { it.VM(nil).Launch().NodeInfo("nosuch") }, []string{"there is no node nosuch"}},
		"bitmap":           {func(it *iotests.Test) { it.VM(nil).Launch().Bitmap("a", "b") }, []string{"no bitmap b on a"}},
		"block path": {
			func(it *iotests.Test) {
				it.ImgCreate(it.Path("a"), "1M")
				it.VM(nil).AddDrive(it.Path("a"), "node-name=a").Launch().AssertBlockPath("drive0", "root/backing", "b")
			},
			[]string{`a has no "backing" on the path root/backing of drive0`, "drive0 -root-> a"},
		},
		"path": {
			func(it *iotests.Test) {
				it.AssertQMP(it.VM(nil).Launch().QMP("query-status", nil), "return/status", "running")
			},
			[]string{`the value at "return/status" is not the one wanted`, `got: "prelaunch"`, `want: "running"`, "in: {", `last command: vm1: {"execute": "query-status"}`},
		},
		"no path": {
			func(it *iotests.Test) {
				it.AssertQMP(dict{"return": dict{"a": 1}}, "return/b", 1)
			},
			[]string{`no member "b" among a`},
		},
		"file name": {
			func(it *iotests.Test) { it.AssertJSONFilename("disk.img", dict{"driver": "raw"}) },
			[]string{"the file name does not begin with json:", "got: disk.img"},
		},
		"file name that is not JSON": {
			func(it *iotests.Test) { it.AssertJSONFilename("json:{", dict{"driver": "raw"}) },
			[]string{"the file name has no JSON object after json: jsontext", "got: json:{"},
		},
		"other file name": {
			func(it *iotests.Test) {
				it.AssertJSONFilename(`json:{"driver": "raw", "file.driver": "file"}`, dict{"driver": "qcow2", "file": dict{"driver": "file"}})
			},
			[]string{"does not describe the node wanted", `got: {"driver": "raw", "file.driver": "file"}`, `want: {"driver": "qcow2"`},
		},
		"no wrapper": {
			func(it *iotests.Test) {
				it.VM(&iotests.VMOptions{Process: &machine.Options{Wrapper: []string{"no-such-strace"}}}).Launch()
			},
			[]string{"launch failed", "no-such-strace", "not found"},
		},
		"the test's own text": {
			func(it *iotests.Test) {
				it.Log("what was logged")
				it.Errorf("what the test itself has found")
			},
			[]string{"what the test itself has found\nthe log ends:\nwhat was logged\n"},
		},
		"image": {
			func(it *iotests.Test) {
				it.ImgCreate("a", "1M")
				it.AssertQMP(it.ImgInfo("a"), "virtual-size", 1<<30)
			},
			[]string{"got: 1048576", "last command: ", "info --output=json a"},
		},
		"too late": {
			func(it *iotests.Test) { it.VM(nil).Launch().AddBlockdev(file("a", "raw", "a")) },
			[]string{"vm1: too late for the command line", "blockdev-add", "options: --blockdev '{"},
		},
		"too late for a file": {
			func(it *iotests.Test) { it.VM(nil).Launch().AddFD(os.Stdin, 7) },
			[]string{"too late for the command line", "file: /dev/stdin"},
		},
		"no job": {
			func(it *iotests.Test) { it.VM(nil).Launch().RunJob("nosuch", nil) },
			[]string{"vm1: there is no job nosuch, and no event of it", "jobs: []"},
		},
		"no job to be paused": {
			func(it *iotests.Test) { it.VM(nil).Launch().PauseWait("nosuch") },
			[]string{"there is no job nosuch to be paused", "jobs: []"},
		},
		"job that does not become ready": {
			func(it *iotests.Test) {
				vm, _, _ := brokenMirror(it)
				vm.Cmd("blockdev-mirror", dict{"job-id": "job0", "device": "source", "target": "target", "sync": "full", "buf-size": 64 << 10})
				vm.WaitReady("job0")
			},
			[]string{"the job job0 ended before it was ready", `"error": "Input/output error"`},
		},
		"job that has ended": {
			func(it *iotests.Test) {
				vm, _, _ := brokenMirror(it)
				vm.Cmd("blockdev-backup", dict{"job-id": "job0", "device": "target", "target": "source", "sync": "full"})
				vm.WaitJob("job0", "ready")
			},
			[]string{"the job job0 is gone, and did not become ready", "states: created running", "waiting pending concluded null"},
		},
		"end in place of a state": {
			func(it *iotests.Test) {
				vm := it.VM(nil).Launch()
				endlessJob(it, vm)
				vm.Cmd("quit", nil)
				vm.WaitExit()
				vm.WaitJob("job0", "ready")
			},
			[]string{"the job job0 is gone, and did not become ready", "states: created", "concluded null"},
		},
		"crash in place of a state": {
			func(it *iotests.Test) {
				vm := it.VM(nil).Launch()
				endlessJob(it, vm)
				crash(it, vm)
				vm.WaitJob("job0", "ready")
			},
			[]string{"the job job0 does not become ready: machine vm1: wait for JOB_STATUS_CHANGE: the process has ended with signal 9", "states: created running"},
		},
		"crash while a job runs": {
			func(it *iotests.Test) {
				vm := it.VM(nil).Launch()
				endlessJob(it, vm)
				crash(it, vm)
				vm.RunJob("job0", nil)
			},
			[]string{"the job job0 makes no progress: machine vm1: wait for JOB_STATUS_CHANGE", "the process has ended with signal 9", "states: created running", "abnormal shutdown: the process had ended by itself"},
		},
		"crash": {
			func(it *iotests.Test) {
				vm := it.VM(nil).Launch()
				vm.Kill()
				vm.Cmd("query-status", nil)
			},
			[]string{"not running"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := failure(t, tt.test)
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in:\n%s", want, text)
				}
			}
			if strings.Contains(text, "hunter2") {
				t.Errorf("a secret is shown:\n%s", text)
			}
		})
	}
}

// If a program is missing, the harness says where to get it, and skips the test. It fails
// the test if the variable CI is set, or if a variable names the program.
func TestMissingProgram(t *testing.T) {
	iotests.New(t, nil)
	t.Setenv("PATH", t.TempDir())
	t.Setenv("QEMU_IMG_PROG", "")
	run := func() (string, error) {
		var out strings.Builder
		err := iotests.RunProgram(t.Context(), &out, "test", func(tb iotests.TB) {
			iotests.New(tb, nil).ImgCreate("a", "1M")
		})
		return out.String(), err
	}
	const where = "Debian and Ubuntu have it in qemu-utils"
	t.Setenv("CI", "")
	var skipped *iotests.SkippedError
	if text, err := run(); !errors.As(err, &skipped) || !strings.Contains(skipped.Reason, where) {
		t.Errorf("%v %s", err, text)
	}
	t.Setenv("CI", "true")
	if text, err := run(); err == nil || errors.As(err, &skipped) && err == error(skipped) || !strings.Contains(text, where) {
		t.Errorf("%v %s", err, text)
	}
	t.Setenv("CI", "")
	t.Setenv("QEMU_IMG_PROG", filepath.Join(t.TempDir(), "my-qemu-img"))
	if text, err := run(); err == nil || !strings.Contains(text, "the variable QEMU_IMG_PROG does not name a program") {
		t.Errorf("%v %s", err, text)
	}
	var missing *iotests.MissingProgramError
	if _, err := iotests.FindProgram("qemu-img"); !errors.As(err, &missing) || missing.Variable != "QEMU_IMG_PROG" || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// RunProgram also cleans up after a panic.
func TestPanicLeavesNothing(t *testing.T) {
	t.Parallel()
	iotests.New(t, nil)
	var dir string
	func() {
		defer func() {
			if r := recover(); r != "boom" {
				t.Errorf("the panic was %v", r)
			}
		}()
		_ = iotests.RunProgram(t.Context(), t.Output(), "test", func(tb iotests.TB) {
			it := iotests.New(tb, nil)
			dir = it.Dir
			it.VM(nil).Launch()
			panic("boom")
		})
	}()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
}
