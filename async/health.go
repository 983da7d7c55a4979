package async

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/goqmp/qmp/internal/harmless"
)

// A Verdict is what [Client.Health] makes of its evidence.
type Verdict string

// The verdicts. A time is long if it is Timeout in [Keepalive] or more.
const (
	// Healthy: nothing says otherwise. No command has waited long for its reply.
	Healthy Verdict = "healthy"

	// Busy: a command has waited long, but the server answers out-of-band commands, or
	// sends events or parts of a reply. QEMU's main loop may be executing a long command.
	Busy Verdict = "busy"

	// Silent: a command has waited long, and the server has sent nothing for long. Its
	// process may be stopped, its host may be gone, or the connection may be cut
	// without a notice. If out-of-band execution is not enabled, or no Keepalive is set,
	// the server may also be busy.
	Silent Verdict = "silent"

	// Gone: there is no connection. With Reconnect in [Options] the client may be making
	// a new one: see State.
	Gone Verdict = "gone"
)

// Health is a verdict about the server, with its evidence. It is a copy: it does not
// change later.
type Health struct {
	Verdict Verdict
	Time    time.Time // when the client looked
	State   Runstate

	// Err is why the last connection ended, if Verdict is Gone: see [Client.Err]. It is
	// nil before the first connection.
	Err error

	// LastReceived is when the last byte came over this connection. It is zero before
	// the first one, and if Verdict is Gone.
	LastReceived time.Time

	// Unanswered is how many commands were sent, in full or in part, and are not
	// answered. Commands whose callers gave up count, too: several of those may count
	// until the newest is answered. A probe does not count.
	Unanswered int

	// Oldest is the name of the command that has been unanswered for the longest time,
	// and OldestAge is that time. They are "" and 0 if Unanswered is 0.
	Oldest    string
	OldestAge time.Duration

	// Probe is the last probe of this connection. It is the zero Probe without
	// Keepalive in [Options], and before the first probe.
	Probe Probe
}

// A Probe is a command that the client sends by itself: see [Keepalive].
type Probe struct {
	Command   string        // its name
	OOB       bool          // it is executed out of band
	Time      time.Time     // when it was to be sent
	Sent      bool          // false if it waits until an earlier message is written
	Answered  bool          // the reply has come; an error reply counts
	RoundTrip time.Duration // from Time to the reply; 0 before the reply
}

// String returns the verdict and its evidence in one line.
func (h Health) String() string {
	if h.Verdict == Gone {
		if h.Err != nil {
			return fmt.Sprintf("gone (%v): %v", h.State, harmless.Error(h.Err))
		}
		return fmt.Sprintf("gone (%v)", h.State)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d commands unanswered", h.Verdict, h.Unanswered)
	if h.Unanswered > 0 {
		fmt.Fprintf(&b, ", the oldest (%s) for %v", words(h.Oldest), h.OldestAge.Round(time.Millisecond))
	}
	if !h.LastReceived.IsZero() {
		fmt.Fprintf(&b, "; last byte received %v ago", h.Time.Sub(h.LastReceived).Round(time.Millisecond))
	}
	switch p := h.Probe; {
	case p.Answered:
		fmt.Fprintf(&b, "; last probe answered after %v", p.RoundTrip.Round(time.Microsecond))
	case p.Command != "":
		fmt.Fprintf(&b, "; probe (%s) unanswered for %v", p.Command, h.Time.Sub(p.Time).Round(time.Millisecond))
	}
	return b.String()
}

// Health says how the server is, as far as this side can see. It sends nothing and does
// not wait. Without Keepalive in [Options], the verdict rests on the commands that
// callers have sent: a server that nobody asks is Healthy.
func (c *Client) Health() Health {
	now := time.Now()
	c.mu.Lock()
	at, life := c.stage, c.life
	var err error
	if life != nil {
		err = life.err
	}
	c.mu.Unlock()
	if at.activity() == running {
		h := at.session.health(now)
		h.State = Running
		return h
	}
	if cause := at.cause(); cause != nil {
		err = cause
	}
	return Health{Verdict: Gone, Time: now, State: at.state(), Err: err}
}

// A pulse notes when a connection has shown life. Times are counted from began.
type pulse struct {
	began    time.Time
	received atomic.Int64 // when the last byte came; 0 if none
	taken    atomic.Int64 // when a peer that was slow last took bytes; 0 if never

	// alert makes flush wake the keepalive. It is set while the verdict is not Healthy.
	alert atomic.Bool
}

func (p *pulse) note(when *atomic.Int64) { when.Store(max(1, int64(time.Since(p.began)))) }

// at returns the time that when holds, or the zero time.
func (p *pulse) at(when *atomic.Int64) time.Time {
	if d := when.Load(); d != 0 {
		return p.began.Add(time.Duration(d))
	}
	return time.Time{}
}

// heard returns when the connection has last shown life.
func (p *pulse) heard() time.Time {
	return p.began.Add(time.Duration(max(p.received.Load(), p.taken.Load())))
}

// A pulseReader notes each read.
type pulseReader struct {
	io.Reader
	pulse *pulse
}

func (r pulseReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if n > 0 {
		r.pulse.note(&r.pulse.received)
	}
	return n, err
}

// health looks at s, which has not ended. State is not set.
func (s *session) health(now time.Time) Health {
	k := s.client.opts.Keepalive
	p := s.keepalive.lastProbe()
	n, inBand, oob := s.calls.unanswered()
	h := Health{Time: now, LastReceived: s.pulse.at(&s.pulse.received), Unanswered: n, Probe: p}
	if first := older(inBand, oob); first.name != "" {
		h.Oldest, h.OldestAge = first.name, now.Sub(first.since)
	}
	if p.Command != "" && !p.Answered {
		asked := openCall{p.Command, p.Time}
		if p.OOB {
			oob = older(oob, asked)
		} else {
			inBand = older(inBand, asked)
		}
	}
	timeout := k.timeout()
	late := func(w openCall) bool { return w.name != "" && now.Sub(w.since) >= timeout }
	heard := s.pulse.heard()
	quiet := now.Sub(heard) >= timeout
	switch {
	case late(oob) && quiet:
		h.Verdict = Silent
	case late(oob):
		h.Verdict = Busy
	case !late(inBand):
		h.Verdict = Healthy
	case k != nil && s.calls.hasOOB():
		// A probe shows whether the server is busy. Before its reply nothing is known.
		h.Verdict = Healthy
		if !heard.Before(inBand.since.Add(timeout)) {
			h.Verdict = Busy
		}
	case quiet:
		h.Verdict = Silent
	default:
		h.Verdict = Busy
	}
	return h
}

// An openCall is a command that is unanswered since a time. Its name is "" if there is none.
type openCall struct {
	name  string
	since time.Time
}

func older(a, b openCall) openCall {
	if a.name == "" || b.name != "" && b.since.Before(a.since) {
		return b
	}
	return a
}

// unanswered returns how many commands are unanswered, and the oldest of those in band
// and out of band.
func (k *calls) unanswered() (n int, inBand, oob openCall) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.pending {
		w := openCall{c.cmd.label(), c.since}
		if c.cmd.OOB && k.oob {
			oob = older(oob, w)
		} else {
			inBand = older(inBand, w)
		}
	}
	return len(k.pending) + k.canceled.count, older(inBand, k.canceled.oldest), oob
}
