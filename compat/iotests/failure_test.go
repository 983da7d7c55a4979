package iotests_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// failure runs a test that has to fail, and returns what it says.
func failure(t *testing.T, test func(*iotests.Test)) string {
	t.Helper()
	var out strings.Builder
	err := iotests.RunProgram(t.Context(), &out, t.Name(), func(tb iotests.TB) { test(iotests.New(tb, nil)) })
	var skipped *iotests.SkippedError
	switch {
	case errors.As(err, &skipped):
		t.Skip(skipped.Reason)
	case err == nil:
		t.Errorf("passed")
	}
	return out.String()
}

// What does not work is told in the tool's own words, or QEMU's, with the command.
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
		"no refusal": {func(it *iotests.Test) { it.VM(nil).Launch().CmdError("query-status", nil) }, []string{"was to be refused, but succeeded", "prelaunch"}},
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
			[]string{"is there a blkdebug in the drive?", "Could not set"},
		},
		"event": {
			func(it *iotests.Test) {
				vm := it.VM(&iotests.VMOptions{MayEndBadly: true}).Launch()
				vm.Cmd("quit", nil)
				vm.EventWait("BLOCK_JOB_READY", nil)
			},
			[]string{"BLOCK_JOB_READY", "ended with exit code 0"},
		},
		"human monitor": {func(it *iotests.Test) { it.QSD(nil).Launch().HMP("info block") }, []string{"a storage daemon has no human monitor"}},
		"node":          {func(it *iotests.Test) { it.VM(nil).Launch().NodeInfo("nosuch") }, []string{"no node nosuch"}},
		"bitmap":        {func(it *iotests.Test) { it.VM(nil).Launch().GetBitmap("a", "b") }, []string{"no bitmap b on a"}},
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
			[]string{`another value at "return/status"`, `got: "prelaunch"`, `want: "running"`, "in: {"},
		},
		"no path": {
			func(it *iotests.Test) {
				it.AssertQMP(dict{"return": dict{"a": 1}}, "return/b", 1)
			},
			[]string{`no member "b" among a`},
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
		})
	}
}

// Of a program that is missing is told where to get it. That skips a test, except
// where the build server has said that it is one, or where it was asked for.
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
	if text, err := run(); err == nil || !strings.Contains(text, "QEMU_IMG_PROG names no program") {
		t.Errorf("%v %s", err, text)
	}
	var missing *iotests.MissingProgramError
	if _, err := iotests.FindProgram("qemu-img"); !errors.As(err, &missing) || missing.Variable != "QEMU_IMG_PROG" || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// A test that was run as a program cleans up behind a panic, too.
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
