package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/qapi"
)

// backup copies a disk and shows the progress.
func (h *host) backup(ctx context.Context, vm *async.Client, disk, target string) error {
	job, err := jobs.Start(ctx, vm, "backup", func(ctx context.Context) error {
		return qapi.BlockdevBackup(ctx, vm, &qapi.BlockdevBackupOptions{
			JobID: new("backup"), Device: disk, Target: target, Sync: qapi.MirrorSyncModeFull,
		})
	}, nil)
	if err != nil {
		return err
	}
	defer job.Close()
	for p, err := range job.Watch(ctx, 100*time.Millisecond) {
		if err != nil {
			return err
		}
		if left, ok := p.ETA(); ok {
			h.say("backup: %3.0f%%, %.0f MB/s, %v left", 100*p.Fraction(), p.Rate/1e6, left.Round(time.Millisecond))
		}
	}
	return job.Wait(ctx)
}

// backupTogether copies several disks as they are at the same moment.
func (h *host) backupTogether(ctx context.Context, vm *async.Client, targets map[string]string) error {
	disks := slices.Sorted(maps.Keys(targets))
	transaction := &qapi.TransactionArguments{
		Properties: &qapi.TransactionProperties{CompletionMode: new(qapi.ActionCompletionModeGrouped)},
	}
	for _, disk := range disks {
		transaction.Actions = append(transaction.Actions, qapi.TransactionAction{
			BlockdevBackup: &qapi.BlockdevBackupWrapper{Data: qapi.BlockdevBackupOptions{
				JobID: &disk, Device: disk, Target: targets[disk], Sync: qapi.MirrorSyncModeFull,
				AutoFinalize: new(false),
			}},
		})
	}
	all, err := jobs.StartAll(ctx, vm, disks, func(ctx context.Context) error {
		return qapi.Transaction(ctx, vm, transaction)
	}, nil)
	if err != nil {
		return err
	}
	for _, job := range all {
		defer job.Close()
		if err := job.Wait(ctx); err != nil {
			return err
		}
		h.say("%s has a backup, %d MiB", job.ID(), job.Info().Total>>20)
	}
	return nil
}

// move makes the machine use another file for a disk, while it runs.
func (h *host) move(ctx context.Context, vm *async.Client, disk, target string) error {
	job, err := jobs.Start(ctx, vm, "move", func(ctx context.Context) error {
		return qapi.BlockdevMirror(ctx, vm, &qapi.BlockdevMirrorArguments{
			JobID: new("move"), Device: disk, Target: target, Sync: qapi.MirrorSyncModeFull,
		})
	}, nil)
	if err != nil {
		return err
	}
	defer job.Close()
	if _, err := job.WaitFor(ctx, qapi.JobStatusReady); err != nil {
		return err
	}
	// Both files are the same now, and stay so: what the machine writes goes to both.
	h.say("%s and %s are the same", disk, target)
	if err := job.Complete(ctx); err != nil {
		return err
	}
	if err := job.Wait(ctx); err != nil {
		return err
	}
	h.say("the machine uses %s", target)
	return nil
}
