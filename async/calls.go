package async

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goqmp/qmp/internal/proto"
)

// A progress is how much of a call's message has been sent. It does not say whether
// the call has been answered: a server may reply to a command that is still being
// written. A command is unanswered as long as it is in calls.pending.
type progress int

const (
	queued    progress = iota // waits at a gate, or for its turn to be written
	writing                   // is being written; it is not known whether a byte has gone
	recalled                  // the same, and its caller has given up: it is not sent if no byte has gone
	unsent                    // no byte of it has gone, and none will
	sent                      // at least one byte may have reached the server
	abandoned                 // the same, and its caller has given up: its reply is dropped
)

// inBandWindow is how many in-band commands may be unanswered at a time if oob is
// enabled. QEMU has a queue of eight. When it is full, QEMU stops reading the
// monitor, and so does not read out-of-band commands (QEMU, "QMP out-of-band").
const inBandWindow = 8

// keepPending is how many entries calls.pending may have had before it is replaced
// when it is empty.
const keepPending = 64

// calls is what a session knows about its commands: those that wait at a gate, those
// that are unanswered, and those whose callers gave up. It does no I/O, and its
// methods do not wait.
type calls struct {
	lastID *atomic.Uint64 // the client's

	mu          sync.Mutex         // guards the fields below, and those of each call that say so
	pending     map[proto.ID]*call // commands that are being written or were sent, and are unanswered; nil once ended
	peak        int                // the largest length of pending since it was made
	canceled    canceled
	oob         bool  // out-of-band execution is enabled
	window      gate  // for in-band commands; used only if oob is true
	descriptors gate  // for commands with descriptors; used only if oob is true
	probe       *call // the unanswered probe of keepalive, or nil
	ended       bool  // the session has ended: no command becomes pending any more
}

// canceled summarizes commands that were sent and whose callers gave up. The server
// may still answer them. They are not in pending any more: without oob replies come
// in the order of the commands, so the newest id and a count are enough. Memory
// stays constant, however many commands a server leaves unanswered.
type canceled struct {
	newest uint64 // the id of the newest of them; 0 if all are answered
	count  int    // how many there have been since all were answered
	takes  bool   // TakesErrorWithoutID of the newest

	// The oldest that may be unanswered, and the newest, for Health. After a reply to
	// one of them only the newest is certain to be unanswered.
	oldest, latest openCall
}

// errEnded says that the session has ended before the call became pending.
var errEnded = errors.New("the session has ended")

func newCalls(lastID *atomic.Uint64) *calls {
	return &calls{
		lastID:      lastID,
		pending:     make(map[proto.ID]*call),
		window:      gate{size: inBandWindow},
		descriptors: gate{size: 1},
	}
}

// enableOOB notes that out-of-band execution is enabled.
func (k *calls) enableOOB() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.oob = true
}

// hasOOB reports whether out-of-band execution is enabled.
func (k *calls) hasOOB() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.oob
}

// end notes that the session has ended: every later start fails.
func (k *calls) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended, k.pending = true, nil
}

// enter returns nil if c may pass g at once, or else c's place in the queue of g.
func (k *calls) enter(g *gate, c *call) *waiter {
	k.mu.Lock()
	defer k.mu.Unlock()
	return g.enter(c)
}

// forget removes w from the queue of g, and returns a text that says what it was
// waiting for.
func (k *calls) forget(g *gate, w *waiter) (note string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	g.forget(w)
	var oldest *call
	for _, c := range k.pending {
		if oldest == nil || c.since.Before(oldest.since) {
			oldest = c
		}
	}
	if oldest == nil {
		return "waiting for earlier commands"
	}
	return fmt.Sprintf("waiting for earlier commands: %d unanswered, the oldest (%s) for %v",
		len(k.pending), words(oldest.cmd.label()), time.Since(oldest.since).Round(time.Millisecond))
}

// start gives c its id before it is written. It makes c pending if c is a command. The
// error is errEnded, or an [*InvalidIDError].
func (k *calls) start(c *call) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended {
		return errEnded
	}
	k.window.arrived(c)
	k.descriptors.arrived(c)
	c.since, c.progress = time.Now(), writing
	if c.kind == filesAlone {
		return nil
	}
	c.id = c.cmd.id
	if c.id.Kind == proto.NoID {
		c.id = proto.Number(k.lastID.Add(1))
	} else if _, taken := k.pending[c.id]; taken {
		text := c.id.Text
		c.id, c.progress = proto.ID{}, unsent
		return &InvalidIDError{ID: fmt.Sprintf("%q", text), Reason: "belongs to a command that is still unanswered"}
	}
	switch c.kind {
	case command:
		k.pending[c.id] = c
		k.peak = max(k.peak, len(k.pending))
	case probe:
		k.probe = c
	}
	return nil
}

// decide notes, once, whether a byte of c has gone. Its files are not used after that.
// withdrawn is true if c was recalled and no byte has gone. If c was recalled, decide
// calls restore, which undoes what interrupt of recall did; the lock is held.
func (k *calls) decide(c *call, begun bool, restore func()) (withdrawn bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	wasRecalled := c.progress == recalled
	if wasRecalled {
		restore()
	}
	if c.progress = unsent; begun {
		c.progress = sent
		if c.kind == filesAlone {
			c.end(answer{}) // before decided is closed: the caller looks for the answer after that
		}
	}
	close(c.decided)
	return wasRecalled && !begun
}

// recall asks that c is not sent, because its caller has given up. It does nothing
// if decide was called already. Otherwise it calls interrupt, with the lock held,
// which must not wait. What that interrupts is the write of c: the writer calls
// decide for c before it writes anything else.
func (k *calls) recall(c *call, interrupt func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.progress == writing {
		c.progress = recalled
		interrupt()
	}
}

// giveUp notes that the caller of c has given up. If c was answered before, giveUp
// returns the answer instead. decide was called for c before.
func (k *calls) giveUp(c *call) (a answer, answered bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case a := <-c.reply:
		return a, true
	default:
	}
	switch {
	case c.progress == unsent:
		k.settle(c)
	case k.pending[c.id] != c:
		// Its reply has come and flush is about to deliver it; or c is not a command.
	case !k.oob && c.id.Kind == proto.NumberID && c.cmd.Name != "quit":
		// An id of the engine's is never used again. So a late reply is recognized
		// without the entry in pending.
		k.settle(c)
		k.canceled.add(c)
	default:
		c.progress = abandoned // it keeps its place at the gates until the server replies
		c.cmd.forget()
	}
	return answer{}, false
}

// add notes that the caller of c has given up.
func (f *canceled) add(c *call) {
	if c.id.Number > f.newest {
		f.newest, f.takes = c.id.Number, c.cmd.TakesErrorWithoutID
		f.latest = openCall{c.cmd.label(), c.since}
	}
	if f.count == 0 {
		f.oldest = f.latest
	}
	f.count++
}

// drop removes c, of which nothing was sent.
func (k *calls) drop(c *call) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settle(c)
}

// settle removes c from pending and from the gates. mu is held.
func (k *calls) settle(c *call) {
	if k.pending[c.id] == c { // another command may have the same id by now
		delete(k.pending, c.id)
		if len(k.pending) == 0 && k.peak > keepPending {
			k.pending, k.peak = make(map[proto.ID]*call), 0 // a map does not shrink
		}
	}
	if k.probe == c {
		k.probe = nil
	}
	k.window.leave(c)
	k.descriptors.leave(c)
}

// answered returns the call that a reply with this id answers, or nil, and removes it
// from pending. wanted is false if its caller has given up.
func (k *calls) answered(id proto.ID) (c *call, wanted bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if id.Kind == proto.NumberID && id.Number >= k.canceled.newest && id.Number <= k.lastID.Load() {
		k.canceled = canceled{}
	}
	if c = k.pending[id]; c == nil && k.probe != nil && k.probe.id == id {
		c = k.probe
	}
	if c == nil {
		k.canceled.oldest = k.canceled.latest // id may be that of an older one
		return nil, false
	}
	k.settle(c)
	return c, c.progress != abandoned
}

// answeredWithoutID returns the call that an error reply without an id answers, and
// removes it from pending: the server could not parse a message, and cannot say which
// one. known is false if the engine cannot tell either. c is nil if it is a call in
// canceled. wanted is false if the caller of c has given up.
func (k *calls) answeredWithoutID() (c *call, wanted, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch f := k.canceled; {
	case f.count == 1 && f.takes && len(k.pending) == 0:
		k.canceled = canceled{}
		return nil, false, true
	case f.count == 0 && len(k.pending) == 1:
		for _, c := range k.pending {
			if c.cmd.TakesErrorWithoutID && c.cmd.id.Kind == proto.NoID {
				k.settle(c)
				return c, c.progress != abandoned, true
			}
		}
	}
	return nil, false, false
}

// hidden returns the names of the members that hold secrets in the reply with this id.
// ok is false if no unanswered command has the id.
func (k *calls) hidden(id proto.ID) (names []string, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.pending[id]
	if c == nil {
		return nil, false
	}
	return c.cmd.hidden, true
}

// wasSent reports whether at least one byte of c may have reached the server.
func (k *calls) wasSent(c *call) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return c.progress == sent || c.progress == abandoned
}
