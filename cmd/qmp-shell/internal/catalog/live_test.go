package catalog

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
)

// A busy machine has something of everything.
func busyMachine(t testing.TB, version string) *machine {
	m := newMachine(t, version)
	for command, reply := range map[string]string{
		`query-named-block-nodes {"flat":true}`: `[
			{"node-name":"disk","drv":"qcow2","file":"/images/disk.qcow2","ro":false,"dirty-bitmaps":[
				{"name":"b0","count":65536,"granularity":65536,"recording":true,"persistent":false},
				{"name":"b1","count":0,"granularity":65536,"recording":false,"persistent":true}]},
			{"node-name":"cd","drv":"raw","file":"json:{}","ro":true,"dirty-bitmaps":[{"name":"b2","count":0,"granularity":512,"recording":true,"persistent":true}]}]`,
		`query-named-block-nodes`: `[{"node-name":"disk","image":{"snapshots":[{"id":"1","name":"before"},{"id":"2","name":"after"}]}},
			{"node-name":"d2","image":{"snapshots":[{"id":"1","name":"before"}]}}]`,
		`query-block`: `[{"device":"ide0-hd0","qdev":"/machine/peripheral/d0","inserted":{"drv":"qcow2","file":"/images/disk.qcow2","ro":false}},
			{"device":"","qdev":"cdrom"}]`,
		`query-jobs`:          `[{"id":"backup0","type":"backup","status":"running","current-progress":30,"total-progress":120},{"id":"j1","type":"create","status":"concluded","current-progress":0,"total-progress":0}]`,
		`query-block-exports`: `[{"id":"exp0","type":"nbd","node-name":"disk"}]`,
		`query-chardev`:       `[{"label":"serial0","filename":"pty:/dev/pts/3"},{"label":"odd name","filename":"null"}]`,
		`query-iothreads`:     `[{"id":"io0","thread-id":77}]`,
		`query-fdsets`:        `[{"fdset-id":3,"fds":[{},{}]}]`,
		`human-monitor-command {"command-line":"info network"}`:   `"nic0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:56\r\n \\ net0: index=0,type=user,net=10.0.2.0,restrict=off\r\nhub 0\r\n"`,
		`human-monitor-command {"command-line":"info qtree"}`:     `"bus: main-system-bus\r\n  type System\r\n  dev: q35-pcihost, id \"\"\r\n    bus: pcie.0\r\n      type PCIE\r\n"`,
		`qom-list {"path":"/machine/peripheral"}`:                 `[{"name":"type","type":"string"},{"name":"d0","type":"child<virtio-blk-pci>"}]`,
		`qom-list {"path":"/objects"}`:                            `[{"name":"mem0","type":"child<memory-backend-ram>"},{"name":"sec0","type":"child<secret>"},{"name":"tg","type":"child<throttle-group>"},{"name":"tls","type":"child<tls-creds-x509>"},{"name":"az","type":"child<authz-list>"},{"name":"prm","type":"child<pr-manager-helper>"}]`,
		`qom-list {"path":"/"}`:                                   `[{"name":"type","type":"string"},{"name":"machine","type":"child<pc-q35-machine>"},{"name":"objects","type":"child<container>"}]`,
		`qom-list {"path":"/machine"}`:                            `[{"name":"usb","type":"bool"},{"name":"rtc","type":"link<mc146818rtc>"},{"name":"acpi","type":"OnOffAuto"}]`,
		`qom-list-types`:                                          `[{"name":"qemu-console","parent":"object"},{"name":"e1000","parent":"e1000-base"}]`,
		`qom-list-types {"abstract":false,"implements":"device"}`: `[{"name":"e1000","parent":"e1000-base"}]`,
		`device-list-properties {"typename":"e1000"}`:             `[{"name":"mac","type":"str","description":"Ethernet 6-byte MAC Address"},{"name":"id","type":"str"},{"name":"rombar","type":"bool","description":"on/off"},{"name":"acpi","type":"OnOffAuto"}]`,
		`query-cpu-definitions`:                                   `[{"name":"qemu64","typename":"qemu64-x86_64-cpu"}]`,
		`query-command-line-options`:                              `[{"option":"memory","parameters":[{},{},{}]}]`,
		`trace-event-get-state {"name":"*"}`:                      `[{"name":"qmp_job_cancel","state":"disabled"}]`,
		`human-monitor-command {"command-line":"help"}`: `"c|cont  -- go on\r\neject [-f] device -- take\r\n\t\t a medium out\r\nhelp|? [cmd] -- tell\r\ninfo [subcommand] -- show\r\ncommit device|all -- commit\r\n` +
			`drive_add [-n] slot\r\n[file=file] -- add\r\nqom-set path property value -- set\r\ndump [-z|-l] filename -- dump\r\nnothing about this\r\n"`,
		`human-monitor-command {"command-line":"help info"}`: `"info block [-n] [-v] [device] -- show\r\ninfo blockstats  -- show\r\n"`,
	} {
		m.replies[command] = reply
	}
	return m
}

func TestLiveNames(t *testing.T) {
	c := loaded(t, busyMachine(t, "11.1"))
	for _, tt := range []struct{ text, want string }{ // the cursor is at the end
		{"blockdev-del node-name=", "disk: qcow2, /images/disk.qcow2; cd: raw, read-only"},
		{"blockdev-add driver=raw file=d", "disk: qcow2, /images/disk.qcow2"},
		{"blockdev-add driver=raw node-name=", ""},
		{"block_resize device=", "ide0-hd0: block device, qcow2, /images/disk.qcow2; disk: qcow2, /images/disk.qcow2; cd: raw, read-only"},
		{"eject id=", "/machine/peripheral/d0: qcow2, /images/disk.qcow2; cdrom: no medium"},
		{"block-dirty-bitmap-remove node=disk name=", "b0: bitmap of disk, 65536 bytes dirty, granularity 65536; b1: bitmap of disk, 0 bytes dirty, granularity 65536, disabled"},
		{"block-dirty-bitmap-remove name=b2", "b2: bitmap of cd, 0 bytes dirty, granularity 512"},
		{"transaction( block-dirty-bitmap-clear node=cd name=", "b2: bitmap of cd, 0 bytes dirty, granularity 512"},
		{"block-dirty-bitmap-merge node=x target=cd bitmaps.0=", ""},
		{"block-dirty-bitmap-add node=disk name=", ""},
		{"snapshot-load tag=", "before: snapshot of disk; after: snapshot of disk"},
		{"snapshot-load devices.0=c", "cd: raw, read-only"},
		{"job-cancel id=", "backup0: backup, running, 25 %; j1: create, concluded"},
		{"block-export-del id=", "exp0: nbd, node disk"},
		{"chardev-remove id=", "serial0: pty:/dev/pts/3; odd name: null"},
		{"block-export-add type=nbd iothread=", "io0: thread 77"},
		{"remove-fd fdset-id=", "3: 2 descriptors"},
		{"set_link name=", "nic0: nic, model=virtio-net-pci,macaddr=52:54:00:12:34:56; net0: user, net=10.0.2.0,restrict=off"},
		{"netdev_del id=", "net0: user, net=10.0.2.0,restrict=off"},
		{"query-rx-filter name=", "nic0: nic, model=virtio-net-pci,macaddr=52:54:00:12:34:56"},
		{"device_del id=", "d0: virtio-blk-pci"},
		{"object-del id=s", "sec0: secret"},
		{"set-numa-node type=node memdev=", "mem0: memory-backend-ram"},
		{"blockdev-add driver=throttle throttle-group=", "tg: throttle-group"},
		{"nbd-server-start tls-creds=", "tls: tls-creds-x509"},
		{"nbd-server-start tls-authz=", "az: authz-list"},
		{"blockdev-add driver=luks key-secret=", "sec0: secret"},
		{"blockdev-add driver=file pr-manager=", "prm: pr-manager-helper"},
		{"qom-list path=", "/: the root"},
		{"qom-list path=/m", "/machine: pc-q35-machine"},
		{"qom-list path=/machine/", "/machine/rtc: link to mc146818rtc"},
		{"qom-get path=/machine property=", "acpi: OnOffAuto; rtc: link<mc146818rtc>; usb: bool"},
		{"qom-get property=", ""},
		{"device-list-properties typename=q", "qemu-console: object"},
		{"device_add driver=", "e1000: e1000-base"},
		{"device_add driver=e1000 bus=", "main-system-bus: System; pcie.0: PCIE"},
		{"device_add driver=e1000 id=x ", "bus: string; mac: str, Ethernet 6-byte MAC Address; rombar: bool, on/off; acpi: OnOffAuto"},
		{"device_add driver=e1000 rombar=", "true: bool; false: bool"},
		{"device_add driver=e1000 acpi=o", "on: OnOffAuto; off: OnOffAuto"},
		{"device_add driver=e1000 netdev=", "net0: user, net=10.0.2.0,restrict=off"},
		{"query-cpu-model-expansion type=full model.name=", "qemu64: qemu64-x86_64-cpu"},
		{"query-command-line-options option=", "memory: 3 parameters"},
		{"trace-event-get-state name=qmp_", "qmp_job_cancel: disabled"},
		{`human-monitor-command command-line="info blocks`, "info blockstats: show"},
		{`{"execute":"blockdev-del","arguments":{"node-name":"c`, "cd: raw, read-only"},
		{"no-such-command name=", ""},
	} {
		done := c.Complete(context.Background(), tt.text, len(tt.text))
		var got []string
		for _, n := range done.Candidates {
			got = append(got, n.Label+": "+n.Help)
		}
		if got := strings.Join(got, "; "); got != tt.want || done.Note != "" {
			t.Errorf("%s\n got %s %s\nwant %s", tt.text, got, done.Note, tt.want)
		}
	}
}

// What a candidate inserts can be parsed, and means the name.
func TestLiveNamesAreQuoted(t *testing.T) {
	c := loaded(t, busyMachine(t, "11.1"))
	for _, tt := range []struct {
		text, want string
		space      bool
	}{
		{"chardev-remove id=odd", `"odd name"`, true},
		{`chardev-remove id="odd`, `odd name"`, true},
		{`chardev-remove {"id": `, `"serial0"`, true},
		{"remove-fd fdset-id=", "3", true},
		{"qom-list path=/m", "/machine", false},
		{`qom-list path="/m`, "/machine", false},
		{"human-monitor-command command-line=c", `"c`, false},
		{"human-monitor-command command-line=info", `"info`, false},
	} {
		done := c.Complete(context.Background(), tt.text, len(tt.text))
		if len(done.Candidates) == 0 {
			t.Errorf("%s: nothing", tt.text)
			continue
		}
		if got := done.Candidates[0]; got.Text != tt.want || got.Space != tt.space {
			t.Errorf("%s: %q, space %v", tt.text, got.Text, got.Space)
		}
	}
}

func TestCompleteHuman(t *testing.T) {
	c := loaded(t, busyMachine(t, "11.1"))
	for _, tt := range []struct{ line, want string }{
		{"", "c cont eject help ? info commit drive_add qom-set dump"},
		{"e", "eject"},
		{"help ej", "eject"},
		{"info ", "block blockstats"},
		{"help info bl", "block blockstats"},
		{"info block -", "-n -v"},
		{"info block -n -", "-v"},
		{"info block d", "disk"},
		{"eject ", "ide0-hd0 disk cd -f"},
		{"eject -f c", "cd"},
		{"eject disk ", "-f"},
		{"commit ", "ide0-hd0 disk cd device all"},
		{"dump -", "-z -l"},
		{"qom-set /mach", "/machine"},
		{"qom-set /machine u", "usb"},
		{"no-such ", ""},
	} {
		done := c.CompleteHuman(context.Background(), tt.line, len(tt.line))
		if got := strings.Join(labels(done), " "); got != tt.want || done.Note != "" {
			t.Errorf("%q: %s %s, want %s", tt.line, got, done.Note, tt.want)
		}
	}
}

// Names are kept for two seconds, and asked for again then. What cannot change is asked
// for once.
func TestNamesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := busyMachine(t, "11.1")
		c := loaded(t, m)
		asked := func(command string) int {
			m.mu.Lock()
			defer m.mu.Unlock()
			return len(slices.DeleteFunc(slices.Clone(m.asked), func(s string) bool { return !strings.HasPrefix(s, command) }))
		}
		complete := func(text string) { c.Complete(t.Context(), text, len(text)) }
		for range 3 {
			complete("job-cancel id=")
			complete("query-cpu-model-expansion model.name=")
		}
		if n := asked("query-jobs"); n != 1 {
			t.Errorf("asked %d times within two seconds", n)
		}
		time.Sleep(3 * time.Second)
		complete("job-cancel id=")
		complete("query-cpu-model-expansion model.name=")
		if n, always := asked("query-jobs"), asked("query-cpu-definitions"); n != 2 || always != 1 {
			t.Errorf("after two seconds: asked for jobs %d times, for CPU models %d times", n, always)
		}
		c.Forget()
		complete("query-cpu-model-expansion model.name=")
		if n := asked("query-cpu-definitions"); n != 2 {
			t.Errorf("after Forget: asked %d times", n)
		}
	})
}

// A slow machine answers some commands late.
type slowMachine struct {
	*machine
	slow  string // such a command
	takes time.Duration
	count atomic.Int32
}

func (m *slowMachine) Do(ctx context.Context, cmd async.Command) (async.Reply, error) {
	if cmd.Name == m.slow {
		m.count.Add(1)
		select {
		case <-time.After(m.takes):
		case <-ctx.Done():
			return async.Reply{}, ctx.Err()
		}
	}
	return m.machine.Do(ctx, cmd)
}

// Complete returns when its context ends. The question goes on, and the next call has the
// answer.
func TestSlowNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &slowMachine{machine: busyMachine(t, "11.1"), slow: "query-jobs", takes: time.Second}
		c := New(m)
		if err := c.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		const text = "job-cancel id="
		complete := func() Completion {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			return c.Complete(ctx, text, len(text))
		}
		start := time.Now()
		if done := complete(); len(done.Candidates) > 0 || !strings.Contains(done.Note, "did not answer in time") || time.Since(start) != 300*time.Millisecond {
			t.Errorf("%+v after %v", done, time.Since(start))
		}
		time.Sleep(time.Second)
		if done := complete(); len(done.Candidates) != 2 || m.count.Load() != 1 {
			t.Errorf("%+v, asked %d times", done, m.count.Load())
		}
	})
}

// The same holds for what the server can do.
func TestSlowLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &slowMachine{machine: busyMachine(t, "11.1"), slow: "query-qmp-schema", takes: time.Second}
		c := New(m)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if done := c.Complete(ctx, "query-stat", 10); len(done.Candidates) > 0 || done.Note == "" {
			t.Errorf("%+v", done)
		}
		if c.Commands() != nil || c.Events() != nil || c.Version() != "" || c.Note() != "" {
			t.Error("the server has not answered yet")
		}
		if done := c.Complete(t.Context(), "query-stat", 10); len(done.Candidates) != 3 || m.count.Load() != 1 {
			t.Errorf("%+v, asked %d times", done, m.count.Load())
		}
	})
}

// A machine that is gone fails every command.
type goneMachine struct{}

func (goneMachine) Do(context.Context, async.Command) (async.Reply, error) {
	return async.Reply{}, errors.New("the connection is closed")
}

func TestGone(t *testing.T) {
	c := New(goneMachine{})
	if err := c.Load(t.Context()); err == nil {
		t.Error("no error")
	}
	if done := c.Complete(t.Context(), "q", 1); !strings.Contains(done.Note, "the connection is closed") {
		t.Errorf("%+v", done)
	}
	if _, err := c.Help(t.Context(), "stop", 0); err == nil {
		t.Error("no error")
	}
	if done := c.CompleteHuman(t.Context(), "in", 2); !strings.Contains(done.Note, "the connection is closed") {
		t.Errorf("%+v", done)
	}
}
