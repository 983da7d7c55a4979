package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/qapi"
)

// migrate moves a machine from one QEMU to another.
func (h *host) migrate(ctx context.Context, from, to *async.Client) error {
	uri := "unix:" + filepath.Join(h.dir, "migration")
	in, err := jobs.StartMigration(ctx, to, func(ctx context.Context) error {
		return qapi.MigrateIncoming(ctx, to, &qapi.MigrateIncomingArguments{URI: &uri})
	}, nil)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := jobs.StartMigration(ctx, from, func(ctx context.Context) error {
		return qapi.Migrate(ctx, from, &qapi.MigrateArguments{URI: &uri})
	}, nil)
	if err != nil {
		return err
	}
	defer out.Close()
	for p, err := range out.Watch(ctx, 100*time.Millisecond) {
		if err != nil {
			return err
		}
		h.say("migration: %s, %d of %d MiB left", p.Status, p.Remaining>>20, p.Total>>20)
	}
	if err := out.Wait(ctx); err != nil {
		return err
	}
	if err := in.Wait(ctx); err != nil {
		return err
	}
	status, err := qapi.QueryStatus(ctx, to)
	if err != nil {
		return err
	}
	h.say("the machine is %s at the destination", status.Status)
	return nil
}
