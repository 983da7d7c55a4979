package main

import (
	"context"
	"time"

	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/qapi"
)

// create creates an image in the format qcow2, and opens it as the block node name.
func (d *daemon) create(ctx context.Context, name string, size uint64) error {
	if err := d.createImage(ctx, name, &qapi.BlockdevCreateOptionsQcow2{Size: size}); err != nil {
		return err
	}
	return d.open(ctx, name, qapi.BlockdevRefOrNull{})
}

// createImage creates the image, with two jobs: one makes the file, one formats it.
func (d *daemon) createImage(ctx context.Context, name string, format *qapi.BlockdevCreateOptionsQcow2) error {
	path, file := d.path(name+".qcow2"), name+"-file"
	err := d.job(ctx, "create", func(ctx context.Context) error {
		return qapi.BlockdevCreate(ctx, d.client, &qapi.BlockdevCreateArguments{
			JobID:   "create",
			Options: qapi.BlockdevCreateOptions{File: &qapi.BlockdevCreateOptionsFile{Filename: path}},
		})
	})
	if err != nil {
		return err
	}
	err = qapi.BlockdevAdd(ctx, d.client, &qapi.BlockdevOptions{
		NodeName: &file,
		File:     &qapi.BlockdevOptionsFile{Filename: path},
	})
	if err != nil {
		return err
	}
	format.File = qapi.BlockdevRef{Reference: &file}
	return d.job(ctx, "format", func(ctx context.Context) error {
		return qapi.BlockdevCreate(ctx, d.client, &qapi.BlockdevCreateArguments{
			JobID:   "format",
			Options: qapi.BlockdevCreateOptions{Qcow2: format},
		})
	})
}

// open opens an image that createImage has created.
func (d *daemon) open(ctx context.Context, name string, backing qapi.BlockdevRefOrNull) error {
	return qapi.BlockdevAdd(ctx, d.client, &qapi.BlockdevOptions{
		NodeName: &name,
		Qcow2: &qapi.BlockdevOptionsQcow2{
			File:    qapi.BlockdevRef{Reference: new(name + "-file")},
			Backing: backing,
		},
	})
}

// close closes an image, so that other programs can use its file.
func (d *daemon) close(ctx context.Context, name string) error {
	for _, node := range []string{name, name + "-file"} {
		if err := qapi.BlockdevDel(ctx, d.client, &qapi.BlockdevDelArguments{NodeName: node}); err != nil {
			return err
		}
	}
	return nil
}

// job starts a job, waits until it has ended, and returns nil if it has succeeded. A mirror
// would wait for job-complete when it has copied everything: that is what the policy
// Complete sends.
func (d *daemon) job(ctx context.Context, id string, start func(context.Context) error) error {
	job, err := jobs.Start(ctx, d.client, id, start, &jobs.Options{Policy: jobs.Complete})
	if err != nil {
		return err
	}
	defer job.Close()
	for p, err := range job.Watch(ctx, time.Second) {
		if err != nil {
			return err
		}
		if p.Total >= 1<<10 { // the creation of an image counts in other units
			d.say("%s: %d of %d KiB", id, p.Current>>10, p.Total>>10)
		}
	}
	return job.Wait(ctx)
}

// snapshot makes overlay a new image on top of node. From then on, whoever uses node
// writes to overlay, exports included, and node does not change any more.
func (d *daemon) snapshot(ctx context.Context, node, overlay string, size uint64) error {
	if err := d.createImage(ctx, overlay, &qapi.BlockdevCreateOptionsQcow2{Size: size}); err != nil {
		return err
	}
	if err := d.open(ctx, overlay, qapi.BlockdevRefOrNull{Null: true}); err != nil {
		return err
	}
	return qapi.BlockdevSnapshot(ctx, d.client, &qapi.BlockdevSnapshotOptions{Node: node, Overlay: overlay})
}

// backup copies what node has at this moment to a new image. From the same moment on, a
// bitmap in node notes what is written to it.
func (d *daemon) backup(ctx context.Context, node, target string, size uint64) error {
	if err := d.create(ctx, target, size); err != nil {
		return err
	}
	err := d.job(ctx, "backup", func(ctx context.Context) error {
		return qapi.Transaction(ctx, d.client, &qapi.TransactionArguments{Actions: []qapi.TransactionAction{
			{BlockDirtyBitmapAdd: &qapi.BlockDirtyBitmapAddWrapper{
				Data: qapi.BlockDirtyBitmapAddOptions{Node: node, Name: "changes"},
			}},
			{BlockdevBackup: &qapi.BlockdevBackupWrapper{
				Data: qapi.BlockdevBackupOptions{
					JobID: new("backup"), Device: node, Target: target, Sync: qapi.MirrorSyncModeFull,
				},
			}},
		}})
	})
	if err != nil {
		return err
	}
	return d.close(ctx, target)
}

// backupChanges copies what has changed since backup to a new image on top of that one.
// If the job succeeds, QEMU clears the bitmap, for the next time.
func (d *daemon) backupChanges(ctx context.Context, node, before, target string, size uint64) error {
	err := d.createImage(ctx, target, &qapi.BlockdevCreateOptionsQcow2{
		Size: size, BackingFile: new(d.path(before + ".qcow2")), BackingFmt: new(qapi.BlockdevDriverQcow2),
	})
	if err != nil {
		return err
	}
	if err := d.open(ctx, target, qapi.BlockdevRefOrNull{}); err != nil {
		return err
	}
	err = d.job(ctx, "backup", func(ctx context.Context) error {
		return qapi.BlockdevBackup(ctx, d.client, &qapi.BlockdevBackupOptions{
			JobID: new("backup"), Device: node, Target: target,
			Sync: qapi.MirrorSyncModeIncremental, Bitmap: new("changes"),
		})
	})
	if err != nil {
		return err
	}
	return d.close(ctx, target)
}

// stream copies into node what it has only in the image below it, and then does without
// that image.
func (d *daemon) stream(ctx context.Context, node string) error {
	return d.job(ctx, "stream", func(ctx context.Context) error {
		return qapi.BlockStream(ctx, d.client, &qapi.BlockStreamArguments{JobID: new("stream"), Device: node})
	})
}

// move copies node to a new image, with all that is written meanwhile. Then whoever uses
// node uses the new image.
func (d *daemon) move(ctx context.Context, node, target string, size uint64) error {
	if err := d.create(ctx, target, size); err != nil {
		return err
	}
	err := d.job(ctx, "move", func(ctx context.Context) error {
		return qapi.BlockdevMirror(ctx, d.client, &qapi.BlockdevMirrorArguments{
			JobID: new("move"), Device: node, Target: target, Sync: qapi.MirrorSyncModeFull,
		})
	})
	if err != nil {
		return err
	}
	return d.close(ctx, node)
}
