package async

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// The defaults of [Keepalive].
const (
	DefaultKeepaliveInterval = 15 * time.Second
	DefaultKeepaliveTimeout  = 10 * time.Second
)

// Keepalive makes a client watch its server: see Keepalive in [Options]. The zero value
// is ready for use.
//
// If the server has sent nothing for an interval, or if a command has waited for long,
// the client sends a probe. It never has more than one: the next one comes only after
// the reply. If out-of-band execution is enabled, the probe is query-yank out of band.
// It takes no place among the eight commands that may be unanswered, and QEMU answers it
// also while its main loop is busy; QEMU 5.2, which does not have it, answers with an
// error, and that is an answer, too. Otherwise the probe is query-version, or guest-ping
// if SkipNegotiation is set. That is sent only if no command is unanswered: one that is
// shows as much.
//
// Hooks, tracers and the log see probes. A change of the verdict is noticed within an
// Interval and two Timeouts. Between the probes a connection has only a timer for this,
// and no goroutine.
type Keepalive struct {
	// Interval is how long the server may send nothing before it is probed. Zero means
	// 15 seconds.
	Interval time.Duration

	// Timeout is how long a command or a probe may wait before that counts against the
	// server. Zero means 10 seconds. It also counts for the verdict of [Client.Health].
	// Without Keepalive that is 10 seconds.
	Timeout time.Duration

	// OnChange is called when the verdict has changed: at the beginning of each
	// connection from Gone, and at its end to Gone. (It is not called at all for a
	// connection that ends immediately.) It is called for one change after
	// another. Disconnect waits until it has returned: it must not call Disconnect or
	// Close (do that in a goroutine: go c.Close()), and it may call any other method.
	OnChange func(from Verdict, now Health)

	// CloseWhenSilent ends the connection when the verdict becomes Silent, with a
	// [*SilentError]. By default no connection is ended, however slow the server is.
	CloseWhenSilent bool
}

func (k *Keepalive) interval() time.Duration {
	if k.Interval > 0 {
		return k.Interval
	}
	return DefaultKeepaliveInterval
}

// timeout returns the Timeout. k may be nil.
func (k *Keepalive) timeout() time.Duration {
	if k != nil && k.Timeout > 0 {
		return k.Timeout
	}
	return DefaultKeepaliveTimeout
}

// A SilentError says that the client ended a connection because the server was
// [Silent], as CloseWhenSilent in [Keepalive] asks.
type SilentError struct {
	Health Health // the verdict and its evidence
}

func (e *SilentError) Error() string {
	return fmt.Sprintf("the server was silent, and async.Keepalive.CloseWhenSilent is set: %v", e.Health)
}

// A keepalive watches one session, if Options.Keepalive is set. Its timer starts a
// goroutine, which runs run, and sets the timer again. So there is one such goroutine at
// a time, and none in between. It looks at the session, tells OnChange, and sends
// probes. s.wg counts the keepalive from begin until its last run, which the end of the
// session wakes.
type keepalive struct {
	s *session

	// Used by run only.
	verdict Verdict // what OnChange was told last

	mu      sync.Mutex // guards the fields below; held briefly, never across I/O
	timer   *time.Timer
	running bool // run is running; it stays true when the session is over
	again   bool // run is to look once more
	probe   Probe
}

// begin begins to watch s, which becomes running. It does nothing if s has ended.
func (b *keepalive) begin() {
	k := b.s.client.opts.Keepalive
	if k == nil {
		return
	}
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	if b.s.ended {
		return
	}
	b.s.wg.Add(1) // with s.mu held: nobody waits for wg before ended is set
	b.mu.Lock()
	defer b.mu.Unlock()
	b.verdict = Gone
	b.timer = time.AfterFunc(0, b.run)
}

// wake makes run look at the session now. It does not wait.
func (b *keepalive) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.timer == nil:
	case b.running:
		b.again = true
	case b.timer.Stop():
		b.timer.Reset(0)
	}
	// Otherwise the timer has just started run.
}

// run is what the timer starts.
func (b *keepalive) run() {
	b.mu.Lock()
	b.running = true
	b.mu.Unlock()
	for {
		next, over := b.look()
		if over {
			b.s.wg.Done()
			return
		}
		if b.rest(next) {
			return
		}
	}
}

// rest sets the timer. It returns false if run has to look again now.
func (b *keepalive) rest(next time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.again {
		b.again = false
		return false
	}
	b.running = false
	b.timer.Reset(next)
	return true
}

// look looks at the session, and does what is due. It returns when to look again. over
// is true if the session has ended.
func (b *keepalive) look() (next time.Duration, over bool) {
	s, k := b.s, b.s.client.opts.Keepalive
	over = s.hasEnded()
	if over {
		<-s.done // so that the client is not running with s any more
	}
	h := s.client.Health()
	b.tell(h)
	switch {
	case over:
		return 0, true
	case h.Verdict == Gone: // Disconnect waits for a message to be written
		return k.interval(), false
	case h.Verdict == Silent && k.CloseWhenSilent:
		s.end(&SilentError{Health: h}, nil) // it wakes this goroutine
		return 0, false
	}
	return b.tend(h), false
}

// tell calls OnChange if the verdict has changed.
func (b *keepalive) tell(h Health) {
	if h.Verdict == b.verdict {
		return
	}
	from := b.verdict
	b.verdict = h.Verdict
	b.s.pulse.alert.Store(h.Verdict == Busy || h.Verdict == Silent)
	if f := b.s.client.opts.Keepalive.OnChange; f != nil {
		f(from, h)
	}
}

// tend sends a probe if one is due, and returns when to look again.
func (b *keepalive) tend(h Health) time.Duration {
	k := b.s.client.opts.Keepalive
	now, oob := time.Now(), b.s.calls.hasOOB()
	n, inBand, _ := b.s.calls.unanswered()
	interval, timeout := k.interval(), k.timeout()
	p := b.lastProbe()

	due := b.s.pulse.heard().Add(interval)
	if inBand.name != "" && oob {
		// A probe shows whether the server is only busy.
		if late := inBand.since.Add(timeout); p.Time.Before(late) && late.Before(due) {
			due = late
		}
	}
	switch {
	case p.Command != "" && !p.Answered && p.Sent:
		due = p.Time.Add(timeout)
	case p.Command != "" && !p.Answered, !now.Before(due) && (oob || n == 0):
		b.send(now, oob)
		due = now.Add(timeout)
	}
	next := min(interval, timeout)
	for _, at := range []time.Time{due, inBand.since.Add(timeout)} {
		if d := at.Sub(now); d > 0 {
			next = min(next, d)
		}
	}
	return next
}

// send sends a probe, unless a message is being written. The caller then calls it again
// later, for the same probe.
func (b *keepalive) send(now time.Time, oob bool) {
	s := b.s
	cmd := Command{Name: "query-version"}
	switch {
	case oob:
		cmd = Command{Name: "query-yank", OOB: true}
	case s.client.opts.SkipNegotiation:
		cmd.Name = "guest-ping"
	}
	select {
	case <-s.turn:
	default:
		b.note(Probe{Command: cmd.Name, OOB: oob, Time: now})
		return
	}
	b.note(Probe{Command: cmd.Name, OOB: oob, Time: now, Sent: true}) // before the reply can come
	if err := s.sendProbe(cmd); err != nil {
		b.note(Probe{})
		s.log.Warn("qmp: probe not sent", "error", err)
	}
}

// note notes p as the last probe. One that waits to be sent keeps its time.
func (b *keepalive) note(p Probe) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.probe; p.Command != "" && old.Command != "" && !old.Answered {
		p.Time = old.Time
	}
	b.probe = p
}

func (b *keepalive) lastProbe() Probe {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.probe
}

// answered notes that the reply to the probe has come.
//
// Lower half: runs on readLoop.
func (b *keepalive) answered() {
	b.mu.Lock()
	b.probe.Answered, b.probe.RoundTrip = true, time.Since(b.probe.Time)
	b.mu.Unlock()
	b.wake()
}

// sendProbe writes cmd, whose reply nobody waits for. The caller holds the turn, which
// sendProbe gives back.
func (s *session) sendProbe(cmd Command) error {
	out, err := cmd.prepare(s.client.opts.maxSend())
	if err != nil {
		s.giveTurn()
		return err
	}
	c := newCall(probe, out)
	if err = s.calls.start(c); err == nil {
		err = s.encode(c)
	}
	if err != nil {
		s.giveTurn()
		s.calls.drop(c)
		if errors.Is(err, errEnded) {
			return nil
		}
		return err
	}
	s.write(c)
	return nil
}
