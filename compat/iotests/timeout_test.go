package iotests

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// Each wait ends at the time limit, and the failure says what happened instead.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	// slow begins a job that does not end within the time limit.
	slow := func(it *Test, vm *VM) {
		it.ImgCreate(it.Path("a"), "4M")
		it.ImgCreate(it.Path("b"), "4M")
		for _, node := range []string{"a", "b"} {
			vm.Cmd("blockdev-add", Dict{"driver": it.Format, "node-name": node, "file": Dict{"driver": "file", "filename": it.Path(node)}})
		}
		vm.Cmd("blockdev-backup", Dict{"job-id": "job0", "device": "a", "target": "b", "sync": "full", "speed": 1})
		vm.poll("the job to begin", func() (bool, string) {
			job, _ := vm.Job("job0")
			return job.Current > 0, FormatJSON(job)
		})
	}
	for name, tt := range map[string]struct {
		prepare, act func(it *Test, vm *VM)
		want         []string
	}{
		"event": {
			nil,
			func(_ *Test, vm *VM) {
				vm.Cmd("cont", nil)
				vm.EventWait("RESUME", Dict{"data": Dict{"x": 1}})
			},
			[]string{
				"wait for RESUME", "not within 10s", `waited for: RESUME {"data": {"x": 1}}`,
				"there are 1 other events, the last of them RESUME", "one of that name does not match: {",
			},
		},
		"event that was cleared": {
			nil,
			func(_ *Test, vm *VM) {
				vm.Cmd("cont", nil)
				vm.ClearEvents()
				vm.EventWait("RESUME", nil)
			},
			[]string{"there are no other events", "one that matches came before and was dropped by ClearEvents"},
		},
		"event of a job": {
			slow,
			func(_ *Test, vm *VM) { vm.EventWait("BLOCK_JOB_COMPLETED", nil) },
			[]string{"not within 10s", "JOB_STATUS_CHANGE", `jobs: [{`, `"status": "running"`},
		},
		"job": {
			slow,
			func(_ *Test, vm *VM) { vm.RunJob("job0", nil) },
			[]string{"the job job0 makes no progress", "not within 10s", "states: created running", `"status": "running"`},
		},
		"job with progress": {
			slow,
			func(_ *Test, vm *VM) { vm.RunJob("job0", &RunJobOptions{Progress: func(Job) {}}) },
			[]string{"the job job0 makes no progress", "not within 10s", `"status": "running"`},
		},
		"job that was paused": {
			slow,
			func(_ *Test, vm *VM) {
				vm.PauseJob("job0")
				vm.RunJob("job0", nil)
			},
			[]string{"the job job0 makes no progress, since it is paused (VM.ResumeJob resumes it)", "not within 10s"},
		},
		"job state": {
			slow,
			func(_ *Test, vm *VM) { vm.WaitJob("job0", "ready") },
			[]string{"the job job0 does not become ready", "not within 10s", "states: created running", `"status": "running"`},
		},
		"ready job": {
			slow,
			func(_ *Test, vm *VM) { vm.WaitReady("job0") },
			[]string{"the job job0 does not become ready", "not within 10s", `"status": "running"`},
		},
		"end of a job": {
			slow,
			func(_ *Test, vm *VM) { vm.WaitUntilCompleted("job0") },
			[]string{"the job job0 does not end", "not within 10s", `"status": "running"`},
		},
		"paused job": {
			slow,
			func(_ *Test, vm *VM) { vm.PauseWait("job0") },
			[]string{"waited for the job job0 to be paused: not within 10s", `"paused": false`},
		},
		"migration": {
			func(it *Test, vm *VM) {
				vm.Machine.AddArgs("-incoming", "unix:"+it.SocketPath("migration"))
				vm.Shutdown()
				vm.Launch()
				vm.EnableMigrationEvents()
			},
			func(_ *Test, vm *VM) { vm.WaitMigration("") },
			[]string{"the migration does not end", "not within 10s", "query-migrate: "},
		},
		"exit": {
			nil,
			func(_ *Test, vm *VM) {
				vm.Cmd("cont", nil)
				vm.WaitExit()
			},
			[]string{"not within 10s", "now: the process still runs", "events: RESUME"},
		},
		"runstate": {
			nil,
			func(_ *Test, vm *VM) { vm.WaitForRunstate("shutdown", "paused") },
			[]string{"waited for the runstate shutdown or paused: not within 10s", "now: prelaunch"},
		},
		"qemu-io": {
			nil,
			func(it *Test, _ *VM) {
				it.TempFile("a", nil)
				it.OpenQemuIO(it.Path("a"), "-f", "raw").Cmd("sleep 60000")
			},
			[]string{"qemu-io does not answer: not within 10s", "command: sleep 60000"},
		},
		"tool": {
			nil,
			func(it *Test, _ *VM) { it.QemuIO(it.Path("a"), "sleep 60000") },
			[]string{"qemu-io was killed: not within 10s", "sleep 60000"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			start := time.Now()
			err := RunProgram(t.Context(), &out, t.Name(), func(tb TB) {
				it := New(tb, &Options{Format: "raw"})
				it.TempFile("a", make([]byte, 512))
				vm := it.VM(nil).Launch()
				if tt.prepare != nil {
					tt.prepare(it, vm)
				}
				// Only the wait that has to fail gets a short time limit.
				it.timeout = 10 * time.Second
				defer func() { it.timeout = DefaultTimeout }()
				tt.act(it, vm)
			})
			if skipped, ok := err.(*SkippedError); ok {
				t.Skip(skipped.Reason)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q after %v in:\n%s", want, time.Since(start), out.String())
				}
			}
		})
	}
}

// If the path of TEST_DIR is long, the harness puts sockets into another directory.
func TestLongTempDir(t *testing.T) {
	qemutest.Find(t, qemutest.QEMU)
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 20))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_DIR", long)
	sockets := ""
	text := failureOf(func(tb TB) {
		it := New(tb, &Options{Format: "raw"})
		sockets = it.sockDir
		socket := it.SocketPath("nbd")
		if len(socket) > 100 || !strings.HasPrefix(it.Path("a"), long) {
			it.Errorf("%s, %s", socket, it.Path("a"))
		}
		it.ImgCreate(it.Path("a"), "1M")
		server := it.NBDServe(it.Path("a"))
		it.AssertEqual("the size", it.ImageSize(server.URI), 1<<20)
		it.VM(nil).AddDrive(it.Path("a"), "read-only=on", "force-share=on").Launch().IO("drive0", "read -P 0 0 1M")
		if got, want := it.FilterTestFiles(socket+" "+it.Path("a")), "SOCK_DIR/PID-nbd TEST_DIR/PID-a"; got != want {
			it.Errorf("%s, want %s", got, want)
		}
	})
	if text != "" {
		t.Error(text)
	}
	if left, err := os.ReadDir(long); len(left) > 0 || err != nil {
		t.Error("files were left:", fmt.Sprint(left), err)
	}
	if _, err := os.Stat(sockets); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the sockets' directory %q was left: %v", sockets, err)
	}
}
