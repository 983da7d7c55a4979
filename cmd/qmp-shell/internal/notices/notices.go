// Package notices says what happens to a machine: whether it runs, and how far its jobs
// and its migration are. It does no I/O and has no goroutine: the shell gives it events and
// replies, in the order in which they came, and asks QEMU for what it wants to know.
package notices

import (
	"slices"
	"strings"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/qapi"
)

// A Notice is something that a person should know.
type Notice struct {
	Text string
	Bad  bool // something has failed
}

// A Wish is what a Board wants to know from QEMU.
type Wish int

// The wishes. A Wish is a set of them.
const (
	Status    Wish = 1 << iota // query-status, for [Board.SetStatus]
	Jobs                       // query-jobs, for [Board.SetJobs]
	Migration                  // query-migrate, for [Board.SetMigration]
)

// A Board has what is known of one machine. Its methods must not be called concurrently.
// The zero Board knows nothing.
type Board struct {
	status    qapi.RunState
	wish      Wish
	jobs      []*job // in the order in which they were seen
	migration migration
}

// Connected tells the Board that a connection was made. What it knew may be outdated, and
// the machine may be another one.
func (b *Board) Connected() {
	b.Gap()
	for _, j := range b.jobs {
		j.meter = meter{}
	}
}

// Lost tells the Board that the connection has ended.
func (b *Board) Lost() { b.status, b.wish = "", 0 }

// Gap tells the Board that events were lost.
func (b *Board) Gap() {
	b.wish = Status | Jobs | Migration
	for _, j := range b.jobs {
		j.tracker.Gap()
	}
}

// Wish returns what the Board wants to know now, and takes it that it will be asked.
// Jobs that run and a migration that goes on are not among it: see [Board.Active].
func (b *Board) Wish() Wish {
	w := b.wish
	b.wish = 0
	return w
}

// Active returns what has to be asked again and again, so that bars move.
func (b *Board) Active() Wish {
	var w Wish
	if slices.ContainsFunc(b.jobs, func(j *job) bool { return !j.tracker.Concluded() }) {
		w |= Jobs
	}
	if b.migration.active() {
		w |= Migration
	}
	return w
}

// State returns the machine's state in QEMU's words, such as "running", or "".
func (b *Board) State() string { return string(b.status) }

// SetStatus takes the reply to query-status.
func (b *Board) SetStatus(s *qapi.StatusInfo) { b.status = s.Status }

// Event takes an event, and returns what it means, if that is worth a notice.
func (b *Board) Event(ev async.Event) []Notice {
	if slices.Contains(jobs.EventNames(), ev.Name) {
		return b.jobEvent(ev)
	}
	switch ev.Name {
	case "STOP", "RESUME", "SUSPEND", "WAKEUP", "GUEST_PANICKED", "WATCHDOG", "SHUTDOWN", "RESET", "BLOCK_IO_ERROR":
		b.wish |= Status
	}
	switch ev.Name {
	case "STOP", "RESUME", "MIGRATION", "MIGRATION_PASS":
		b.wish |= Migration
	}
	if ev.Name == "MIGRATION" {
		b.migration.event(ev)
	}
	text, bad := describe(ev)
	if text == "" {
		return nil
	}
	return []Notice{{text, bad}}
}

// Executed tells the Board that a command was executed, and whether it has succeeded. Some
// begin a migration, of which QEMU sends no event unless that is enabled.
func (b *Board) Executed(command string, ok bool) {
	if !strings.HasPrefix(command, "migrate") {
		return
	}
	b.wish |= Migration | Status
	if ok && command == "migrate" {
		b.migration.begin()
	}
}

// A meter measures how fast a number grows.
type meter struct {
	samples []sample // oldest first, at most mostSamples
}

type sample struct {
	at time.Time
	n  int64
}

const mostSamples = 10

// add adds a measurement, and returns the rate for each second, or 0 if it is not known.
func (m *meter) add(at time.Time, n int64) float64 {
	if last := len(m.samples) - 1; last >= 0 && (n < m.samples[last].n || !at.After(m.samples[last].at)) {
		m.samples = nil // it has begun again
	}
	if len(m.samples) == mostSamples {
		m.samples = m.samples[1:]
	}
	m.samples = append(m.samples, sample{at, n})
	first := m.samples[0]
	if passed := at.Sub(first.at).Seconds(); passed > 0 {
		return float64(n-first.n) / passed
	}
	return 0
}
