package notices

import (
	"encoding/json"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/qapi"
)

// A migration is that of the machine to another QEMU, or from one.
type migration struct {
	known    bool // QEMU was asked, or said that the migration has begun
	begun    int  // how many migrations were seen to begin
	progress jobs.MigrationProgress
	meter    meter
}

// begin takes it that a migration begins. The result of the one before is not its result,
// even if the two are the same.
func (m *migration) begin() {
	m.known = true
	m.begun++
	m.progress, m.meter = jobs.MigrationProgress{}, meter{}
}

// event takes an event that says the status of the migration.
func (m *migration) event(ev async.Event) {
	var data struct {
		Status qapi.MigrationStatus `json:"status"`
	}
	if json.Unmarshal(ev.Data, &data) == nil && data.Status == qapi.MigrationStatusSetup {
		m.begin()
	}
}

// active reports whether the migration goes on.
func (m *migration) active() bool { return goesOn(m.progress.Status) }

// goesOn reports whether a migration with that status is not over, and was begun.
func goesOn(s qapi.MigrationStatus) bool {
	switch s {
	case "", qapi.MigrationStatusNone, qapi.MigrationStatusCompleted, qapi.MigrationStatusFailed, qapi.MigrationStatusCancelled:
		return false
	}
	return true
}

// SetMigration takes the reply to query-migrate, which came at that time.
func (b *Board) SetMigration(q Question, reply *qapi.MigrationInfo, at time.Time) []Notice {
	m := &b.migration
	if q.begun != m.begun { // the reply may be about the migration before
		b.wish |= Migration
		return nil
	}
	before, first := m.progress.Status, !m.known
	m.known = true
	m.progress = jobs.MigrationProgress{}
	if reply.Status != nil {
		m.progress.Status = *reply.Status
	}
	if ram := reply.RAM; ram != nil {
		m.progress.Transferred, m.progress.Remaining, m.progress.Total = ram.Transferred, ram.Remaining, ram.Total
		m.progress.Passes = ram.DirtySyncCount
		m.progress.DirtyRate = float64(max(ram.DirtyPagesRate, 0)) * float64(ram.PageSize)
		m.progress.Rate = m.meter.add(at, ram.Transferred)
		if ram.Mbps > 0 {
			m.progress.Rate = ram.Mbps * 1e6 / 8
		}
	}
	now := m.progress.Status
	if !m.active() {
		m.meter = meter{}
	} else {
		b.wish &^= Migration
	}
	if before == now || first && !m.active() {
		return nil // a migration that was over before this shell came is not news
	}
	switch now {
	case qapi.MigrationStatusCompleted:
		b.wish |= Status
		text := "the migration is completed"
		if ms := reply.Downtime; ms != nil && *ms > 0 {
			text += "; the guest stood still for " + (time.Duration(*ms) * time.Millisecond).String()
		}
		return []Notice{{text, false}}
	case qapi.MigrationStatusFailed:
		b.wish |= Status
		text := "the migration has failed"
		if reply.ErrorDesc != nil {
			text += ": " + *reply.ErrorDesc
		}
		return []Notice{{text, true}}
	case qapi.MigrationStatusCancelled:
		return []Notice{{"the migration was canceled", false}}
	case qapi.MigrationStatusPreSwitchover:
		return []Notice{{"the migration waits for migrate-continue", false}}
	case qapi.MigrationStatusPostcopyPaused:
		return []Notice{{"the migration has lost its connection, and waits for migrate-recover", true}}
	}
	return nil
}
