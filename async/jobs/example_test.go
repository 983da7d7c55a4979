package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/qapi"
)

// A backup, from its start to its result.
func Example() {
	ctx, c, vm := exampleMachine()
	defer vm.Close()
	defer c.Close()

	j, err := jobs.Start(ctx, c, "job0", func(ctx context.Context) error {
		return qapi.BlockdevBackup(ctx, c, &qapi.BlockdevBackupOptions{
			JobID: new("job0"), Device: "disk", Target: "copy", Sync: qapi.MirrorSyncModeFull,
		})
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer j.Close()
	fmt.Println(j.Wait(ctx))
	fmt.Println(j.Info().Type, j.Info().Status)
	// Output:
	// <nil>
	// backup null
}

// A mirror is completed at a moment that the program chooses.
func ExampleJob_WaitFor() {
	ctx, c, vm := exampleMachine()
	defer vm.Close()
	defer c.Close()

	j, err := jobs.Start(ctx, c, "move", func(ctx context.Context) error {
		return qapi.BlockdevMirror(ctx, c, &qapi.BlockdevMirrorArguments{
			JobID: new("move"), Device: "disk", Target: "copy", Sync: qapi.MirrorSyncModeFull,
		})
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer j.Close()
	state, err := j.WaitFor(ctx, qapi.JobStatusReady)
	fmt.Println(state, err)
	if err := j.Complete(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(j.Wait(ctx))
	// Output:
	// ready <nil>
	// <nil>
}

// A job that was started by another program. It is canceled.
func ExampleAttach() {
	ctx, c, vm := exampleMachine()
	defer vm.Close()
	defer c.Close()

	j, err := jobs.Attach(ctx, c, "running", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer j.Close()
	if err := j.Cancel(ctx); err != nil {
		log.Fatal(err)
	}
	err = j.Wait(ctx)
	fmt.Println(err, errors.Is(err, jobs.ErrCanceled))

	_, err = jobs.Attach(ctx, c, "nosuch", nil)
	fmt.Println(err)
	// Output:
	// qmp: job running (backup) was canceled true
	// qmp: there is no job nosuch: it was never started, or it has ended and was dismissed
}

// The progress of a job, once in a second.
func ExampleJob_Watch() {
	ctx, c, vm := exampleMachine()
	defer vm.Close()
	defer c.Close()

	j, err := jobs.Attach(ctx, c, "running", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer j.Close()
	for p, err := range j.Watch(ctx, time.Second) {
		if err != nil {
			log.Fatal(err)
		}
		left, ok := p.ETA()
		fmt.Printf("%.0f%% %.0f MB/s %v %t\n", 100*p.Fraction(), p.Rate/1e6, left, ok)
		break
	}
	// Output:
	// 25% 0 MB/s 0s false
}

// Every state of a job, and what the program does in one of them.
func ExampleJob_States() {
	ctx, c, vm := exampleMachine()
	defer vm.Close()
	defer c.Close()

	j, err := jobs.Start(ctx, c, "job0", func(ctx context.Context) error {
		return qapi.BlockdevBackup(ctx, c, &qapi.BlockdevBackupOptions{
			JobID: new("job0"), Device: "disk", Target: "copy", Sync: qapi.MirrorSyncModeFull,
			AutoFinalize: new(false), AutoDismiss: new(false),
		})
	}, &jobs.Options{Policy: func(ctx context.Context, job jobs.Info) (qapi.JobVerb, error) {
		if job.Status == qapi.JobStatusPending {
			fmt.Println("last moment to cancel it")
		}
		return jobs.Auto(ctx, job)
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer j.Close()
	for state, err := range j.States(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(state.Status)
	}
	// Output:
	// created
	// running
	// waiting
	// pending
	// last moment to cancel it
	// concluded
	// null
}

// A program that has one loop for the events of many jobs gives them to Trackers.
func ExampleTracker() {
	tracker := jobs.NewTracker("job0")
	for _, raw := range []string{
		`{"event": "JOB_STATUS_CHANGE", "data": {"id": "job0", "status": "running"}}`,
		`{"event": "JOB_STATUS_CHANGE", "data": {"id": "job1", "status": "null"}}`,
		`{"event": "JOB_STATUS_CHANGE", "data": {"id": "job0", "status": "aborting"}}`,
		`{"event": "BLOCK_JOB_COMPLETED", "data": {"device": "job0", "type": "backup", "len": 9, "offset": 4, "speed": 0, "error": "No space left on device"}}`,
		`{"event": "JOB_STATUS_CHANGE", "data": {"id": "job0", "status": "concluded"}}`,
	} {
		event, err := async.ParseEvent([]byte(raw))
		if err != nil {
			log.Fatal(err)
		}
		tracker.Event(event)
	}
	fmt.Println(tracker.Concluded(), tracker.Ended(), tracker.Err())
	// Output:
	// true false qmp: job job0 (backup) failed: No space left on device
}
