package jobs_test

import (
	"context"
	"errors"
	"net"
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

// startGuest starts a QEMU with a guest that does nothing, and returns a client and the
// working directory.
func startGuest(t *testing.T, args ...string) (*async.Client, string) {
	t.Helper()
	addr := qemutest.Monitor(t, append([]string{"-machine", "q35", "-accel", "tcg", "-m", "32"}, args...)...)
	c, err := async.Dial(qemutest.Context(t), addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, filepath.Dir(addr)
}

func migrate(c *async.Client, uri string) func(context.Context) error {
	return func(ctx context.Context) error {
		return qapi.Migrate(ctx, c, &qapi.MigrateArguments{URI: &uri})
	}
}

func setCapability(t *testing.T, c *async.Client, capability qapi.MigrationCapability) {
	t.Helper()
	if err := qapi.MigrateSetCapabilities(qemutest.Context(t), c, &qapi.MigrateSetCapabilitiesArguments{
		Capabilities: []qapi.MigrationCapabilityStatus{{Capability: capability, State: true}},
	}); err != nil {
		t.Fatal(err)
	}
}

// A guest migrates from one QEMU to another. Before that, a migration fails, and another
// one is canceled.
func TestMigration_QEMU(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	src, _ := startGuest(t)
	dst, dir := startGuest(t, "-incoming", "defer")

	if _, err := jobs.AttachMigration(ctx, src, nil); !isNotFound(err) {
		t.Errorf("no migration has begun: %v", err)
	}
	failing, err := jobs.StartMigration(ctx, src, migrate(src, "unix:"+filepath.Join(dir, "nosuch")), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer failing.Close()
	err = failing.Wait(ctx)
	if _, ok := errors.AsType[*jobs.MigrationError](err); !ok || !strings.Contains(err.Error(), "No such file") || errors.Is(err, jobs.ErrCanceled) {
		t.Errorf("a destination that does not exist: %v", err)
	}

	// A migration to somebody who reads nothing is canceled.
	deaf := filepath.Join(dir, "deaf")
	ln, err := net.Listen("unix", deaf)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	stuck, err := jobs.StartMigration(ctx, src, migrate(src, "unix:"+deaf), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	if _, err := stuck.WaitFor(ctx, qapi.MigrationStatusActive); err != nil {
		t.Fatal(err)
	}
	if err := stuck.Cancel(ctx); err != nil {
		t.Fatal(err)
	}
	if err := stuck.Wait(ctx); !errors.Is(err, jobs.ErrCanceled) {
		t.Errorf("canceled: %v", err)
	}
	again, err := jobs.AttachMigration(ctx, src, nil)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if err := again.Wait(ctx); !errors.Is(err, jobs.ErrCanceled) {
		t.Errorf("attached after the end: %v", err)
	}

	incoming, err := jobs.AttachMigration(ctx, dst, nil) // without events
	if err != nil {
		t.Fatal(err)
	}
	defer incoming.Close()
	uri := "unix:" + filepath.Join(dir, "mig")
	incoming2, err := jobs.StartMigration(ctx, dst, func(ctx context.Context) error {
		return qapi.MigrateIncoming(ctx, dst, &qapi.MigrateIncomingArguments{URI: &uri})
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer incoming2.Close()
	setCapability(t, src, qapi.MigrationCapabilityPauseBeforeSwitchover)
	var before []string
	out, err := jobs.StartMigration(ctx, src, migrate(src, uri), &jobs.MigrationOptions{
		BeforeSwitchover: func(ctx context.Context, info jobs.MigrationInfo) error {
			before = append(before, string(info.Status))
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var last jobs.MigrationProgress
	for p, err := range out.Watch(ctx, 20*time.Millisecond) {
		if err != nil {
			t.Fatal(err)
		}
		last = p
	}
	if last.Status != "completed" || last.Fraction() != 1 || last.Total < 32<<20 || last.Transferred == 0 {
		t.Errorf("the last progress: %+v", last)
	}
	if err := out.Wait(ctx); err != nil {
		t.Error(err)
	}
	if !slices.Equal(before, []string{"pre-switchover"}) {
		t.Errorf("BeforeSwitchover was called %d times: %v", len(before), before)
	}
	var states []qapi.MigrationStatus
	for s, err := range out.States(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, s.Status)
	}
	if want := []qapi.MigrationStatus{"setup", "active", "pre-switchover", "device", "completed"}; !slices.Equal(states, want) {
		t.Errorf("states %v, want %v", states, want)
	}
	for _, in := range []*jobs.Migration{incoming, incoming2} {
		if err := in.Wait(ctx); err != nil {
			t.Errorf("the destination: %v", err)
		}
	}
}
