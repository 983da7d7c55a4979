package qapi_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qapitest"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/qapi"
)

// startQEMU starts a small machine and connects to its monitor.
func startQEMU(t *testing.T, args ...string) *async.Client {
	t.Helper()
	vm := qemutest.Start(t, qemutest.Command{
		Program: qemutest.QEMU,
		Args: append([]string{
			"-nodefaults", "-display", "none", "-machine", "q35", "-accel", "tcg", "-S", "-qmp", "unix:qmp,server=on",
		}, args...),
	})
	c := async.New(&async.Options{Backoff: async.Every(qemutest.DialEvery)})
	if err := c.Connect(qemutest.Context(t), vm.Path("qmp")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Every query command that needs no argument is executed, and its result decodes
// without loss.
func TestQueries_QEMU(t *testing.T) {
	t.Parallel()
	c := startQEMU(t, "-blockdev", "driver=null-co,node-name=n0", "-device", "virtio-scsi-pci", "-object", "memory-backend-ram,id=m,size=1M")
	ctx := qemutest.Context(t)
	schema, err := qapi.Introspect(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	queried, refused := 0, []string{}
	for _, info := range qapi.Commands() {
		if !strings.Contains(info.Name, "query-") || info.NewResult == nil || !schema.Has(info.Name) {
			continue
		}
		if slices.ContainsFunc(schema.Parameters(info.Name), func(p qapi.Parameter) bool { return !p.Optional }) {
			continue
		}
		reply, err := c.Do(ctx, async.Command{Name: info.Name})
		if err != nil {
			t.Fatalf("%s: %v", info.Name, err)
		}
		raw, err := reply.Value()
		if _, ok := errors.AsType[*async.ExecuteError](err); ok {
			refused = append(refused, info.Name)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		queried++
		v := info.NewResult()
		if err := reply.Decode(v); err != nil {
			t.Errorf("%s: %v", info.Name, err)
			continue
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%s: %v", info.Name, err)
			continue
		}
		if !qapitest.SameJSON(t, raw, again) {
			t.Errorf("%s: QEMU sent\n%s\nwhich decoded and encoded is\n%s", info.Name, raw, again)
		}
	}
	t.Logf("%d queries; QEMU refused %v", queried, refused)
	if queried < 40 {
		t.Errorf("only %d queries", queried)
	}
}

// The definitions agree with the running QEMU, and paths name its parts.
func TestIntrospection_QEMU(t *testing.T) {
	t.Parallel()
	c := startQEMU(t)
	schema, err := qapi.Introspect(qemutest.Context(t), c)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := c.Execute(qemutest.Context(t), "query-qmp-schema", nil)
	if err != nil {
		t.Fatal(err)
	}
	version := strings.SplitN(schema.Version(), ".", 3)
	qapitest.Agree(t, "qemu", raw, version[0]+"."+version[1])
	for _, path := range [][]string{
		{"blockdev-add"},
		{"blockdev-add", "read-only"},
		{"blockdev-add", "driver", "qcow2"},
		{"blockdev-add", "file", "filename"},
		{"STOP"},
		{"JOB_STATUS_CHANGE", "status", "concluded"},
	} {
		if !schema.Has(path...) {
			t.Errorf("%q is not there", path)
		}
	}
	for _, path := range [][]string{
		nil, {"no-such"}, {"blockdev-add", "no-such"}, {"blockdev-add", "driver", "no-such"}, {"BlockdevOptions"}, {"STOP", "x"},
	} {
		if schema.Has(path...) {
			t.Errorf("%q is there", path)
		}
	}
}

// The generated functions add nodes, run a job, wait for its end by an event, and
// dismiss it.
func TestTypedBlockJob_QEMU(t *testing.T) {
	t.Parallel()
	c := startQEMU(t)
	ctx := qemutest.Context(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	null := func(name string) *qapi.BlockdevOptions {
		return &qapi.BlockdevOptions{NodeName: &name, NullCo: &qapi.BlockdevOptionsNull{Size: new(int64(1 << 20))}}
	}
	must(qapi.BlockdevAdd(ctx, c, null("from")))
	must(qapi.BlockdevAdd(ctx, c, null("to")))
	events := c.NewListener(nil, "JOB_STATUS_CHANGE")
	defer events.Close()
	must(qapi.BlockdevBackup(ctx, c, &qapi.BlockdevBackupOptions{
		JobID: new("job0"), Device: "from", Target: "to", Sync: qapi.MirrorSyncModeFull, AutoDismiss: new(false),
	}))
	_, err := qapi.Wait(ctx, events, func(e *qapi.JobStatusChangeEvent) bool {
		return e.ID == "job0" && e.Status == qapi.JobStatusConcluded
	})
	must(err)
	jobs, err := qapi.QueryJobs(ctx, c)
	must(err)
	if len(jobs) != 1 || jobs[0].ID != "job0" || jobs[0].Error != nil {
		t.Errorf("%+v", jobs)
	}
	must(qapi.JobDismiss(ctx, c, &qapi.JobDismissArguments{ID: "job0"}))

	start := time.Now()
	status, err := qapi.QueryStatus(ctx, c)
	must(err)
	if status.Status != qapi.RunStatePrelaunch || status.Running {
		t.Errorf("%+v after %v", status, time.Since(start))
	}

	// The error of a command that QEMU refuses has QEMU's class.
	err = qapi.JobPause(ctx, c, &qapi.JobPauseArguments{ID: "no-such"})
	if refusal, ok := errors.AsType[*async.ExecuteError](err); !ok || refusal.Class == "" || refusal.Command != "job-pause" {
		t.Errorf("%v", err)
	}
}
