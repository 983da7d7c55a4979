package async

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goqmp/qmp/internal/proto"
)

// A progress is how far a call has come on its way to the server. Whether it has
// been answered is another question: a server may answer a command that is still
// being written. It is answered once it is not pending any more.
type progress int

const (
	queued    progress = iota // at a gate, or waiting for its turn to be written
	writing                   // being written; it is not known whether a byte has gone
	recalled                  // the same, and its caller wants it back
	unsent                    // no byte of it has gone, and none will
	sent                      // at least one byte may have reached the server
	abandoned                 // the same, but its caller has given up: its reply is dropped
)

// inBandWindow is how many in-band commands may be unanswered where out-of-band
// execution is enabled. QEMU stops reading the monitor when its queue of eight
// is full, and with it what should overtake (QEMU, "QMP out-of-band").
const inBandWindow = 8

// keepPending is how many unanswered commands a table may have room for when
// all are answered.
const keepPending = 64

// calls knows the commands of one session: those that wait at a gate, those that
// are unanswered, and those that were given up. It does no I/O and waits for
// nothing.
type calls struct {
	lastID *atomic.Uint64 // the client's

	mu          sync.Mutex         // guards the fields below, and those of each call that say so
	pending     map[proto.ID]*call // being written, or written, and unanswered
	peak        int                // how many pending has had at once, since it was made
	canceled    canceled
	oob         bool // the capability is enabled
	window      gate // in-band commands; in force with oob only
	descriptors gate // commands with descriptors; in force with oob only
	ended       bool // the session has ended: nothing becomes pending any more
}

// canceled summarizes the commands that were sent, whose callers gave up, and
// that the server may still answer. They are not pending any more: without oob
// replies come in the order of the commands, so the newest id and a count are
// enough. Memory stays constant if a server that does not answer is asked for
// ever.
type canceled struct {
	newest uint64 // the id of the newest; 0 if all are answered
	count  int    // how many were given up since all were answered
	takes  bool   // the newest one takes an error reply without an id
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

func (k *calls) enableOOB() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.oob = true
}

func (k *calls) hasOOB() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.oob
}

// end makes every later start fail.
func (k *calls) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended, k.pending = true, nil
}

// enter returns nil if c may pass g at once, and otherwise its place in the
// queue.
func (k *calls) enter(g *gate, c *call) *waiter {
	k.mu.Lock()
	defer k.mu.Unlock()
	return g.enter(c)
}

// forget takes w out of g's queue, and says what it has waited for.
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
		return "waiting behind other commands"
	}
	return fmt.Sprintf("waiting behind %d unanswered commands, the oldest of them %s, for %v",
		len(k.pending), oldest.cmd.label(), time.Since(oldest.since).Round(time.Millisecond))
}

// start gives c an id before it is written, and makes it pending if its reply is
// to be found by that. The error is errEnded, or an [*InvalidIDError].
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
	if c.kind == command {
		k.pending[c.id] = c
		k.peak = max(k.peak, len(k.pending))
	}
	return nil
}

// decide says, once, whether a byte of c has gone. After that nobody touches its
// files. It reports whether c was given back to its caller, who had recalled it.
// restore is called, with the lock held, if c was recalled.
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
			c.end(answer{}) // before whoever waits for decided looks for it
		}
	}
	close(c.decided)
	return wasRecalled && !begun
}

// recall asks for c back if it is not decided yet whether a byte of it has gone.
// interrupt is called then, with the lock held: what it breaks off is the write of
// c, since whoever writes calls decide before anything else is written. (So
// interrupt must not wait.)
func (k *calls) recall(c *call, interrupt func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.progress == writing {
		c.progress = recalled
		interrupt()
	}
}

// giveUp ends c for its caller, unless it was answered first; then the answer is
// returned. It has been decided whether c was sent.
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
		// Its reply is about to be handed out, or is not found by its id.
	case !k.oob && c.id.Kind == proto.NumberID && c.cmd.Name != "quit":
		// An id of the engine's is never used again, so a late reply is
		// recognised without the entry.
		k.settle(c)
		k.canceled.add(c)
	default:
		c.progress = abandoned // its place in the window is taken until the server answers
		c.cmd.forget()
	}
	return answer{}, false
}

func (f *canceled) add(c *call) {
	if c.id.Number > f.newest {
		f.newest, f.takes = c.id.Number, c.cmd.TakesErrorWithoutID
	}
	f.count++
}

// drop ends c, which the server does not answer: nothing of it was sent.
func (k *calls) drop(c *call) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settle(c)
}

// settle ends c's time as an unanswered command, and gives its places at the gates
// back. mu is held.
func (k *calls) settle(c *call) {
	if k.pending[c.id] == c { // the id may be another's by now
		delete(k.pending, c.id)
		if len(k.pending) == 0 && k.peak > keepPending {
			k.pending, k.peak = make(map[proto.ID]*call), 0 // a map does not shrink
		}
	}
	k.window.leave(c)
	k.descriptors.leave(c)
}

// answered ends the call that a reply with this id answers. It returns nil if
// there is none. wanted is false if its caller has given up.
func (k *calls) answered(id proto.ID) (c *call, wanted bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if id.Kind == proto.NumberID && id.Number >= k.canceled.newest && id.Number <= k.lastID.Load() {
		k.canceled = canceled{}
	}
	c = k.pending[id]
	if c == nil {
		return nil, false
	}
	k.settle(c)
	return c, c.progress != abandoned
}

// answeredWithoutID ends the call that an error reply without an id answers: the
// server could not parse some message, and cannot say which. known is false if
// nobody can tell which one. c is nil if it is one that was given up.
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

// name returns the name of the unanswered command with this id.
func (k *calls) name(id proto.ID) (name string, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.pending[id]
	if c == nil {
		return "", false
	}
	return c.cmd.Name, true
}

// wasSent reports whether at least one byte of c may have reached the server.
func (k *calls) wasSent(c *call) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return c.progress == sent || c.progress == abandoned
}

// A gate lets a number of commands through and makes the others wait in order. Of
// those who had to wait, one is let through only when the one before it has its
// turn to write: so they also go onto the wire in that order. calls.mu guards it.
type gate struct {
	size     int
	inside   []*call // at most size
	waiting  []*waiter
	admitted *call // had to wait, was let through, and does not have its turn yet
}

type waiter struct {
	call    *call
	granted chan struct{} // closed when it may pass
}

// enter returns nil if c may pass at once, and otherwise its place in the queue.
func (g *gate) enter(c *call) *waiter {
	if len(g.inside) < g.size && g.admitted == nil { // so nobody waits
		g.inside = append(g.inside, c)
		return nil
	}
	w := &waiter{call: c, granted: make(chan struct{})}
	g.waiting = append(g.waiting, w)
	return w
}

// leave gives c's place back, if it has one.
func (g *gate) leave(c *call) {
	if i := slices.Index(g.inside, c); i >= 0 {
		g.inside = slices.Delete(g.inside, i, i+1)
	}
	if g.admitted == c {
		g.admitted = nil
	}
	g.admit()
}

// admit lets the next one through if it may pass now.
func (g *gate) admit() {
	if len(g.inside) >= g.size || g.admitted != nil || len(g.waiting) == 0 {
		return
	}
	w := g.waiting[0]
	g.waiting[0] = nil // let go of what it wanted to send
	g.waiting = g.waiting[1:]
	g.inside = append(g.inside, w.call)
	g.admitted = w.call
	close(w.granted)
}

// arrived says that c has its turn.
func (g *gate) arrived(c *call) {
	if g.admitted == c {
		g.admitted = nil
		g.admit()
	}
}

// forget takes w out of the queue, or its place back.
func (g *gate) forget(w *waiter) {
	if i := slices.Index(g.waiting, w); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		return
	}
	g.leave(w.call)
}
