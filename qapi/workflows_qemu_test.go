package qapi_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/qapi"
)

// A lab is a QEMU on which workflows are tried, one after another.
type lab struct {
	*testing.T
	ctx context.Context
	c   *async.Client
	dir string
}

func (l *lab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// image creates an image of 1 MiB with blockdev-create, and opens it as the node name.
func (l *lab) image(name string) {
	l.Helper()
	file := filepath.Join(l.dir, name)
	l.job(name, func() error {
		return qapi.BlockdevCreate(l.ctx, l.c, &qapi.BlockdevCreateArguments{JobID: name, Options: qapi.BlockdevCreateOptions{
			File: &qapi.BlockdevCreateOptionsFile{Filename: file, Size: 0},
		}})
	})
	l.must(qapi.BlockdevAdd(l.ctx, l.c, &qapi.BlockdevOptions{NodeName: new(name + "-file"), File: &qapi.BlockdevOptionsFile{Filename: file}}))
	l.job(name, func() error {
		return qapi.BlockdevCreate(l.ctx, l.c, &qapi.BlockdevCreateArguments{JobID: name, Options: qapi.BlockdevCreateOptions{
			Qcow2: &qapi.BlockdevCreateOptionsQcow2{File: ref(name + "-file"), Size: 1 << 20},
		}})
	})
	l.must(qapi.BlockdevAdd(l.ctx, l.c, qcow2(name)))
}

// ref refers to a node.
func ref(name string) qapi.BlockdevRef { return qapi.BlockdevRef{Reference: &name} }

// qcow2 returns the options of the node name, over the node name-file.
func qcow2(name string) *qapi.BlockdevOptions {
	return &qapi.BlockdevOptions{NodeName: &name, Qcow2: &qapi.BlockdevOptionsQcow2{File: ref(name + "-file")}}
}

// overlay returns the options of such a node that has no backing file yet.
func overlay(name string) *qapi.BlockdevOptions {
	o := qcow2(name)
	o.Qcow2.Backing = qapi.BlockdevRefOrNull{Null: true}
	return o
}

// remove removes nodes.
func (l *lab) remove(names ...string) {
	l.Helper()
	for _, name := range names {
		l.must(qapi.BlockdevDel(l.ctx, l.c, &qapi.BlockdevDelArguments{NodeName: name}))
	}
}

// job calls start, which starts the job id, completes the job when it is ready, and
// waits until it is over.
func (l *lab) job(id string, start func() error) {
	l.Helper()
	l.follow(id, false, start)
}

// follow is job for a job that has to be finalized, if finalize is set.
func (l *lab) follow(id string, finalize bool, start func() error) {
	l.Helper()
	events := l.c.NewListener(nil, "JOB_STATUS_CHANGE")
	defer events.Close()
	l.must(start())
	for {
		e, err := qapi.Wait(l.ctx, events, func(e *qapi.JobStatusChangeEvent) bool { return e.ID == id })
		l.must(err)
		switch e.Status {
		case qapi.JobStatusReady:
			l.must(qapi.JobComplete(l.ctx, l.c, &qapi.JobCompleteArguments{ID: id}))
		case qapi.JobStatusPending:
			if !finalize {
				continue
			}
			l.must(qapi.JobFinalize(l.ctx, l.c, &qapi.JobFinalizeArguments{ID: id}))
		case qapi.JobStatusConcluded:
			jobs, err := qapi.QueryJobs(l.ctx, l.c)
			l.must(err)
			for _, j := range jobs {
				if j.ID == id && j.Error != nil {
					l.Fatal(*j.Error)
				}
			}
			if len(jobs) > 0 {
				l.must(qapi.JobDismiss(l.ctx, l.c, &qapi.JobDismissArguments{ID: id}))
			}
			return
		}
	}
}

// node returns what QEMU says about a node.
func (l *lab) node(name string) qapi.BlockDeviceInfo {
	l.Helper()
	nodes, err := qapi.QueryNamedBlockNodes(l.ctx, l.c, nil)
	l.must(err)
	for _, n := range nodes {
		if n.NodeName != nil && *n.NodeName == name {
			return n
		}
	}
	l.Fatalf("there is no node %s", name)
	panic("not reached")
}

// equal compares what a workflow led to.
func equal[T comparable](l *lab, what string, got, want T) {
	l.Helper()
	if got != want {
		l.Errorf("%s: %v, want %v", what, got, want)
	}
}

// hotplug are arguments for a machine to which PCI devices can be added.
var hotplug = []string{"-machine", "pc"}

// manual leaves finalizing or dismissing a job to the lab.
var manual = new(false)

var workflows = []struct {
	name string
	run  func(l *lab)
}{
	{"create an image and open it", func(l *lab) {
		l.image("a")
		n := l.node("a")
		equal(l, "the driver", n.Drv, "qcow2")
		equal(l, "the size", n.Image.VirtualSize, 1<<20)
		equal(l, "the format", n.Image.FormatSpecific.Qcow2.Data.Compat, "1.1")
		l.remove("a", "a-file")
	}},
	{"resize a node", func(l *lab) {
		l.image("a")
		l.must(qapi.BlockResize(l.ctx, l.c, &qapi.BlockResizeArguments{NodeName: new("a"), Size: 2 << 20}))
		equal(l, "the size", l.node("a").Image.VirtualSize, 2<<20)
		l.remove("a", "a-file")
	}},
	{"reopen a node as read-only", func(l *lab) {
		l.image("a")
		o := qcow2("a")
		o.ReadOnly = new(true)
		l.must(qapi.BlockdevReopen(l.ctx, l.c, &qapi.BlockdevReopenArguments{Options: []qapi.BlockdevOptions{*o}}))
		equal(l, "read-only", l.node("a").Ro, true)
		l.remove("a", "a-file")
	}},
	{"take a snapshot, and commit it", func(l *lab) {
		l.image("base")
		l.image("top")
		l.remove("top")
		l.must(qapi.BlockdevAdd(l.ctx, l.c, overlay("top")))
		l.must(qapi.BlockdevSnapshot(l.ctx, l.c, &qapi.BlockdevSnapshotOptions{Node: "base", Overlay: "top"}))
		equal(l, "the depth", l.node("top").BackingFileDepth, 1)
		l.follow("commit", true, func() error {
			return qapi.BlockCommit(l.ctx, l.c, &qapi.BlockCommitArguments{JobID: new("commit"), Device: "top", AutoFinalize: manual, AutoDismiss: manual})
		})
		l.remove("top", "base", "top-file", "base-file")
	}},
	{"stream a backing file into its overlay", func(l *lab) {
		l.image("base")
		l.image("top")
		l.remove("top")
		l.must(qapi.BlockdevAdd(l.ctx, l.c, overlay("top")))
		l.must(qapi.BlockdevSnapshot(l.ctx, l.c, &qapi.BlockdevSnapshotOptions{Node: "base", Overlay: "top"}))
		l.job("stream", func() error {
			return qapi.BlockStream(l.ctx, l.c, &qapi.BlockStreamArguments{JobID: new("stream"), Device: "top", OnError: new(qapi.BlockdevOnErrorReport), AutoDismiss: manual})
		})
		equal(l, "the depth", l.node("top").BackingFileDepth, 0)
		l.remove("top", "base", "top-file", "base-file")
	}},
	{"mirror a node", func(l *lab) {
		l.image("a")
		l.image("b")
		l.job("mirror", func() error {
			return qapi.BlockdevMirror(l.ctx, l.c, &qapi.BlockdevMirrorArguments{
				JobID: new("mirror"), Device: "a", Target: "b", Sync: qapi.MirrorSyncModeFull, CopyMode: new(qapi.MirrorCopyModeWriteBlocking), AutoDismiss: manual,
			})
		})
		l.remove("a", "b", "a-file", "b-file")
	}},
	{"back up what a bitmap has", func(l *lab) {
		l.image("a")
		l.image("b")
		l.must(qapi.BlockDirtyBitmapAdd(l.ctx, l.c, &qapi.BlockDirtyBitmapAddOptions{Node: "a", Name: "m", Granularity: new(uint32(1 << 16)), Persistent: new(true)}))
		bitmaps := l.node("a").DirtyBitmaps
		equal(l, "bitmaps", len(bitmaps), 1)
		equal(l, "persistent", bitmaps[0].Persistent, true)
		l.job("backup", func() error {
			return qapi.BlockdevBackup(l.ctx, l.c, &qapi.BlockdevBackupOptions{
				JobID: new("backup"), Device: "a", Target: "b", Sync: qapi.MirrorSyncModeIncremental, Bitmap: new("m"), AutoDismiss: manual,
			})
		})
		l.must(qapi.BlockDirtyBitmapRemove(l.ctx, l.c, &qapi.BlockDirtyBitmap{Node: "a", Name: "m"}))
		l.remove("a", "b", "a-file", "b-file")
	}},
	{"merge bitmaps", func(l *lab) {
		l.image("a")
		for _, name := range []string{"m", "n", "all"} {
			l.must(qapi.BlockDirtyBitmapAdd(l.ctx, l.c, &qapi.BlockDirtyBitmapAddOptions{Node: "a", Name: name}))
		}
		l.must(qapi.BlockDirtyBitmapMerge(l.ctx, l.c, &qapi.BlockDirtyBitmapMergeOptions{Node: "a", Target: "all", Bitmaps: []qapi.BlockDirtyBitmapOrStr{
			{Local: new("m")}, {External: &qapi.BlockDirtyBitmap{Node: "a", Name: "n"}},
		}}))
		l.remove("a", "a-file")
	}},
	{"do several things in a transaction, or nothing", func(l *lab) {
		l.image("a")
		add := func(name string) qapi.TransactionAction {
			return qapi.TransactionAction{BlockDirtyBitmapAdd: &qapi.BlockDirtyBitmapAddWrapper{Data: qapi.BlockDirtyBitmapAddOptions{Node: "a", Name: name}}}
		}
		l.must(qapi.Transaction(l.ctx, l.c, &qapi.TransactionArguments{Actions: []qapi.TransactionAction{add("m"), add("n")}}))
		err := qapi.Transaction(l.ctx, l.c, &qapi.TransactionArguments{Actions: []qapi.TransactionAction{add("o"), add("m")}})
		refused, ok := errors.AsType[*async.ExecuteError](err)
		equal(l, fmt.Sprintf("refused (%v)", err), ok && refused.Command == "transaction", true)
		equal(l, "bitmaps", len(l.node("a").DirtyBitmaps), 2)
		l.remove("a", "a-file")
	}},
	{"limit the speed of a node", func(l *lab) {
		l.image("a")
		l.must(qapi.ObjectAdd(l.ctx, l.c, &qapi.ObjectOptions{ID: "group", ThrottleGroup: &qapi.ThrottleGroupProperties{
			Limits: &qapi.ThrottleLimits{BpsTotal: new(int64(1 << 20))},
		}}))
		l.must(qapi.BlockdevAdd(l.ctx, l.c, &qapi.BlockdevOptions{NodeName: new("slow"), Throttle: &qapi.BlockdevOptionsThrottle{ThrottleGroup: "group", File: ref("a")}}))
		raw, err := qapi.QOMGet(l.ctx, l.c, &qapi.QOMGetArguments{Path: "/objects/group", Property: "limits"})
		l.must(err)
		var limits qapi.ThrottleLimits
		l.must(json.Unmarshal(raw, &limits))
		equal(l, "the limit", *limits.BpsTotal, 1<<20)
		l.remove("slow", "a", "a-file")
		l.must(qapi.ObjectDel(l.ctx, l.c, &qapi.ObjectDelArguments{ID: "group"}))
	}},
	{"export a node over NBD", func(l *lab) {
		l.image("a")
		l.must(qapi.NBDServerStart(l.ctx, l.c, &qapi.NBDServerOptionsLegacy{Addr: qapi.SocketAddressLegacy{
			Unix: &qapi.UnixSocketAddressWrapper{Data: qapi.UnixSocketAddress{Path: filepath.Join(l.dir, "nbd")}},
		}}))
		l.must(qapi.BlockExportAdd(l.ctx, l.c, &qapi.BlockExportOptions{ID: "e", NodeName: "a", NBD: &qapi.BlockExportOptionsNBD{Name: new("disk")}}))
		exports, err := qapi.QueryBlockExports(l.ctx, l.c)
		l.must(err)
		equal(l, "exports", len(exports), 1)
		equal(l, "the type", exports[0].Type, qapi.BlockExportTypeNBD)
		deleted := l.c.NewListener(nil, "BLOCK_EXPORT_DELETED")
		defer deleted.Close()
		l.must(qapi.BlockExportDel(l.ctx, l.c, &qapi.BlockExportDelArguments{ID: "e"}))
		e, err := qapi.Wait[qapi.BlockExportDeletedEvent](l.ctx, deleted, nil)
		l.must(err)
		equal(l, "the event", e.ID, "e")
		l.must(qapi.NBDServerStop(l.ctx, l.c))
		l.remove("a", "a-file")
	}},
	{"pause, limit and cancel a job", func(l *lab) {
		l.image("a")
		l.image("b")
		events := l.c.NewListener(nil, "JOB_STATUS_CHANGE")
		defer events.Close()
		l.must(qapi.BlockdevMirror(l.ctx, l.c, &qapi.BlockdevMirrorArguments{JobID: new("mirror"), Device: "a", Target: "b", Sync: qapi.MirrorSyncModeFull, AutoDismiss: manual}))
		until := func(want qapi.JobStatus) {
			l.Helper()
			_, err := qapi.Wait(l.ctx, events, func(e *qapi.JobStatusChangeEvent) bool { return e.Status == want })
			l.must(err)
		}
		until(qapi.JobStatusReady)
		l.must(qapi.BlockJobSetSpeed(l.ctx, l.c, &qapi.BlockJobSetSpeedArguments{Device: "mirror", Speed: 1 << 20}))
		l.must(qapi.JobPause(l.ctx, l.c, &qapi.JobPauseArguments{ID: "mirror"}))
		l.must(qapi.JobResume(l.ctx, l.c, &qapi.JobResumeArguments{ID: "mirror"}))
		jobs, err := qapi.QueryBlockJobs(l.ctx, l.c)
		l.must(err)
		equal(l, "jobs", len(jobs), 1)
		equal(l, "the speed", jobs[0].Speed, 1<<20)
		l.must(qapi.BlockJobCancel(l.ctx, l.c, &qapi.BlockJobCancelArguments{Device: "mirror", Force: new(true)}))
		until(qapi.JobStatusConcluded)
		l.must(qapi.JobDismiss(l.ctx, l.c, &qapi.JobDismissArguments{ID: "mirror"}))
		l.remove("a", "b", "a-file", "b-file")
	}},
	{"attach a disk, and detach it", func(l *lab) {
		l.image("a")
		l.must(qapi.DeviceAdd(l.ctx, l.c, &qapi.DeviceAddArguments{Driver: "virtio-scsi-pci", ID: new("scsi"), Further: map[string]any{"addr": "0x5"}}))
		l.must(qapi.DeviceAdd(l.ctx, l.c, &qapi.DeviceAddArguments{
			Driver: "scsi-hd", Bus: new("scsi.0"), ID: new("disk"), Further: map[string]any{"drive": "a", "write-cache": "on"},
		}))
		blocks, err := qapi.QueryBlock(l.ctx, l.c, nil)
		l.must(err)
		equal(l, "block devices", len(blocks), 1)
		equal(l, "the node", *blocks[0].Inserted.NodeName, "a")
		gone := l.c.NewListener(nil, "DEVICE_DELETED")
		defer gone.Close()
		l.must(qapi.DeviceDel(l.ctx, l.c, &qapi.DeviceDelArguments{ID: "disk"}))
		_, err = qapi.Wait(l.ctx, gone, func(e *qapi.DeviceDeletedEvent) bool { return e.Device != nil && *e.Device == "disk" })
		l.must(err)
		l.remove("a", "a-file")
	}},
	{"change the medium of a CD drive", func(l *lab) {
		l.image("a")
		l.must(qapi.DeviceAdd(l.ctx, l.c, &qapi.DeviceAddArguments{Driver: "scsi-cd", Bus: new("scsi.0"), ID: new("cd")}))
		trays := l.c.NewListener(nil, "DEVICE_TRAY_MOVED")
		defer trays.Close()
		l.must(qapi.BlockdevOpenTray(l.ctx, l.c, &qapi.BlockdevOpenTrayArguments{ID: new("cd")}))
		l.must(qapi.BlockdevInsertMedium(l.ctx, l.c, &qapi.BlockdevInsertMediumArguments{ID: "cd", NodeName: "a"}))
		l.must(qapi.BlockdevCloseTray(l.ctx, l.c, &qapi.BlockdevCloseTrayArguments{ID: new("cd")}))
		for _, open := range []bool{true, false} {
			e, err := qapi.Wait[qapi.DeviceTrayMovedEvent](l.ctx, trays, nil)
			l.must(err)
			equal(l, "the tray is open", e.TrayOpen, open)
		}
		l.must(qapi.Eject(l.ctx, l.c, &qapi.EjectArguments{ID: new("cd"), Force: new(true)}))
		l.remove("a", "a-file")
	}},
	{"add a network card, and cut its link", func(l *lab) {
		l.must(qapi.NetdevAdd(l.ctx, l.c, &qapi.Netdev{ID: "net", Hubport: &qapi.NetdevHubPortOptions{Hubid: 1}}))
		l.must(qapi.DeviceAdd(l.ctx, l.c, &qapi.DeviceAddArguments{Driver: "virtio-net-pci", ID: new("nic"), Further: map[string]any{"netdev": "net", "mac": "52:54:00:12:34:56"}}))
		l.must(qapi.SetLink(l.ctx, l.c, &qapi.SetLinkArguments{Name: "nic", Up: false}))
		filters, err := qapi.QueryRXFilter(l.ctx, l.c, &qapi.QueryRXFilterArguments{Name: new("nic")})
		l.must(err)
		equal(l, "the address", filters[0].MainMAC, "52:54:00:12:34:56")
	}},
	{"find the devices on the PCI bus", func(l *lab) {
		buses, err := qapi.QueryPCI(l.ctx, l.c)
		l.must(err)
		found := false
		for _, d := range buses[0].Devices {
			found = found || d.QdevID == "scsi" && d.Slot == 5 && d.ID.Vendor == 0x1af4
		}
		equal(l, "the SCSI controller is there", found, true)
	}},
	{"talk over a ring buffer", func(l *lab) {
		_, err := qapi.ChardevAdd(l.ctx, l.c, &qapi.ChardevAddArguments{ID: "ring", Backend: qapi.ChardevBackend{
			Ringbuf: &qapi.ChardevRingbufWrapper{Data: qapi.ChardevRingbuf{Size: new(int64(1 << 10))}},
		}})
		l.must(err)
		l.must(qapi.RingbufWrite(l.ctx, l.c, &qapi.RingbufWriteArguments{Device: "ring", Data: "aGVsbG8=", Format: new(qapi.DataFormatBase64)}))
		text, err := qapi.RingbufRead(l.ctx, l.c, &qapi.RingbufReadArguments{Device: "ring", Size: 100})
		l.must(err)
		equal(l, "the text", text, "hello")
		l.must(qapi.ChardevRemove(l.ctx, l.c, &qapi.ChardevRemoveArguments{ID: "ring"}))
	}},
	{"make an iothread, and change it", func(l *lab) {
		l.must(qapi.ObjectAdd(l.ctx, l.c, &qapi.ObjectOptions{ID: "io", IOThread: &qapi.IOThreadProperties{PollMaxNs: new(int64(0))}}))
		l.must(qapi.QOMSet(l.ctx, l.c, &qapi.QOMSetArguments{Path: "/objects/io", Property: "poll-max-ns", Value: jsontext.Value("4096")}))
		threads, err := qapi.QueryIOThreads(l.ctx, l.c)
		l.must(err)
		equal(l, "threads", len(threads), 1)
		equal(l, "poll-max-ns", threads[0].PollMaxNs, 4096)
		l.must(qapi.ObjectDel(l.ctx, l.c, &qapi.ObjectDelArguments{ID: "io"}))
	}},
	{"back memory by an object", func(l *lab) {
		l.must(qapi.ObjectAdd(l.ctx, l.c, &qapi.ObjectOptions{ID: "mem", MemoryBackendRAM: &qapi.MemoryBackendProperties{
			Size: 1 << 20, Policy: new(qapi.HostMemPolicyDefault), Merge: new(false),
		}}))
		memory, err := qapi.QueryMemdev(l.ctx, l.c)
		l.must(err)
		found := false
		for _, m := range memory {
			found = found || m.ID != nil && *m.ID == "mem" && m.Size == 1<<20 && !m.Merge
		}
		equal(l, "the memory is there", found, true)
		list, err := qapi.QOMList(l.ctx, l.c, &qapi.QOMListArguments{Path: "/objects/mem"})
		l.must(err)
		equal(l, "it has properties", len(list) > 5, true)
		l.must(qapi.ObjectDel(l.ctx, l.c, &qapi.ObjectDelArguments{ID: "mem"}))
	}},
	{"migrate to another QEMU", func(l *lab) {
		var args []string // the same devices as those that were added
		for _, d := range []string{"virtio-scsi-pci,id=scsi,addr=0x5", "scsi-cd,bus=scsi.0,id=cd", "virtio-net-pci,id=nic,netdev=net,mac=52:54:00:12:34:56"} {
			args = append(args, "-device", d)
		}
		to := startQEMU(l.T, append(append(hotplug, "-incoming", "defer", "-netdev", "hubport,id=net,hubid=1"), args...)...)
		uri := "unix:" + filepath.Join(l.dir, "migration")
		l.must(qapi.MigrateIncoming(l.ctx, to, &qapi.MigrateIncomingArguments{URI: &uri}))
		for _, c := range []*async.Client{l.c, to} {
			l.must(qapi.MigrateSetCapabilities(l.ctx, c, &qapi.MigrateSetCapabilitiesArguments{
				Capabilities: []qapi.MigrationCapabilityStatus{{Capability: qapi.MigrationCapabilityEvents, State: true}},
			}))
		}
		l.must(qapi.MigrateSetParameters(l.ctx, l.c, &qapi.MigrationParameters{MaxBandwidth: new(uint64(1 << 30)), DowntimeLimit: new(uint64(1000))}))
		parameters, err := qapi.QueryMigrateParameters(l.ctx, l.c)
		l.must(err)
		equal(l, "the bandwidth", *parameters.MaxBandwidth, 1<<30)
		events := l.c.NewListener(nil, "MIGRATION")
		defer events.Close()
		l.must(qapi.Migrate(l.ctx, l.c, &qapi.MigrateArguments{URI: &uri}))
		e, err := qapi.Wait(l.ctx, events, func(e *qapi.MigrationEvent) bool {
			return e.Status == qapi.MigrationStatusCompleted || e.Status == qapi.MigrationStatusFailed
		})
		l.must(err)
		info, err := qapi.QueryMigrate(l.ctx, l.c)
		l.must(err)
		if e.Status == qapi.MigrationStatusFailed {
			l.Fatalf("%+v", info)
		}
		equal(l, "the status", *info.Status, qapi.MigrationStatusCompleted)
		equal(l, "memory was sent", info.RAM.Transferred > 0, true)
		status, err := qapi.QueryStatus(l.ctx, l.c)
		l.must(err)
		equal(l, "the source runs", status.Running, false)
	}},
}

// Twenty tasks of users, in typed form.
func TestWorkflows_QEMU(t *testing.T) {
	t.Parallel()
	c := startQEMU(t, hotplug...)
	ctx, dir := qemutest.Context(t), qemutest.Dir(t)
	for _, w := range workflows {
		t.Run(w.name, func(t *testing.T) { w.run(&lab{T: t, ctx: ctx, c: c, dir: dir}) })
	}
}
