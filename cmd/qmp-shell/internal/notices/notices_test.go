package notices

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/qapi"
)

// event returns an event. data is JSON, or "".
func event(t *testing.T, name, data string) async.Event {
	t.Helper()
	if data == "" {
		data = "{}"
	}
	ev, err := async.ParseEvent(fmt.Appendf(nil, `{"event": %q, "data": %s, "timestamp": {"seconds": 1, "microseconds": 2}}`, name, data))
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func texts(all []Notice) string {
	var b strings.Builder
	for _, n := range all {
		if n.Bad {
			b.WriteString("! ")
		}
		b.WriteString(n.Text + "\n")
	}
	return b.String()
}

func TestMachineEvents(t *testing.T) {
	for _, tt := range []struct {
		name, data, want string
		wish             Wish
	}{
		{"STOP", "", "the machine is paused\n", Status | Migration},
		{"RESUME", "", "the machine runs\n", Status | Migration},
		{"SUSPEND", "", "the guest sleeps\n", Status},
		{"SUSPEND_DISK", "", "the guest hibernates\n", 0},
		{"WAKEUP", "", "the guest is awake\n", Status},
		{"POWERDOWN", "", "the power button was pressed; the guest decides what it does\n", 0},
		{"SHUTDOWN", `{"guest": true, "reason": "guest-shutdown"}`, "the machine has shut down by the guest\n", Status},
		{"SHUTDOWN", `{"guest": false, "reason": "host-qmp-quit"}`, "the machine has shut down: quit was executed\n", Status},
		{"SHUTDOWN", `{"guest": false, "reason": "host-signal"}`, "the machine has shut down: a signal has told QEMU to end\n", Status},
		{"SHUTDOWN", `{"guest": false, "reason": "host-ui"}`, "the machine has shut down in QEMU's window\n", Status},
		{"SHUTDOWN", `{"guest": false, "reason": "host-error"}`, "! the machine has shut down because of an error of the host\n", Status},
		{"SHUTDOWN", `{"guest": true, "reason": "guest-panic"}`, "! the machine has shut down because the guest has panicked\n", Status},
		{"SHUTDOWN", `{"guest": true, "reason": "guest-reset"}`, "the machine has shut down because the guest has asked for a reset\n", Status},
		{"SHUTDOWN", `{"guest": true, "reason": "something-new"}`, "the machine has shut down by the guest\n", Status},
		{"RESET", `{"guest": false, "reason": "host-qmp-system-reset"}`, "the machine was reset: system_reset was executed\n", Status},
		{"RESET", `{"guest": true, "reason": "guest-reset"}`, "the machine was reset because the guest has asked for a reset\n", Status},
		{"RESET", `{"guest": false, "reason": "snapshot-load"}`, "the machine was reset to load a snapshot\n", Status},
		{"RESET", `{"guest": false, "reason": "none"}`, "the machine was reset\n", Status},
		{"GUEST_PANICKED", `{"action": "pause"}`, "! the guest has panicked; the machine is paused\n", Status},
		{"GUEST_PANICKED", `{"action": "poweroff"}`, "! the guest has panicked; the machine is switched off\n", Status},
		{"GUEST_PANICKED", `{"action": "run"}`, "! the guest has panicked; the machine goes on\n", Status},
		{"GUEST_PANICKED", `{"action": "dance"}`, "! the guest has panicked; the action is dance\n", Status},
		{"GUEST_CRASHLOADED", `{"action": "run"}`, "! the guest has panicked, and saves its memory for an analysis\n", 0},
		{"WATCHDOG", `{"action": "reset"}`, "! the watchdog has expired; its action is reset\n", Status},
		{"BLOCK_IO_ERROR", `{"device": "disk0", "operation": "write", "action": "stop", "reason": "No space left on device"}`, "! a write error of disk0: No space left on device; the machine is paused\n", Status},
		{"BLOCK_IO_ERROR", `{"device": "", "node-name": "n0", "operation": "read", "action": "report", "reason": "Input/output error"}`, "! a read error of n0: Input/output error\n", Status},
		{"BLOCK_IO_ERROR", `{"device": "", "operation": "read", "action": "report", "reason": ""}`, "! a read error of a disk\n", Status},
		{"MEMORY_FAILURE", `{"recipient": "guest", "action": "inject", "flags": {"action-required": true, "recursive": false}}`, "! a memory failure of the guest; the action is inject\n", 0},
		{"RTC_CHANGE", `{"offset": 1}`, "", 0},
		{"SHUTDOWN", `{"guest": "not a boolean"}`, "", Status},
		{"MIGRATION", `{"status": "active"}`, "", Migration},
	} {
		var b Board
		if got := texts(b.Event(event(t, tt.name, tt.data))); got != tt.want {
			t.Errorf("%s %s: got %q, want %q", tt.name, tt.data, got, tt.want)
		}
		if got := b.Wish(); got != tt.wish {
			t.Errorf("%s: the wish is %b, want %b", tt.name, got, tt.wish)
		}
		if got := b.Wish(); got != 0 {
			t.Errorf("%s: the second wish is %b", tt.name, got)
		}
	}
}

func TestState(t *testing.T) {
	var b Board
	b.Connected()
	if got := b.Wish(); got != Status|Jobs|Migration {
		t.Errorf("the wish after connecting is %b", got)
	}
	b.SetStatus(&qapi.StatusInfo{Status: "paused"})
	if b.State() != "paused" {
		t.Errorf("the state is %q", b.State())
	}
	b.Executed("query-status", true)
	if got := b.Wish(); got != 0 {
		t.Errorf("the wish after query-status is %b", got)
	}
	b.Executed("migrate", true)
	if got := b.Wish(); got != Status|Migration {
		t.Errorf("the wish after migrate is %b", got)
	}
	b.Lost()
	if b.State() != "" {
		t.Errorf("the state after the connection is %q", b.State())
	}
}

// A story has one line for each step: an event, or a reply to query-jobs. want is what the
// step prints.
type step struct {
	event, data string
	jobs        []qapi.JobInfo // in place of an event; nil is an event
	want        string
}

func TestJobs(t *testing.T) {
	status := func(id, status string) step {
		return step{event: "JOB_STATUS_CHANGE", data: fmt.Sprintf(`{"id": %q, "status": %q}`, id, status)}
	}
	with := func(s step, want string) step { s.want = want; return s }
	asked := func(want string, all ...qapi.JobInfo) step {
		return step{jobs: append([]qapi.JobInfo{}, all...), want: want}
	}
	info := func(id string, typ qapi.JobType, status qapi.JobStatus, current, total int64) qapi.JobInfo {
		return qapi.JobInfo{ID: id, Type: typ, Status: status, CurrentProgress: current, TotalProgress: total}
	}
	failed := info("b0", "backup", "concluded", 1, 2)
	failed.Error = new("No space left on device")
	for name, story := range map[string][]step{
		"a backup that QEMU refuses": {
			status("b0", "created"), asked("", info("b0", "backup", "created", 0, 0)), status("b0", "null"),
		},
		"a backup that removes itself": {
			status("b0", "created"), status("b0", "running"),
			asked("", info("b0", "backup", "running", 1, 100)),
			status("b0", "waiting"), status("b0", "pending"),
			{event: "BLOCK_JOB_COMPLETED", data: `{"device": "b0", "type": "backup", "len": 100, "offset": 100, "speed": 0}`},
			status("b0", "concluded"), with(status("b0", "null"), "job b0 (backup) is done\n"),
			asked(""),
		},
		"one that waits for job-finalize": {
			status("b0", "created"), status("b0", "running"), status("b0", "waiting"), status("b0", "pending"),
			asked("job b0 (backup) waits for job-finalize\n", info("b0", "backup", "pending", 1, 1)),
			asked("", info("b0", "backup", "pending", 1, 1)),
		},
		"one that nobody had asked about": {
			status("b0", "created"), status("b0", "running"), status("b0", "waiting"),
			{event: "JOB_STATUS_CHANGE", data: `{"id": "b0", "status": "aborting"}`},
			status("b0", "concluded"), with(status("b0", "null"), "! job b0 has failed\n"),
		},
		"a failure that waits for job-dismiss": {
			status("b0", "created"), status("b0", "running"), status("b0", "aborting"), status("b0", "concluded"),
			asked("! job b0 (backup) has failed: No space left on device; job-dismiss removes it\n", failed),
			asked("", failed),
			status("b0", "null"),
		},
		"a mirror that is ready, and is canceled": {
			status("m0", "created"), status("m0", "running"),
			{event: "BLOCK_JOB_READY", data: `{"device": "m0", "type": "mirror", "len": 100, "offset": 100, "speed": 0}`},
			with(status("m0", "ready"), "job m0 (mirror) is ready; job-complete ends it\n"),
			asked("", info("m0", "mirror", "ready", 100, 100)),
			{event: "BLOCK_JOB_CANCELLED", data: `{"device": "m0", "type": "mirror", "len": 100, "offset": 100, "speed": 0}`},
			status("m0", "aborting"), status("m0", "concluded"), with(status("m0", "null"), "job m0 (mirror) was canceled\n"),
		},
		"an I/O error that stops it": {
			status("b0", "created"), status("b0", "running"),
			{event: "BLOCK_JOB_ERROR", data: `{"device": "b0", "operation": "write", "action": "stop"}`, want: "! job b0 has a write error; its action is stop\n"},
			status("b0", "paused"), status("b0", "running"),
			{event: "BLOCK_JOB_ERROR", data: `{"device": "b0", "operation": "read", "action": "stop"}`, want: "! job b0 has a read error; its action is stop\n"},
		},
		"jobs of before": {
			asked("job c0 (create) is done; job-dismiss removes it\n", info("c0", "create", "concluded", 0, 0), info("m0", "mirror", "running", 1, 10)),
			asked("job m0 (mirror) has ended; how is not known\n", info("c0", "create", "concluded", 0, 0)),
		},
		"events that are not about jobs that exist": {
			{event: "BLOCK_JOB_COMPLETED", data: `{"device": "b9", "type": "backup", "len": 0, "offset": 0, "speed": 0}`},
			{event: "JOB_STATUS_CHANGE", data: `{"status": "running"}`},
			{event: "JOB_STATUS_CHANGE", data: `[]`},
			asked(""),
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b Board
			for i, s := range story {
				var got string
				if s.jobs != nil {
					got = texts(b.SetJobs(b.Ask(), s.jobs, time.Unix(int64(i), 0)))
				} else {
					got = texts(b.Event(event(t, s.event, s.data)))
				}
				if got != s.want {
					t.Errorf("step %d, %s %s: got %q, want %q", i, s.event, s.data, got, s.want)
				}
			}
		})
	}
}

// A reply that was sent before events does not make a job older than the events say.
func TestReplyThatIsOlderThanEvents(t *testing.T) {
	var b Board
	b.Event(event(t, "JOB_STATUS_CHANGE", `{"id": "b0", "status": "created"}`))
	b.Event(event(t, "JOB_STATUS_CHANGE", `{"id": "b0", "status": "running"}`))
	q := b.Ask()
	b.Event(event(t, "JOB_STATUS_CHANGE", `{"id": "b0", "status": "paused"}`))
	b.SetJobs(q, []qapi.JobInfo{{ID: "b0", Type: "backup", Status: "running", TotalProgress: 10}}, time.Unix(1, 0))
	if bars := b.Bars(); len(bars) != 1 || bars[0].Status != "paused" {
		t.Errorf("the bars are %v", bars)
	}
}

func TestBars(t *testing.T) {
	var b Board
	b.Connected()
	if w := b.Active(); w != 0 {
		t.Errorf("active without jobs: %b", w)
	}
	at := func(second, current int64) {
		b.SetJobs(b.Ask(), []qapi.JobInfo{
			{ID: "b0", Type: "backup", Status: "running", CurrentProgress: current << 20, TotalProgress: 1 << 30},
			{ID: "s0", Type: "snapshot-save", Status: "running", CurrentProgress: current, TotalProgress: 1024},
			{ID: "c0", Type: "create", Status: "running"},
		}, time.Unix(second, 0))
	}
	at(10, 0)
	at(11, 256)
	at(12, 512)
	var got []string
	for _, bar := range b.Bars() {
		got = append(got, bar.Render(80))
	}
	want := []string{
		"b0 backup [###########------------]  50%  512 MiB of 1.0 GiB  256 MiB/s  2s left",
		"s0 snapshot-save [####################--------------------]  50%  2s left",
		"c0 create [----------------------------------------]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if w := b.Active(); w != Jobs {
		t.Errorf("active with jobs: %b", w)
	}
	b.Lost()
	b.Connected()
	at(100, 512)
	if bar := b.Bars()[0]; bar.Rate != "" {
		t.Errorf("the rate after a new connection is %q", bar.Rate)
	}
}

// A bar has room in any width, and what matters most stays longest.
func TestBarInAnyWidth(t *testing.T) {
	bar := Bar{Name: "backup-of-disk0", Type: "backup", Status: "paused", Fraction: .5, Known: true, Amount: "1.0 GiB of 2.0 GiB", Rate: "100 MiB/s", Left: "10s left"}
	for width := 1; width < 200; width++ {
		if n := ansi.StringWidth(bar.Render(width)); n > width {
			t.Errorf("width %d: %d columns: %q", width, n, bar.Render(width))
		}
	}
	for width, want := range map[int]string{
		20:  "backup-of-disk0 bac…",
		45:  "backup-of-disk0 backup paused [####----]  50%",
		60:  "backup-of-disk0 backup paused [######-------]  50%  10s left",
		120: "backup-of-disk0 backup paused [####################--------------------]  50%  1.0 GiB of 2.0 GiB  100 MiB/s  10s left",
	} {
		if got := bar.Render(width); got != want {
			t.Errorf("width %d: got %q, want %q", width, got, want)
		}
	}
	if got, want := bar.String(), bar.Render(120); got != want {
		t.Errorf("String is %q", got)
	}
}

func TestMigration(t *testing.T) {
	var b Board
	b.Connected()
	reply := func(status qapi.MigrationStatus, transferred, remaining int64) *qapi.MigrationInfo {
		r := &qapi.MigrationInfo{Status: new(status)}
		if transferred+remaining > 0 {
			r.RAM = &qapi.MigrationRAMStats{Transferred: transferred, Remaining: remaining, Total: 1 << 30, PageSize: 4096}
		}
		return r
	}
	// A migration that was over before is not news.
	if got := texts(b.SetMigration(b.Ask(), reply("failed", 0, 0), time.Unix(1, 0))); got != "" || b.Active() != 0 {
		t.Errorf("an earlier migration: %q", got)
	}
	b.SetMigration(b.Ask(), reply("setup", 0, 0), time.Unix(2, 0))
	b.SetMigration(b.Ask(), reply("active", 0, 1<<30), time.Unix(3, 0))
	b.SetMigration(b.Ask(), reply("active", 256<<20, 768<<20), time.Unix(4, 0))
	if b.Active() != Migration {
		t.Error("the migration is not active")
	}
	if got, want := b.Bars()[0].Render(80), "migration [####--------------]  25%  768 MiB of 1.0 GiB left  256 MiB/s  3s left"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	fast := reply("active", 256<<20, 768<<20)
	fast.RAM.Mbps = 8000
	b.SetMigration(b.Ask(), fast, time.Unix(5, 0))
	if got, want := b.Bars()[0].Rate, "954 MiB/s"; got != want {
		t.Errorf("the rate is %q, want %q", got, want)
	}
	done := reply("completed", 1<<30, 0)
	done.Downtime = new(int64(12))
	if got, want := texts(b.SetMigration(b.Ask(), done, time.Unix(6, 0))), "the migration is completed; the guest stood still for 12ms\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(b.Bars()) != 0 || b.Wish()&Status == 0 {
		t.Error("a migration that is completed has a bar, or the status is not asked for")
	}
	b.SetMigration(b.Ask(), reply("active", 0, 1<<30), time.Unix(7, 0))
	failed := reply("failed", 0, 0)
	failed.ErrorDesc = new("no route to host")
	if got, want := texts(b.SetMigration(b.Ask(), failed, time.Unix(8, 0))), "! the migration has failed: no route to host\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for status, want := range map[qapi.MigrationStatus]string{
		"cancelled":       "the migration was canceled\n",
		"pre-switchover":  "the migration waits for migrate-continue\n",
		"postcopy-paused": "! the migration has lost its connection, and waits for migrate-recover\n",
	} {
		b.SetMigration(b.Ask(), reply("active", 0, 1<<30), time.Unix(9, 0))
		if got := texts(b.SetMigration(b.Ask(), reply(status, 0, 0), time.Unix(10, 0))); got != want {
			t.Errorf("%s: got %q, want %q", status, got, want)
		}
	}
}

// Two migrations that fail for the same reason are two notices. What QEMU said before the
// second one began is not its result.
func TestMigrationFailsTwice(t *testing.T) {
	failed := &qapi.MigrationInfo{Status: new(qapi.MigrationStatusFailed), ErrorDesc: new("no route to host")}
	const want = "! the migration has failed: no route to host\n"
	for _, tt := range []struct {
		name  string
		begin func(b *Board)
		news  bool
	}{
		{"a command", func(b *Board) { b.Executed("migrate", true) }, true},
		{"the event of a migration that another client has begun", func(b *Board) { b.Event(event(t, "MIGRATION", `{"status": "setup"}`)) }, true},
		{"a command that was refused", func(b *Board) { b.Executed("migrate", false) }, false},
		{"another command", func(b *Board) { b.Executed("migrate-set-parameters", true) }, false},
	} {
		var b Board
		b.Connected()
		b.SetMigration(b.Ask(), failed, time.Unix(1, 0))
		b.Wish()
		early := b.Ask()
		tt.begin(&b)
		if b.Wish()&Migration == 0 {
			t.Errorf("%s: QEMU is not asked about the migration", tt.name)
		}
		if got := texts(b.SetMigration(early, failed, time.Unix(2, 0))); got != "" {
			t.Errorf("%s: a reply from before it gives %q", tt.name, got)
		}
		if again := b.Wish()&Migration != 0; again != tt.news {
			t.Errorf("%s: QEMU is asked again: %t", tt.name, again)
		}
		got := texts(b.SetMigration(b.Ask(), failed, time.Unix(3, 0)))
		if tt.news && got != want || !tt.news && got != "" {
			t.Errorf("%s: got %q", tt.name, got)
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 10 << 10: "10 KiB", 1 << 20: "1.0 MiB", 1023 << 20: "1.0 GiB", 5 << 40: "5.0 TiB", 1<<63 - 1: "8.0 EiB",
	} {
		if got := bytesOf(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
	if got := timeLeft(100 * time.Millisecond); got != "<1s left" {
		t.Errorf("got %q", got)
	}
}
