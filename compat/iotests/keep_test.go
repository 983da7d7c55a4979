package iotests_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/async/record"
	"github.com/goqmp/qmp/compat/iotests"
)

// failing is a test that fails, with options.
func failing(t *testing.T, opts *iotests.Options, test func(*iotests.Test)) (printed string) {
	t.Helper()
	var out strings.Builder
	err := iotests.RunProgram(t.Context(), &out, t.Name(), func(tb iotests.TB) { test(iotests.New(tb, opts)) })
	var skipped *iotests.SkippedError
	if errors.As(err, &skipped) {
		t.Skip(skipped.Reason)
	}
	if err == nil {
		t.Error("the test passed, and had to fail")
	}
	return out.String()
}

// kept returns the files in the folder of the one failed test in dir, by their names.
func kept(t *testing.T, dir string) map[string]string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, path := range found {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v, want 0600", path, info.Mode(), err)
		}
		files[filepath.Base(path)] = string(b)
	}
	return files
}

// A test that fails leaves the recordings of its VMs, and the output of their processes.
// The failure names the files. The recording plays the failure without QEMU.
func TestFailedTestIsKept(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "output")
	printed := failing(t, &iotests.Options{OutputDir: dir}, func(it *iotests.Test) {
		it.QSD(&iotests.VMOptions{Name: "a/b"})
		it.VM(&iotests.VMOptions{Name: "twin"}).Launch().Shutdown()
		vm := it.VM(&iotests.VMOptions{Name: "twin", Args: []string{"-global", "x.y=z"}}).Launch()
		vm.Cmd("object-add", dict{"qom-type": "secret", "id": "s", "data": "hunter2"})
		vm.Shutdown()
		vm.Launch()
		vm.Cmd("device_del", dict{"id": "nosuch"})
	})
	files := kept(t, dir)
	if len(files) != 4 {
		t.Errorf("the files are %q", files)
	}
	for _, name := range []string{"twin.qmp.jsonl", "twin.log", "twin-2.qmp.jsonl", "twin-2.log"} {
		if !strings.Contains(printed, name) || files[name] == "" {
			t.Errorf("no %s, or the failure does not name it:\n%s", name, printed)
		}
	}
	if log := files["twin-2.log"]; !strings.HasPrefix(log, "command line: ") || !strings.Contains(log, "x.y=z") {
		t.Errorf("the log:\n%s", log)
	}
	if strings.Contains(files["twin-2.qmp.jsonl"], "hunter2") {
		t.Error("the recording has the secret")
	}

	rec, err := record.Load(strings.NewReader(files["twin-2.qmp.jsonl"]))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		vm := qmptest.Replay(t, &qmptest.ReplayOptions{MayStop: true}, rec)
		c := async.New(&async.Options{Dialer: vm.Dial})
		defer c.Close()
		again := func(cmd string, args any) error {
			_, err := c.Execute(t.Context(), cmd, args)
			return err
		}
		if err := c.Connect(t.Context(), "vm1"); err != nil {
			t.Fatal(err)
		}
		if err := again("object-add", dict{"qom-type": "secret", "id": "s", "data": "anything"}); err != nil {
			t.Error(err)
		}
		if err := again("quit", nil); err != nil && !async.HungUp(err) {
			t.Error(err)
		}
		if err := c.Disconnect(t.Context()); err != nil && !async.HungUp(err) {
			t.Error(err)
		}
		if err := c.Connect(t.Context(), "vm1"); err != nil {
			t.Fatal(err)
		}
		err := again("device_del", dict{"id": "nosuch"})
		var refused *async.ExecuteError
		if !errors.As(err, &refused) || refused.Class != "DeviceNotFound" || !strings.Contains(printed, refused.Desc) {
			t.Errorf("replayed: %v; the failure was:\n%s", err, printed)
		}
	})
}

// A test that passes leaves nothing, and neither does one without a VM.
func TestPassedTestIsNotKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Run("passes", func(t *testing.T) {
		it := iotests.New(t, &iotests.Options{OutputDir: dir})
		it.QSD(nil).Launch().Shutdown()
		if files := kept(t, dir); len(files) != 1 { // while it runs, the recording is there
			t.Errorf("while the test runs, the files are %q", files)
		}
	})
	failing(t, &iotests.Options{OutputDir: dir}, func(it *iotests.Test) { it.Fatalf("no VM") })
	failing(t, &iotests.Options{OutputDir: dir}, func(it *iotests.Test) {
		it.QSD(nil)
		it.Fatalf("no launch")
	})
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// Without a directory, the folder is among the temporary files. A launch that fails leaves
// the output, which says why, and so does a test that panics.
func TestKeptAmongTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("OUTPUT_DIR", "")
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir) // of Windows
	printed := failing(t, nil, func(it *iotests.Test) { it.QSD(&iotests.VMOptions{Args: []string{"--nosuch"}}).Launch() })
	files := kept(t, dir)
	if !strings.Contains(files["qsd1.log"], "nosuch") || !strings.Contains(printed, filepath.Join(dir, "failed-TestKeptAmongTemporaryFiles-")) {
		t.Errorf("files %q, printed:\n%s", files, printed)
	}

	dir = t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_ = iotests.RunProgram(t.Context(), io.Discard, "a panic", func(tb iotests.TB) {
			iotests.New(tb, nil).QSD(nil).Launch()
			panic("on purpose")
		})
	}()
	if files := kept(t, dir); files["qsd1.qmp.jsonl"] == "" {
		t.Errorf("after a panic: %q", files)
	}
}

// Where no recording can be made, a test passes or fails as usual. A failure says why there
// is none.
func TestNoRoomForARecording(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("passes", func(t *testing.T) {
		iotests.New(t, &iotests.Options{OutputDir: file}).QSD(nil).Launch().Shutdown()
	})
	printed := failing(t, &iotests.Options{OutputDir: file}, func(it *iotests.Test) {
		it.QSD(nil).Launch()
		it.Fatalf("my failure")
	})
	if !strings.Contains(printed, "my failure") || !strings.Contains(printed, "qsd1: its recording is not whole: mkdir "+file) {
		t.Errorf("printed:\n%s", printed)
	}
}

// A program that its user has interrupted leaves nothing among the temporary files. In a
// named folder the recordings stay.
func TestInterruptedProgram(t *testing.T) {
	for _, named := range []bool{false, true} {
		temporary, output := t.TempDir(), ""
		if named {
			output = t.TempDir()
		}
		t.Setenv("TMPDIR", temporary)
		t.Setenv("OUTPUT_DIR", output)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := iotests.RunProgram(ctx, io.Discard, "it", func(tb iotests.TB) {
			vm := iotests.New(tb, nil).VM(nil).Launch()
			cancel()
			vm.Cmd("query-status", nil)
		})
		var skipped *iotests.SkippedError
		if errors.As(err, &skipped) {
			t.Skip(skipped.Reason)
		}
		if err == nil {
			t.Error("the test passed, and was interrupted")
		}
		if left, err := os.ReadDir(temporary); len(left) > 0 || err != nil {
			t.Errorf("left are %v, %v", left, err)
		}
		if named && len(kept(t, output)) != 2 {
			t.Errorf("kept are %v", kept(t, output))
		}
	}
}
