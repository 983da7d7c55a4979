package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/qapi"
)

// MigrationOptions configures a [Migration]. A nil *MigrationOptions, like the zero
// value, suits most migrations.
type MigrationOptions struct {
	// BeforeSwitchover is called when the migration is in the state pre-switchover:
	// the guest has stopped, and the migration waits (its capability
	// pause-before-switchover is on). After it the migration is continued. If it
	// returns an error, the migration stays in that state, and the call that follows
	// the migration returns the error in a [*WaitError]. It is called again if the
	// connection is lost before QEMU has answered. It runs in the goroutine of that
	// call. Nil leaves the migration in that state: see [Migration.Continue].
	BeforeSwitchover func(ctx context.Context, info MigrationInfo) error
}

// MigrationInfo is what is known of a migration.
type MigrationInfo struct {
	Status qapi.MigrationStatus // a status that package qapi does not know is kept
	Error  string               // why the migration failed; "" if it did not

	// Reply is QEMU's last reply to query-migrate, with times and statistics. It may
	// be older than Status. It is nil before the first. Do not change it.
	Reply *qapi.MigrationInfo
}

// A MigrationState is a status that a migration has entered.
type MigrationState struct {
	Status qapi.MigrationStatus
	Time   time.Time // by QEMU's clock; the zero time if a query has told the status, and not an event
}

// A MigrationError says that a migration did not succeed. It matches [ErrCanceled] if
// the migration was canceled. It matches [ErrGone] if the QEMU knows nothing of the
// migration any more, because QEMU was restarted.
type MigrationError struct {
	Info MigrationInfo
	Gone bool // see [ErrGone]
}

func (e *MigrationError) Error() string {
	switch {
	case e.Gone:
		return fmt.Sprintf("qmp: QEMU knows nothing of the migration any more; when it was last seen, it was %s", harmless.Line(string(e.Info.Status)))
	case e.Info.Status == qapi.MigrationStatusCancelled:
		return "qmp: the migration was canceled"
	case e.Info.Error == "":
		return "qmp: the migration failed; QEMU does not say why"
	}
	return "qmp: the migration failed: " + harmless.Line(e.Info.Error)
}

// Is reports whether target is the kind of the error.
func (e *MigrationError) Is(target error) bool {
	return target == ErrGone && e.Gone || target == ErrCanceled && !e.Gone && e.Info.Status == qapi.MigrationStatusCancelled
}

// A Migration is the migration of a QEMU to another one, or from another one. A QEMU has
// at most one. All methods may be called concurrently. As a [Job], it has no goroutine,
// and receives events until its Close.
type Migration struct {
	follower
	opts   MigrationOptions
	events bool // QEMU sends an event for each state (the capability events); otherwise it is asked again and again

	session uint64 // that of the last event; 0 before; follower.mu guards it

	info  MigrationInfo // follower.mu guards the fields from here; only the holder of the turn changes them
	past  history[MigrationState]
	gap   bool // events may have been missed since QEMU was asked
	gaps  int  // how often gap was set
	asked int  // the count of states at which QEMU was asked and the reply was the present state; 0 for none
	left  int  // the count of states at which BeforeSwitchover was called, and the migration was continued; 0 for none
	gone  bool // QEMU knows nothing of the migration any more
	meter meter
}

// pollEvery is how often a QEMU is asked that sends no events.
const pollEvery = 500 * time.Millisecond

// StartMigration starts a migration and returns it. start executes the command: migrate
// at the source, or migrate-incoming at a destination that was started with -incoming
// defer. Before that, StartMigration switches on the capability events. opts may be nil.
//
// If start returns an error, StartMigration returns it as it is.
func StartMigration(ctx context.Context, m Monitor, start func(ctx context.Context) error, opts *MigrationOptions) (*Migration, error) {
	g := newMigration(m, opts)
	err := qapi.MigrateSetCapabilities(ctx, m, &qapi.MigrateSetCapabilitiesArguments{
		Capabilities: []qapi.MigrationCapabilityStatus{{Capability: qapi.MigrationCapabilityEvents, State: true}},
	})
	// A refusal is not a reason to give up. If a migration is running, start says so.
	g.events = err == nil
	if _, refused := errors.AsType[*async.ExecuteError](err); refused {
		err = nil
	}
	if err == nil {
		err = start(ctx)
	}
	if err == nil {
		err = g.begin(ctx)
	}
	if err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// begin asks for the state of a migration that was started just now.
func (g *Migration) begin(ctx context.Context) error {
	g.hear()
	g.mu.Lock()
	known := g.past.count > 0
	g.mu.Unlock()
	if known {
		return nil
	}
	return g.ask(ctx)
}

// AttachMigration returns the migration that was started before, by whomever. At a
// destination that waits for its source, this is the migration that will come. If no
// migration was started, the error is a [*NotFoundError]. If the last migration is
// over, [Migration.Wait] returns its result. opts may be nil.
func AttachMigration(ctx context.Context, m Monitor, opts *MigrationOptions) (*Migration, error) {
	g := newMigration(m, opts)
	err := g.attach(ctx)
	if err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

func (g *Migration) attach(ctx context.Context) error {
	list, err := qapi.QueryMigrateCapabilities(ctx, g.monitor)
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.Capability == qapi.MigrationCapabilityEvents {
			g.events = c.State
		}
	}
	if err := g.ask(ctx); err != nil {
		return err
	}
	if g.Info().Status != "" {
		return nil
	}
	status, err := qapi.QueryStatus(ctx, g.monitor)
	if err == nil && status.Status != qapi.RunStateInmigrate {
		err = &NotFoundError{Migration: true}
	}
	return err
}

func newMigration(m Monitor, opts *MigrationOptions) *Migration {
	g := &Migration{}
	if opts != nil {
		g.opts = *opts
	}
	g.follower = newFollower(m, g.heard, nil, "MIGRATION")
	return g
}

// Close ends the following of the migration. It changes nothing about the migration
// itself. Calls that wait return an error that matches [async.ErrClosed].
func (g *Migration) Close() { g.news.Close() }

// Info returns what is known of the migration, without asking QEMU.
func (g *Migration) Info() MigrationInfo {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.info
}

// heard takes an event or a notice of the listener. mu is held.
func (g *Migration) heard(ev async.Event, notice error) {
	var data qapi.MigrationEvent
	switch {
	case notice != nil:
		g.missed()
	case ev.Decode(&data) != nil || data.Status == "":
	default:
		if ev.Session != g.session && g.session != 0 {
			g.missed()
		}
		g.session = ev.Session
		g.enter(data.Status, ev.Timestamp)
	}
	g.change()
}

// missed notes that events may have been missed. mu is held.
func (g *Migration) missed() {
	g.gap = true
	g.gaps++
}

// enter notes that the migration is in a state. mu is held.
func (g *Migration) enter(status qapi.MigrationStatus, at time.Time) {
	if g.gone || isOver(g.info.Status) {
		return // it is another migration
	}
	g.info.Status = status
	g.past.add(MigrationState{status, at})
}

// isOver reports whether a migration does not leave that state any more.
func isOver(status qapi.MigrationStatus) bool {
	switch status {
	case qapi.MigrationStatusCompleted, qapi.MigrationStatusFailed, qapi.MigrationStatusCancelled:
		return true
	}
	return false
}

// over reports whether the migration has ended and QEMU was asked for its result. mu is
// held.
func (g *Migration) over() bool { return g.gone || isOver(g.info.Status) && g.asked == g.past.count }

// ask asks QEMU for the migration. The caller has the turn.
func (g *Migration) ask(ctx context.Context) error {
	g.mu.Lock()
	count := g.past.count + g.gaps
	g.mu.Unlock()
	reply, err := qapi.QueryMigrate(ctx, g.monitor)
	g.hear() // an event that QEMU sent before the reply has come by now
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.replied(reply, count)
	g.change()
	return nil
}

// replied takes a reply to query-migrate. count is the number of states and gaps when
// QEMU was asked. mu is held.
func (g *Migration) replied(reply *qapi.MigrationInfo, count int) {
	if g.over() {
		return
	}
	status := qapi.MigrationStatusNone
	if reply.Status != nil {
		status = *reply.Status
	}
	current := g.past.count+g.gaps == count // else the reply may be older than the events
	gap := g.gap && current
	g.gap = g.gap && !current
	switch {
	case status == qapi.MigrationStatusNone && gap && g.past.count > 0 && reply.SocketAddress == nil:
		g.gone = true
		return
	case status == qapi.MigrationStatusNone: // a destination, before it has got the first bytes; it may have the address at which it listens
	case current && status != g.info.Status && isOver(g.info.Status):
		g.asked = g.past.count // it is another migration, and this one has ended
		return
	case current && status != g.info.Status:
		g.enter(status, time.Time{})
	}
	g.info.Reply = reply
	if reply.ErrorDesc != nil {
		g.info.Error = *reply.ErrorDesc
	}
	if status == g.info.Status || status == qapi.MigrationStatusNone && current {
		g.asked = g.past.count
	}
}

// step makes one step in following the migration. It has the turn.
func (g *Migration) step(ctx, idle context.Context) error {
	if g.renewed() {
		g.follower.take(async.Event{}, errRenewed)
	}
	if g.hear() {
		return nil
	}
	g.mu.Lock()
	info, asked, left, gap := g.info, g.asked == g.past.count, g.left == g.past.count, g.gap
	g.mu.Unlock()
	switch {
	case gap || isOver(info.Status) && !asked:
		return g.ask(ctx)
	case info.Status == qapi.MigrationStatusPreSwitchover && !left && g.opts.BeforeSwitchover != nil:
		return g.switchover(ctx, info)
	case g.events:
		return g.wait(idle)
	}
	turn, cancel := context.WithTimeoutCause(idle, pollEvery, errInterval)
	defer cancel()
	if err := g.wait(turn); err != nil && (idle.Err() != nil || !errors.Is(err, errInterval)) {
		return err
	}
	return g.ask(ctx)
}

// switchover continues a migration that waits before its switchover.
func (g *Migration) switchover(ctx context.Context, info MigrationInfo) error {
	if err := g.opts.BeforeSwitchover(ctx, info); err != nil {
		return fmt.Errorf("BeforeSwitchover: %w", err)
	}
	if err := g.Continue(ctx); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.info.Status == qapi.MigrationStatusPreSwitchover {
		g.left = g.past.count
	}
	return nil
}

func (g *Migration) until(ctx, idle context.Context, what string, done func() bool) error {
	err := g.await(ctx, idle, func() bool { return done() || g.over() }, g.step)
	if err == nil {
		return nil
	}
	return g.waitError(ctx, what, err)
}

func (g *Migration) waitError(ctx context.Context, what string, err error) error {
	info := g.Info()
	return newWaitError(ctx, "migration", what, info.situation(), err)
}

// situation says in which state the migration is and what it waits for.
func (i *MigrationInfo) situation() string {
	switch i.Status {
	case "":
		return "it has not begun"
	case qapi.MigrationStatusPreSwitchover:
		return "it is pre-switchover, and waits for migrate-continue"
	case qapi.MigrationStatusPostcopyPaused:
		return "it is postcopy-paused: it has lost its connection, and waits for migrate-recover at the destination and migrate with resume at the source"
	}
	return "it is " + string(i.Status)
}

// Wait follows the migration until it is over. It returns nil if the migration has
// succeeded. Otherwise the error is a [*MigrationError]; or a [*WaitError] if ctx or the
// connection has ended, or a command failed. A QEMU that is a destination ends itself
// if its migration fails, unless it was told otherwise.
func (g *Migration) Wait(ctx context.Context) error {
	if err := g.until(ctx, ctx, "its end", never); err != nil {
		return err
	}
	return g.result()
}

func (g *Migration) result() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.info.Status == qapi.MigrationStatusCompleted {
		return nil
	}
	return &MigrationError{Info: g.info, Gone: g.gone}
}

// States returns an iterator over the states of the migration, as [Job.States] does for
// a job.
func (g *Migration) States(ctx context.Context) iter.Seq2[MigrationState, error] {
	return g.subject(ctx).all()
}

// WaitFor follows the migration until it is in one of the given states, or has been in
// one since the call, and returns that state. If the migration is over before, WaitFor
// returns the error of [Migration.Wait], or [ErrEnded] in a [*WaitError] if the
// migration has succeeded.
func (g *Migration) WaitFor(ctx context.Context, states ...qapi.MigrationStatus) (qapi.MigrationStatus, error) {
	found, err := waitFor(g.subject(ctx), func(s MigrationState) qapi.MigrationStatus { return s.Status }, states)
	if err != nil || found != "" {
		return found, err
	}
	if err := g.result(); err != nil {
		return "", err
	}
	return "", g.waitError(ctx, oneOf(states), ErrEnded)
}

func (g *Migration) subject(ctx context.Context) subject[MigrationState] {
	return subject[MigrationState]{
		mu: &g.mu, history: &g.past, result: g.result,
		until: func(wanted string, done func() bool) error { return g.until(ctx, ctx, wanted, done) },
	}
}

// Cancel cancels the migration (migrate_cancel). It does not wait for the end. A
// migration that has ended stays as it is, and that is not an error.
func (g *Migration) Cancel(ctx context.Context) error { return qapi.MigrateCancel(ctx, g.monitor) }

// Continue continues a migration that is in the state pre-switchover (migrate-continue).
func (g *Migration) Continue(ctx context.Context) error {
	return qapi.MigrateContinue(ctx, g.monitor, &qapi.MigrateContinueArguments{State: qapi.MigrationStatusPreSwitchover})
}
