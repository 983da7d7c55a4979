package iotests_test

import (
	"strings"
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
	"github.com/goqmp/qmp/compat/machine"
)

// backup begins the job job0, a backup of an image of 1 MiB. more has further arguments of
// blockdev-backup.
func backup(it *iotests.Test, more dict) *iotests.VM {
	it.Helper()
	vm := it.VM(&iotests.VMOptions{MayEndBadly: true}).Launch()
	for _, node := range []string{"a", "b"} {
		it.TempFile(node, make([]byte, 1<<20))
		vm.Cmd("blockdev-add", file(node, "raw", it.Path(node)))
	}
	startBackup(vm, more)
	return vm
}

func startBackup(vm *iotests.VM, more dict) {
	args := dict{"job-id": "job0", "device": "a", "target": "b", "sync": "full"}
	for name, value := range more {
		args[name] = value
	}
	vm.Cmd("blockdev-backup", args)
}

// stopped begins the job job0, a mirror that stops because of an error of its target.
func stopped(it *iotests.Test) *iotests.VM {
	it.Helper()
	it.TempFile("a", make([]byte, 1<<20))
	it.TempFile("b", make([]byte, 1<<20))
	vm := it.VM(nil).AddBlockdev(file("a", "raw", it.Path("a"))).
		AddBlockdev(dict{"driver": "raw", "node-name": "b", "file": dict{
			"driver": "blkdebug", "image": dict{"driver": "file", "filename": it.Path("b")},
			"inject-error": []any{dict{"event": "none", "iotype": "write", "errno": 28, "once": true}},
		}}).Launch()
	vm.IO("a", "write -P 1 0 1M")
	vm.Cmd("blockdev-mirror", dict{
		"job-id": "job0", "device": "a", "target": "b", "sync": "full", "on-target-error": "stop",
	})
	return vm
}

// jobWaits are the calls that wait for something of a job. For each there are jobs of which
// it cannot come.
var jobWaits = map[string]struct {
	wait func(vm *iotests.VM, job string)
	what string // the kind of wait, a key of the texts that its failure has to contain
}{
	"RunJob": {func(vm *iotests.VM, job string) { vm.RunJob(job, nil) }, ""},
	"RunJob, Progress": {func(vm *iotests.VM, job string) {
		vm.RunJob(job, &iotests.RunJobOptions{Progress: func(iotests.Job) {}})
	}, ""},
	"WaitJob":            {func(vm *iotests.VM, job string) { vm.WaitJob(job, "ready") }, "ready"},
	"WaitReady":          {func(vm *iotests.VM, job string) { vm.WaitReady(job) }, "ready"},
	"CompleteAndWait":    {func(vm *iotests.VM, job string) { vm.CompleteAndWait(job) }, "ready"},
	"WaitReadyAndCancel": {func(vm *iotests.VM, job string) { vm.WaitReadyAndCancel(job) }, "ready"},
	"WaitUntilCompleted": {func(vm *iotests.VM, job string) { vm.WaitUntilCompleted(job) }, "end"},
	"WaitUntilFailed":    {func(vm *iotests.VM, job string) { vm.WaitUntilFailed(job) }, "end"},
	"PauseWait":          {func(vm *iotests.VM, job string) { vm.PauseWait(job) }, "pause"},
}

// A wait fails immediately if what it waits for cannot come any more, and shows the state
// of the job.
func TestJobWaitsInVain_QEMU(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prepare func(it *iotests.Test) *iotests.VM
		job     string
		want    map[string][]string // texts of the failure, by the kind of wait; "" for other kinds
		not     string              // a wait that succeeds here, and is left out
	}{
		"no job": {
			func(it *iotests.Test) *iotests.VM { return it.VM(nil).Launch() },
			"nosuch",
			map[string][]string{
				"":      {"there is no job nosuch, and no event of it: it was never started, or it has ended", "jobs: []"},
				"pause": {"there is no job nosuch to be paused"},
			},
			"",
		},
		"job that is over": {
			func(it *iotests.Test) *iotests.VM {
				vm := backup(it, nil)
				vm.RunJob("job0", nil)
				return vm
			},
			"job0",
			map[string][]string{"": {"there is no job job0"}},
			"",
		},
		"job whose events were dropped": {
			func(it *iotests.Test) *iotests.VM {
				vm := backup(it, nil)
				vm.EventWait("JOB_STATUS_CHANGE", dict{"data": dict{"status": "null"}})
				vm.ClearEvents()
				return vm
			},
			"job0",
			map[string][]string{"": {"there is no job job0"}},
			"",
		},
		"pending": {
			func(it *iotests.Test) *iotests.VM { return backup(it, dict{"auto-finalize": false}) },
			"job0",
			map[string][]string{
				"":      {"the job job0 is pending, and waits for job-finalize", "set RunJobOptions.ManualFinalize", "states: created running"},
				"ready": {"the job job0 does not become ready: it is pending, and waits for job-finalize", `"status": "pending"`},
				"end":   {"the job job0 does not end: it is pending, and waits for job-finalize"},
				"pause": {"the job job0 cannot be paused: it is pending"},
			},
			"",
		},
		"concluded": {
			func(it *iotests.Test) *iotests.VM {
				vm := backup(it, dict{"auto-dismiss": false})
				vm.WaitUntilCompleted("job0")
				return vm
			},
			"job0",
			map[string][]string{
				"":      {"the job job0 is concluded, and waits for job-dismiss", "set RunJobOptions.ManualDismiss"},
				"ready": {"it is concluded, and waits for job-dismiss"},
				"end":   {"it is concluded, and waits for job-dismiss"},
				"pause": {"the job job0 cannot be paused: it is concluded"},
			},
			"",
		},
		"stopped at an error": {
			stopped,
			"job0",
			map[string][]string{
				"":      {"the job job0 makes no progress: it has stopped at an I/O error (io-status nospace), and waits for block-job-resume"},
				"ready": {"does not become ready: it has stopped at an I/O error (io-status nospace)"},
				"end":   {"does not end: it has stopped at an I/O error"},
			},
			"PauseWait",
		},
		"killed machine": {
			func(it *iotests.Test) *iotests.VM {
				vm := backup(it, dict{"auto-finalize": false})
				vm.WaitJob("job0", "pending")
				crash(it, vm)
				return vm
			},
			"job0",
			map[string][]string{"": {"the process has ended with signal 9"}},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for waitName, wait := range jobWaits {
				if waitName == tt.not {
					continue
				}
				t.Run(waitName, func(t *testing.T) {
					t.Parallel()
					text := failure(t, func(it *iotests.Test) { wait.wait(tt.prepare(it), tt.job) })
					wants, ok := tt.want[wait.what]
					if !ok {
						wants = tt.want[""]
					}
					for _, want := range wants {
						if !strings.Contains(text, want) {
							t.Errorf("no %q in:\n%s", want, text)
						}
					}
				})
			}
		})
	}
}

// A wait for a job looks at the job's present state, so it succeeds also if an earlier
// call has taken the event.
func TestJobWaitsAfterTheEvent_QEMU(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, nil)
	vm := backup(it, dict{"auto-finalize": false, "auto-dismiss": false})
	for range 2 {
		it.AssertEqual("the state", vm.WaitJob("job0", "pending"), "pending")
	}
	vm.Cmd("job-finalize", dict{"id": "job0"})
	for range 2 {
		it.AssertEqual("the state", vm.WaitJob("job0", "null", "concluded"), "concluded")
	}
	result := vm.RunJob("job0", &iotests.RunJobOptions{ManualDismiss: true})
	it.AssertEqual("the states", result.States, []string{"concluded", "null"})

	// RunJob finalizes a job that is pending when RunJob is called.
	startBackup(vm, dict{"auto-finalize": false})
	vm.EventWait("JOB_STATUS_CHANGE", dict{"data": dict{"status": "pending"}})
	result = vm.RunJob("job0", &iotests.RunJobOptions{ManualFinalize: true})
	if !result.OK() || result.States[len(result.States)-1] != "null" {
		it.Errorf("the result: %+v", result)
	}

	// RunJob and CompleteAndWait complete a mirror that is ready, also after other calls
	// have waited for that.
	mirror := dict{"job-id": "job0", "device": "a", "target": "b", "sync": "full"}
	vm.Cmd("blockdev-mirror", mirror)
	vm.WaitJob("job0", "ready")
	it.AssertEqual("the state", vm.WaitJob("job0", "ready"), "ready")
	result = vm.RunJob("job0", nil)
	it.AssertEqual("the first state", result.States[0], "ready")
	vm.Cmd("blockdev-mirror", mirror)
	if event := vm.WaitReady("job0"); event == nil {
		it.Errorf("the first WaitReady returned no event")
	}
	if event := vm.WaitReady("job0"); event != nil {
		it.Errorf("the second WaitReady returned an event: %v", event)
	}
	vm.CompleteAndWait("job0")
	vm.AssertNoActiveBlockJobs()

	// A Progress function may execute the command for which a job waits.
	startBackup(vm, dict{"auto-finalize": false})
	finalized := false
	vm.RunJob("job0", &iotests.RunJobOptions{Progress: func(job iotests.Job) {
		if job.Status == "pending" && !finalized {
			finalized = true
			vm.Cmd("job-finalize", dict{"id": "job0"})
		}
	}})
	vm.Shutdown()
}

// A wait for an event or a state that QEMU does not have fails immediately. An assertion
// that cannot tell whether something is there fails, too.
func TestInVain_QEMU(t *testing.T) {
	t.Parallel()
	const event = "QEMU has no event BLOCK_JOB_REDAY"
	launch := func(it *iotests.Test) *iotests.VM { return it.VM(&iotests.VMOptions{MayEndBadly: true}).Launch() }
	for name, tt := range map[string]struct {
		test func(it *iotests.Test)
		want []string
	}{
		"unknown event": {func(it *iotests.Test) { launch(it).EventWait("BLOCK_JOB_REDAY", nil) }, []string{event, "BLOCK_JOB_READY"}},
		"unknown event of a daemon": {
			func(it *iotests.Test) { it.QSD(nil).Launch().EventWait("BLOCK_JOB_REDAY", nil) }, []string{event},
		},
		"no description":      {func(it *iotests.Test) { launch(it).EventsWait() }, []string{"needs at least one description of an event"}},
		"pattern":             {func(it *iotests.Test) { launch(it).EventWait("STOP", func() {}) }, []string{"the pattern for STOP cannot be encoded"}},
		"no unknown event":    {func(it *iotests.Test) { launch(it).NoEvent("BLOCK_JOB_REDAY", nil) }, []string{event}},
		"no event, pattern":   {func(it *iotests.Test) { launch(it).NoEvent("STOP", func() {}) }, []string{"the pattern for STOP cannot be encoded"}},
		"no event, no launch": {func(it *iotests.Test) { it.VM(nil).NoEvent("STOP", nil) }, []string{"cannot tell whether QEMU has sent the event STOP", "not running"}},
		"no event of a VM that was killed": {
			func(it *iotests.Test) {
				vm := launch(it)
				vm.Kill()
				vm.NoEvent("STOP", nil)
			},
			[]string{"cannot tell whether QEMU has sent the event STOP", "not running"},
		},
		"no event of a VM that has crashed": {
			func(it *iotests.Test) {
				vm := launch(it)
				crash(it, vm)
				vm.NoEvent("STOP", nil)
			},
			[]string{"cannot tell whether QEMU has sent the event STOP", "signal 9"},
		},
		"an event": {
			func(it *iotests.Test) {
				vm := launch(it)
				vm.Cmd("cont", nil)
				vm.NoEvent("STOP", nil)
				vm.NoEvent("RESUME", dict{"data": dict{"x": 1}})
				vm.NoEvent("RESUME", nil)
			},
			[]string{"unexpected event", `"event": "RESUME"`},
		},
		"state":    {func(it *iotests.Test) { launch(it).WaitJob("job0", "ready", "complete") }, []string{"QEMU has no state of a job complete", "concluded"}},
		"runstate": {func(it *iotests.Test) { launch(it).WaitForRunstate("stopped") }, []string{"QEMU has no runstate stopped", "paused"}},
		"no migration": {
			func(it *iotests.Test) {
				vm := launch(it)
				vm.EnableMigrationEvents()
				vm.WaitMigration("")
			},
			[]string{"no migration has begun: call Migrate first", "status: none"},
		},
		"no migration events": {
			func(it *iotests.Test) {
				it.VM(nil).AddIncoming("unix:" + it.SocketPath("migration")).Launch().WaitMigration("")
			},
			[]string{"call EnableMigrationEvents before it begins"},
		},
		"migration of a VM that has crashed": {
			func(it *iotests.Test) {
				vm := launch(it)
				crash(it, vm)
				vm.WaitMigration("")
			},
			[]string{"the migration does not end: machine vm1: wait for MIGRATION: the process has ended with signal 9"},
		},
		"breakpoint": {
			func(it *iotests.Test) {
				it.ImgCreate(it.Path("a"), "1M")
				vm := it.VM(nil).AddDrive("blkdebug::" + it.Path("a")).Launch()
				vm.PauseDrive("drive0", "write_aio")
				vm.ResumeDrive("drive0")
				vm.WaitPaused("drive0")
			},
			[]string{"no breakpoint was set on drive0"},
		},
		"path of nothing": {
			func(it *iotests.Test) { launch(it).AssertBlockPath("nosuch", "backing", "") },
			[]string{`there is no node or backend "nosuch"`},
		},
		"absence":            {func(it *iotests.Test) { it.AssertQMPAbsent(dict{"a": func() {}}, "b") }, []string{"cannot be searched"}},
		"absence at no path": {func(it *iotests.Test) { it.AssertQMPAbsent(dict{"a": []any{}}, "a[first]") }, []string{"the index is not a number"}},
		"blockdev":           {func(it *iotests.Test) { it.VM(nil).AddBlockdev(dict{"a": func() {}}) }, []string{"not a map[string]interface {}"}},
		"device":             {func(it *iotests.Test) { it.VM(nil).AddDevice(5) }, []string{"the value of -device has to be a text, a list of texts, or an object, not a int"}},
		"ended qemu-io": {
			func(it *iotests.Test) {
				it.TempFile("a", make([]byte, 512))
				it.OpenQemuIO(it.Path("a"), "-f", "raw").Cmd("quit")
			},
			[]string{"qemu-io has ended with exit status 0", "command: quit"},
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

// WaitMigration returns how a migration has ended, also if an earlier call has taken its
// events.
func TestMigrationThatIsOver_QEMU(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, nil)
	vm := it.VM(nil).Launch()
	vm.EnableMigrationEvents()
	vm.Migrate("exec:cat >/dev/null")
	if !vm.WaitMigration("postmigrate") || !vm.WaitMigration("") {
		it.Errorf("it failed: %v", vm.Cmd("query-migrate", nil))
	}
	vm.Events()
	if !vm.WaitMigration("") {
		it.Errorf("it failed: %v", vm.Cmd("query-migrate", nil))
	}
	// WaitMigration has returned three times. The log has each event once.
	if n := strings.Count(it.Logged(), `"completed"`); n != 1 {
		it.Errorf("the log has %d events about the end:\n%s", n, it.Logged())
	}
}

// AddBlockdev takes a list with the parts of an option, as an iotest does.
func TestOptionOfParts_QEMU(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, nil)
	it.TempFile("a", make([]byte, 512))
	vm := it.VM(nil).AddBlockdev([]string{"driver=file", "node-name=a", "filename=" + machine.Escape(it.Path("a"))}).Launch()
	vm.AssertHasNode("a", it.Path("a"))
}
