package jobs_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/qapi"
)

// A bench is a real QEMU with block nodes.
type bench struct {
	*testing.T
	c   *async.Client
	ctx context.Context
	dir string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	addr := qemutest.Monitor(t)
	ctx := qemutest.Context(t)
	c, err := async.Dial(ctx, addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &bench{t, c, ctx, filepath.Dir(addr)}
}

const diskSize = 1 << 20

// disk makes a file with data and a block node of that name.
func (b *bench) disk(name string) {
	b.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, []byte(strings.Repeat("x", diskSize)), 0o600); err != nil {
		b.Fatal(err)
	}
	b.node(name, qapi.BlockdevOptions{File: &qapi.BlockdevOptionsFile{Filename: path}})
}

// node adds a block node.
func (b *bench) node(name string, opts qapi.BlockdevOptions) {
	b.Helper()
	opts.NodeName = &name
	if err := qapi.BlockdevAdd(b.ctx, b.c, &opts); err != nil {
		b.Fatal(err)
	}
}

// faulty adds a block node that writes to the disk, with ENOSPC for the first write or
// for all.
func (b *bench) faulty(name, disk string, once bool) {
	b.Helper()
	b.node(name, qapi.BlockdevOptions{Blkdebug: &qapi.BlockdevOptionsBlkdebug{
		Image: qapi.BlockdevRef{Reference: &disk},
		InjectError: []qapi.BlkdebugInjectErrorOptions{{
			Event: "none", Iotype: new(qapi.BlkdebugIOTypeWrite), Errno: new(int64(28)), Once: &once,
		}},
	}})
}

func (b *bench) start(id string, opts *jobs.Options, start func(ctx context.Context) error) *jobs.Job {
	b.Helper()
	j, err := jobs.Start(b.ctx, b.c, id, start, opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(j.Close)
	return j
}

// run runs a job to its end.
func (b *bench) run(id string, opts *jobs.Options, start func(ctx context.Context) error) {
	b.Helper()
	j := b.start(id, opts, start)
	if err := j.Wait(b.ctx); err != nil {
		b.Fatal(err)
	}
	if info := j.Info(); info.Status != qapi.JobStatusNull || info.Type == "" || info.Current != info.Total {
		b.Errorf("after its end: %+v", info)
	}
}

func (b *bench) backup(id, from, to string, more ...func(*qapi.BlockdevBackupOptions)) func(context.Context) error {
	args := &qapi.BlockdevBackupOptions{JobID: &id, Device: from, Target: to, Sync: qapi.MirrorSyncModeFull}
	for _, f := range more {
		f(args)
	}
	return func(ctx context.Context) error { return qapi.BlockdevBackup(ctx, b.c, args) }
}

func (b *bench) mirror(id, from, to string, more ...func(*qapi.BlockdevMirrorArguments)) func(context.Context) error {
	args := &qapi.BlockdevMirrorArguments{JobID: &id, Device: from, Target: to, Sync: qapi.MirrorSyncModeFull}
	for _, f := range more {
		f(args)
	}
	return func(ctx context.Context) error { return qapi.BlockdevMirror(ctx, b.c, args) }
}

func (b *bench) create(id string, opts qapi.BlockdevCreateOptions) func(context.Context) error {
	return func(ctx context.Context) error {
		return qapi.BlockdevCreate(ctx, b.c, &qapi.BlockdevCreateArguments{JobID: id, Options: opts})
	}
}

// overlay makes an image of qcow2 over a node, and a node for it.
func (b *bench) overlay(name, backing string) {
	b.Helper()
	path := filepath.Join(b.dir, name)
	b.run("create-"+name, nil, b.create("create-"+name, qapi.BlockdevCreateOptions{File: &qapi.BlockdevCreateOptionsFile{Filename: path}}))
	b.node(name+"-file", qapi.BlockdevOptions{File: &qapi.BlockdevOptionsFile{Filename: path}})
	b.run("format-"+name, nil, b.create("format-"+name, qapi.BlockdevCreateOptions{Qcow2: &qapi.BlockdevCreateOptionsQcow2{
		File: qapi.BlockdevRef{Reference: new(name + "-file")}, Size: diskSize,
		BackingFile: new(filepath.Join(b.dir, backing)), BackingFmt: new(qapi.BlockdevDriverFile),
	}}))
	b.node(name, qapi.BlockdevOptions{Qcow2: &qapi.BlockdevOptionsQcow2{
		File: qapi.BlockdevRef{Reference: new(name + "-file")}, Backing: qapi.BlockdevRefOrNull{Reference: &backing},
	}})
}

func byHand(a *qapi.BlockdevBackupOptions) { a.AutoFinalize, a.AutoDismiss = new(false), new(false) }

// Jobs of each kind run in a real QEMU, to every kind of end.
func TestKinds_QEMU(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, name := range []string{"a", "b", "c", "base"} {
		b.disk(name)
	}
	b.faulty("once", "c", true)
	complete := &jobs.Options{Policy: jobs.Complete}

	b.run("backup", nil, b.backup("backup", "a", "b"))
	b.run("backup-by-hand", nil, b.backup("backup-by-hand", "a", "b", byHand))
	b.run("mirror", complete, b.mirror("mirror", "a", "b"))
	b.overlay("top", "base")
	b.run("commit", complete, func(ctx context.Context) error {
		return qapi.BlockCommit(ctx, b.c, &qapi.BlockCommitArguments{JobID: new("commit"), Device: "top"})
	})
	b.overlay("over", "a")
	b.run("stream", nil, func(ctx context.Context) error {
		return qapi.BlockStream(ctx, b.c, &qapi.BlockStreamArguments{JobID: new("stream"), Device: "over"})
	})

	// A mirror that is ready can be paused, and be canceled.
	j := b.start("ready", nil, b.mirror("ready", "a", "b"))
	for _, step := range []struct {
		do   func(context.Context) error
		want qapi.JobStatus
	}{
		{func(context.Context) error { return nil }, "ready"}, {j.Pause, "standby"}, {j.Resume, "ready"}, {j.Cancel, "null"},
	} {
		if err := step.do(b.ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := j.WaitFor(b.ctx, step.want); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Wait(b.ctx); !errors.Is(err, jobs.ErrCanceled) {
		t.Errorf("a mirror that was canceled: %v", err)
	}
	if err := j.Cancel(b.ctx); err != jobs.ErrEnded {
		t.Errorf("canceled again: %v", err)
	}

	// An error of the target stops a mirror, and its policy resumes it.
	var stopped *jobs.IOError
	j = b.start("stopped", &jobs.Options{Policy: func(ctx context.Context, job jobs.Info) (qapi.JobVerb, error) {
		if job.IOError != nil {
			stopped = job.IOError
			return qapi.JobVerbResume, nil
		}
		return jobs.Complete(ctx, job)
	}}, b.mirror("stopped", "a", "once", func(a *qapi.BlockdevMirrorArguments) { a.OnTargetError = new(qapi.BlockdevOnErrorStop) }))
	if err := j.Wait(b.ctx); err != nil {
		t.Error(err)
	}
	if stopped == nil || stopped.Operation != "write" || stopped.Action != "stop" || time.Since(stopped.Time) > time.Hour {
		t.Errorf("the I/O error: %+v", stopped)
	}
}

// The error of a job is the error of Wait.
func TestErrors_QEMU(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, name := range []string{"a", "b", "c"} {
		b.disk(name)
	}
	b.faulty("bad", "c", false)
	for id, tt := range map[string]struct {
		start func(context.Context) error
		want  string
	}{
		"backup":         {b.backup("backup", "a", "bad"), "qmp: job backup (backup) failed: No space left on device"},
		"backup-by-hand": {b.backup("backup-by-hand", "a", "bad", byHand), "qmp: job backup-by-hand (backup) failed: No space left on device"},
		"create": {
			b.create("create", qapi.BlockdevCreateOptions{File: &qapi.BlockdevCreateOptionsFile{Filename: "/nonexistent/x"}}),
			"qmp: job create (create) failed: Could not create '/nonexistent/x': No such file or directory",
		},
	} {
		if err := b.start(id, nil, tt.start).Wait(b.ctx); err == nil || err.Error() != tt.want {
			t.Errorf("%s: got %v, want %s", id, err, tt.want)
		}
	}

	// Jobs that do not exist, that exist already, and that have another id.
	if _, err := jobs.Attach(b.ctx, b.c, "nosuch", nil); !isNotFound(err) {
		t.Errorf("Attach: %v", err)
	}
	if _, err := jobs.Start(b.ctx, b.c, "other", b.backup("this", "a", "b", byHand), nil); !isNotFound(err) {
		t.Errorf("a job with another id: %v", err)
	}
	refused, err := jobs.Start(b.ctx, b.c, "this", b.backup("this", "b", "a"), nil)
	if _, ok := errors.AsType[*async.ExecuteError](err); !ok {
		t.Errorf("an id that is in use: %v, %v", refused, err)
	}

	// Another client's job can be attached to, as often as needed, and its commands
	// are refused while its state does not allow them.
	j, err := jobs.Attach(b.ctx, b.c, "this", &jobs.Options{Policy: jobs.Manual})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if _, err := j.WaitFor(b.ctx, qapi.JobStatusPending); err != nil {
		t.Fatal(err)
	}
	if _, ok := errors.AsType[*async.ExecuteError](j.Complete(b.ctx)); !ok {
		t.Error("a backup could be completed")
	}
	again, err := jobs.Attach(b.ctx, b.c, "this", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := again.Wait(b.ctx); err != nil {
		t.Error(err)
	}
	if err := j.Wait(b.ctx); err != nil {
		t.Error(err)
	}
	list, err := jobs.List(b.ctx, b.c)
	if err != nil || len(list) != 0 {
		t.Errorf("jobs at the end: %v, %v", list, err)
	}
}

func isNotFound(err error) bool {
	_, ok := errors.AsType[*jobs.NotFoundError](err)
	return ok
}

// The jobs of a transaction end together.
func TestTransaction_QEMU(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		b.disk(name)
	}
	b.faulty("bad", "d", false)
	for target, want := range map[string]string{"d": "", "bad": "canceled"} {
		id1, id2 := "to-c-"+target, "to-"+target
		list, err := jobs.StartAll(b.ctx, b.c, []string{id1, id2}, func(ctx context.Context) error {
			action := func(id, from, to string) qapi.TransactionAction {
				return qapi.TransactionAction{BlockdevBackup: &qapi.BlockdevBackupWrapper{Data: qapi.BlockdevBackupOptions{
					JobID: &id, Device: from, Target: to, Sync: qapi.MirrorSyncModeFull, AutoFinalize: new(false), AutoDismiss: new(false),
				}}}
			}
			return qapi.Transaction(ctx, b.c, &qapi.TransactionArguments{
				Actions:    []qapi.TransactionAction{action(id1, "a", "c"), action(id2, "b", target)},
				Properties: &qapi.TransactionProperties{CompletionMode: new(qapi.ActionCompletionModeGrouped)},
			})
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		// Both calls finalize both jobs.
		errs := make(chan error, 1)
		go func() { errs <- list[1].Wait(b.ctx) }()
		err1, err2 := list[0].Wait(b.ctx), <-errs
		if want == "" && (err1 != nil || err2 != nil) {
			t.Errorf("%v, %v", err1, err2)
		}
		if want != "" && (!errors.Is(err1, jobs.ErrCanceled) || err2 == nil || !strings.Contains(err2.Error(), "No space left")) {
			t.Errorf("one of them failed: %v, %v", err1, err2)
		}
		for _, j := range list {
			j.Close()
		}
	}
}

// The states come in QEMU's order, and the progress grows to the end.
func TestStatesAndProgress_QEMU(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.disk("a")
	b.disk("b")
	j := b.start("j", nil, b.backup("j", "a", "b", byHand, func(a *qapi.BlockdevBackupOptions) { a.Speed = new(int64(1 << 20)) }))
	var last jobs.Progress
	n := 0
	for p, err := range j.Watch(b.ctx, 50*time.Millisecond) {
		if err != nil {
			t.Fatal(err)
		}
		if p.Current < last.Current || p.Total != diskSize {
			t.Errorf("after %+v: %+v", last, p)
		}
		last = p
		n++
	}
	if last.Fraction() != 1 || n < 2 {
		t.Errorf("the last of %d: %+v", n, last)
	}
	var seen []jobs.State
	for state, err := range j.States(b.ctx) {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, state)
	}
	got := statuses(seen)
	if want := []qapi.JobStatus{"waiting", "pending", "concluded", "null"}; got[0] != "created" || !slices.Equal(got[len(got)-4:], want) {
		t.Errorf("the states: %v", got)
	}
	if err := j.Wait(b.ctx); err != nil {
		t.Error(err)
	}
}
