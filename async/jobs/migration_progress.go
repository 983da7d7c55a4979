package jobs

import (
	"context"
	"iter"
	"math"
	"time"

	"github.com/goqmp/qmp/qapi"
)

// MigrationProgress says how far a migration is. Its numbers are those of the guest's
// RAM, in bytes.
type MigrationProgress struct {
	Status qapi.MigrationStatus

	Transferred int64 // sent so far; more than Total if the guest has changed pages that were sent already
	Remaining   int64 // still to be sent
	Total       int64 // the size of the RAM; 0 if that is not known yet

	Rate      float64 // bytes sent in a second; 0 if that is not known
	DirtyRate float64 // bytes that the guest changes in a second, and that have to be sent again; 0 if that is not known
	Passes    int64   // how often QEMU has looked for pages that were changed

	// Downtime is how long the guest was stopped, or will be, as QEMU expects while the
	// migration is active. Elapsed is the time since the migration began. Both are 0 if
	// they are not known. QEMU sets them a moment after the migration has completed, so
	// the last pair of Watch may not have them; a later call of Progress has.
	Downtime, Elapsed time.Duration
}

// Fraction returns how much is done, from 0 to 1. It is 0 if the total is not known. It
// falls if the guest changes pages.
func (p MigrationProgress) Fraction() float64 {
	switch {
	case p.Status == qapi.MigrationStatusCompleted:
		return 1
	case p.Total <= 0:
		return 0
	}
	return min(max(float64(p.Total-p.Remaining)/float64(p.Total), 0), 1)
}

// ETA returns how long it takes until everything is sent, if the rates stay as they
// are. ok is false if that cannot be told, or if the guest changes its RAM faster than
// it is sent.
func (p MigrationProgress) ETA() (left time.Duration, ok bool) {
	switch {
	case p.Status == qapi.MigrationStatusCompleted:
		return 0, true
	case p.Total <= 0 || p.Remaining < 0:
		return 0, false
	}
	return timeFor(float64(p.Remaining), p.Rate-p.DirtyRate)
}

// timeFor returns how long an amount takes at a rate for each second.
func timeFor(amount, rate float64) (time.Duration, bool) {
	if rate <= 0 {
		return 0, false
	}
	ns := amount / rate * float64(time.Second)
	if !(ns < math.MaxInt64) {
		return 0, false
	}
	return time.Duration(ns), true
}

// Progress asks QEMU how far the migration is. A destination does not tell: there the
// result has only the status. Progress does not follow the migration.
func (g *Migration) Progress(ctx context.Context) (MigrationProgress, error) {
	reply, err := qapi.QueryMigrate(ctx, g.monitor)
	if err != nil {
		return MigrationProgress{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.progress(reply), nil
}

// progress returns what a reply to query-migrate says. mu is held.
func (g *Migration) progress(reply *qapi.MigrationInfo) MigrationProgress {
	p := MigrationProgress{Status: g.info.Status}
	if reply == nil {
		return p
	}
	if reply.Status != nil {
		p.Status = *reply.Status
	}
	p.Downtime = milliseconds(reply.Downtime)
	if p.Downtime == 0 {
		p.Downtime = milliseconds(reply.ExpectedDowntime)
	}
	p.Elapsed = milliseconds(reply.TotalTime)
	ram := reply.RAM
	if ram == nil {
		return p
	}
	p.Transferred, p.Remaining, p.Total = ram.Transferred, ram.Remaining, ram.Total
	p.Passes = ram.DirtySyncCount
	p.DirtyRate = float64(max(ram.DirtyPagesRate, 0)) * float64(ram.PageSize)
	p.Rate = g.meter.add(time.Now(), ram.Transferred)
	if ram.Mbps > 0 {
		p.Rate = ram.Mbps * 1e6 / 8
	}
	return p
}

// milliseconds returns a time that QEMU has given, or 0 if it is not known or too long
// to mean anything.
func milliseconds(ms *int64) time.Duration {
	if ms == nil || *ms < 0 || *ms > math.MaxInt64/int64(time.Millisecond) {
		return 0
	}
	return time.Duration(*ms) * time.Millisecond
}

// Watch follows the migration until it is over, as [Migration.Wait] does, and yields
// its progress: immediately, then once in each interval, and once at the end. The last
// pair has an error if the migration cannot be followed any more. An interval of zero or
// less means one second.
func (g *Migration) Watch(ctx context.Context, interval time.Duration) iter.Seq2[MigrationProgress, error] {
	return watch(ctx, interval, watched[MigrationProgress]{
		ask: func() (MigrationProgress, bool, error) {
			p, err := g.Progress(ctx)
			if isLoss(err) && ctx.Err() == nil {
				return p, false, nil // the call that follows the migration finds out
			}
			if err != nil {
				err = g.waitError(ctx, "its progress", err)
			}
			return p, true, err
		},
		pass: func(idle context.Context) error {
			return g.await(ctx, idle, g.over, g.step)
		},
		last: func() MigrationProgress {
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.progress(g.info.Reply)
		},
		result:    g.result,
		waitError: func(err error) error { return g.waitError(ctx, "its end", err) },
	})
}
