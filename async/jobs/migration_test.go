package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/qapi"
)

// A migrating sim is a simulated QEMU that migrates. The test says what happens.
type migrating struct {
	*sim
	c *async.Client

	mu     sync.Mutex // guards the fields below
	events bool       // the capability
	locked bool       // the capabilities cannot be changed
	info   map[string]any
}

func newMigrating(t *testing.T) *migrating {
	t.Helper()
	s, c := newSim(t)
	m := &migrating{sim: s, c: c, info: map[string]any{}}
	reply := func(name string, do func(args map[string]any) (any, error)) {
		s.Handle(name, func(_ context.Context, cmd *qmptest.Command) (any, error) {
			var args map[string]any
			if err := cmd.Decode(&args); err != nil {
				return nil, err
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			return do(args)
		})
	}
	reply("migrate-set-capabilities", func(map[string]any) (any, error) {
		if m.locked {
			return nil, errors.New("There's a migration process in progress")
		}
		m.events = true
		return nil, nil
	})
	reply("query-migrate-capabilities", func(map[string]any) (any, error) {
		return []map[string]any{{"capability": "xbzrle", "state": true}, {"capability": "events", "state": m.events}}, nil
	})
	reply("query-migrate", func(map[string]any) (any, error) { return m.info, nil })
	reply("migrate", func(map[string]any) (any, error) { m.enter("setup"); return nil, nil })
	reply("migrate-continue", func(map[string]any) (any, error) {
		if m.info["status"] != "pre-switchover" {
			return nil, errors.New("Migration not in expected state")
		}
		m.enter("device")
		m.enter("completed")
		return nil, nil
	})
	reply("migrate_cancel", func(map[string]any) (any, error) {
		m.enter("cancelling")
		m.enter("cancelled")
		return nil, nil
	})
	return m
}

func (m *migrating) enter(status string) {
	m.info["status"] = status
	if m.events {
		m.emit("MIGRATION", map[string]any{"status": status})
	}
}

// to changes the status, and what query-migrate says besides.
func (m *migrating) to(status string, more map[string]any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	info := map[string]any{}
	for k, v := range more {
		info[k] = v
	}
	m.info = info
	m.enter(status)
}

func (m *migrating) start(t *testing.T, opts *jobs.MigrationOptions) *jobs.Migration {
	t.Helper()
	g, err := jobs.StartMigration(t.Context(), m.c, migrate(m.c, "unix:x"), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// A migration ends in each way, whether QEMU sends events or has to be asked again and
// again.
func TestMigrationEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(m *migrating)
		want string
		kind error
	}{
		"completed": {func(m *migrating) { m.to("completed", map[string]any{"downtime": 7, "total-time": 100}) }, "", nil},
		"failed":    {func(m *migrating) { m.to("failed", map[string]any{"error-desc": "the cable was cut"}) }, "qmp: the migration failed: the cable was cut", nil},
		"no reason": {func(m *migrating) { m.to("failed", nil) }, "qmp: the migration failed; QEMU does not say why", nil},
		"canceled":  {func(m *migrating) { m.to("cancelled", nil) }, "qmp: the migration was canceled", jobs.ErrCanceled},
		"unknown states": {func(m *migrating) {
			m.to("teleporting", nil)
			m.to("completed", nil)
		}, "", nil},
	} {
		for _, events := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, events %t", name, events), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newMigrating(t)
					m.locked = !events
					g := m.start(t, nil)
					go func() {
						time.Sleep(time.Second)
						m.to("active", nil)
						time.Sleep(time.Second)
						tt.end(m)
					}()
					err := g.Wait(t.Context())
					switch {
					case tt.want == "" && err != nil:
						t.Errorf("Wait: %v", err)
					case tt.want != "" && (err == nil || err.Error() != tt.want):
						t.Errorf("Wait: %v, want %s", err, tt.want)
					}
					if tt.kind != nil && !errors.Is(err, tt.kind) || errors.Is(err, jobs.ErrGone) {
						t.Errorf("%v does not match %v", err, tt.kind)
					}
					var seen []qapi.MigrationStatus
					for s, err := range g.States(t.Context()) {
						if err != nil {
							t.Error(err)
						}
						seen = append(seen, s.Status)
					}
					if seen[0] != "setup" || seen[1] != "active" || events && len(seen) < 3 {
						t.Errorf("states %v", seen)
					}
					// What comes later belongs to another migration.
					m.to("setup", nil)
					m.sync(m.c)
					if again := g.Wait(t.Context()); fmt.Sprint(again) != fmt.Sprint(err) {
						t.Errorf("the second Wait: %v", again)
					}
				})
			})
		}
	}
}

// Attach finds a migration that runs, one that has ended, and one that will come.
func TestAttachMigration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMigrating(t)
		ctx := t.Context()
		if _, err := jobs.AttachMigration(ctx, m.c, nil); !isNotFound(err) || err.Error() != "qmp: no migration has begun" {
			t.Errorf("no migration: %v", err)
		}
		m.to("active", nil)
		g, err := jobs.AttachMigration(ctx, m.c, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		if err := g.Cancel(ctx); err != nil {
			t.Error(err)
		}
		if _, err := g.WaitFor(ctx, "completed"); !errors.Is(err, jobs.ErrCanceled) {
			t.Errorf("WaitFor: %v", err)
		}
		again, err := jobs.AttachMigration(ctx, m.c, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if err := again.Wait(ctx); !errors.Is(err, jobs.ErrCanceled) {
			t.Errorf("Wait: %v", err)
		}

		// A destination does not know of the migration before its first bytes.
		m.Handle("query-status", func(context.Context, *qmptest.Command) (any, error) {
			return map[string]any{"status": "inmigrate", "running": false}, nil
		})
		m.mu.Lock()
		m.info = map[string]any{}
		m.mu.Unlock()
		in, err := jobs.AttachMigration(ctx, m.c, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := in.Wait(short); err == nil || !strings.Contains(err.Error(), "it has not begun: context deadline exceeded") {
			t.Errorf("Wait: %v", err)
		}
		m.to("active", nil)
		m.to("completed", nil)
		if state, err := in.WaitFor(ctx, "completed"); err != nil || state != "completed" {
			t.Errorf("WaitFor: %s, %v", state, err)
		}
		if _, err := in.WaitFor(ctx, "active"); !errors.Is(err, jobs.ErrEnded) {
			t.Errorf("WaitFor after the end: %v", err)
		}

		m.Close()
		if _, err := jobs.AttachMigration(ctx, m.c, nil); err == nil || isNotFound(err) {
			t.Errorf("AttachMigration: %v", err)
		}
		if _, err := jobs.StartMigration(ctx, m.c, migrate(m.c, "x"), nil); err == nil {
			t.Error("StartMigration succeeded")
		}
	})
}

// The migration waits before its switchover until the program has done its part.
func TestBeforeSwitchover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMigrating(t)
		cause := errors.New("the lease is not there")
		calls := 0
		g := m.start(t, &jobs.MigrationOptions{BeforeSwitchover: func(_ context.Context, info jobs.MigrationInfo) error {
			if calls++; calls == 1 {
				return cause
			}
			if info.Status != "pre-switchover" {
				t.Errorf("%+v", info)
			}
			return nil
		}})
		m.to("pre-switchover", nil)
		if err := g.Wait(t.Context()); !errors.Is(err, cause) || !strings.Contains(err.Error(), "it is pre-switchover, and waits for migrate-continue") {
			t.Errorf("Wait: %v", err)
		}
		if err := g.Wait(t.Context()); err != nil || calls != 2 {
			t.Errorf("Wait after %d calls: %v", calls, err)
		}

		// Without the function, the program continues by itself.
		m = newMigrating(t)
		g = m.start(t, nil)
		m.to("pre-switchover", nil)
		if _, err := g.WaitFor(t.Context(), "pre-switchover"); err != nil {
			t.Fatal(err)
		}
		if err := g.Continue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := g.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		m.to("postcopy-paused", nil)
		if err := g.Continue(t.Context()); err == nil {
			t.Error("a migration could be continued that does not wait")
		}
	})
}

// Lost events do not matter: QEMU is asked.
func TestMigrationLostEvents(t *testing.T) {
	for name, tt := range map[string]struct {
		run  func(m *migrating)
		want string
	}{
		"it goes on":   {func(m *migrating) { go func() { time.Sleep(time.Minute); m.to("completed", nil) }() }, ""},
		"it has ended": {func(m *migrating) { m.info = map[string]any{"status": "failed", "error-desc": "why"} }, "why"},
		"new QEMU":     {func(m *migrating) { m.info = map[string]any{} }, "QEMU knows nothing of the migration any more; when it was last seen, it was active"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMigrating(t)
				g := m.start(t, nil)
				m.mu.Lock()
				for range 210 {
					m.enter("active")
				}
				tt.run(m)
				m.mu.Unlock()
				m.sync(m.c)
				err := g.Wait(t.Context())
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("Wait: %v, want %q", err, tt.want)
				}
				var last error
				for _, last = range g.Watch(t.Context(), 0) {
				}
				if gone := name == "new QEMU"; errors.Is(err, jobs.ErrGone) != gone || errors.Is(last, jobs.ErrGone) != gone {
					t.Errorf("%v, %v match ErrGone", err, last)
				}
			})
		})
	}
}

// The progress of a migration is that of its RAM.
func TestMigrationProgress(t *testing.T) {
	ram := func(transferred, remaining, total int64, mbps float64, dirty int64) map[string]any {
		return map[string]any{"ram": map[string]any{
			"transferred": transferred, "remaining": remaining, "total": total, "mbps": mbps,
			"dirty-pages-rate": dirty, "page-size": 4096, "dirty-sync-count": 2,
		}}
	}
	synctest.Test(t, func(t *testing.T) {
		m := newMigrating(t)
		g := m.start(t, nil)
		for i, tt := range []struct {
			status string
			info   map[string]any
			want   string
		}{
			{"setup", nil, "setup 0/0 0% 0/s ?"},
			{"active", map[string]any{"expected-downtime": int64(1<<63 - 1)}, "active 0/0 0% 0/s ?"},
			{"active", ram(0, 1000, 1000, 0, 0), "active 0/1000 0% 0/s ?"},
			{"active", ram(100, 900, 1000, 0, 0), "active 100/1000 10% 100/s 9s"},                            // by two measurements
			{"active", ram(100e6, 800e6, 1000e6, 80, 0), "active 100000000/1000000000 20% 10000000/s 1m20s"}, // as QEMU says
			{"active", ram(100e6, 800e6, 1000e6, 80, 1000), "active 100000000/1000000000 20% 10000000/s 2m15.501355013s"},
			{"active", ram(100e6, 800e6, 1000e6, 80, 3000), "active 100000000/1000000000 20% 10000000/s ?"}, // it does not converge
			{"active", ram(2000e6, -5, 1000e6, 80, 0), "active 2000000000/1000000000 100% 10000000/s ?"},
			{"completed", ram(2000e6, 0, 1000e6, 80, 0), "completed 2000000000/1000000000 100% 10000000/s 0s"},
		} {
			m.to(tt.status, tt.info)
			p, err := g.Progress(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			eta := "?"
			if left, ok := p.ETA(); ok {
				eta = left.String()
			}
			if got := fmt.Sprintf("%s %d/%d %.0f%% %.0f/s %s", p.Status, p.Transferred, p.Total, 100*p.Fraction(), p.Rate, eta); got != tt.want || p.Downtime != 0 {
				t.Errorf("step %d: got %s %v, want %s", i, got, p.Downtime, tt.want)
			}
			time.Sleep(time.Second)
		}
		var all []jobs.MigrationProgress
		for p, err := range g.Watch(t.Context(), time.Second) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, p)
		}
		if len(all) != 2 || all[1].Passes != 2 {
			t.Errorf("Watch: %+v", all)
		}
		m.Close()
		if _, err := g.Progress(t.Context()); err == nil {
			t.Error("Progress succeeded")
		}
		if !slices.ContainsFunc(all, func(p jobs.MigrationProgress) bool { return p.Status == "completed" }) {
			t.Errorf("Watch: %+v", all)
		}
	})
}

// Watch ends with the connection.
func TestMigrationWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMigrating(t)
		g := m.start(t, nil)
		m.Close()
		n := 0
		for _, err := range g.Watch(t.Context(), time.Second) {
			if err == nil {
				t.Error("Watch goes on")
			}
			n++
		}
		if n != 1 {
			t.Errorf("Watch yielded %d times", n)
		}
	})
}
