package async

import "slices"

// A gate limits how many commands may be unanswered at a time. The others wait in a
// queue. Commands from the queue are also written in the order of the queue: the
// next one passes only after the one before it has taken its turn to be written.
// calls.mu guards a gate.
type gate struct {
	size     int       // the limit
	inside   []*call   // those that passed and are unanswered; at most size
	waiting  []*waiter // the queue, the first one first
	admitted *call     // the last that passed from the queue, until it has its turn; otherwise nil
}

// A waiter is a call's place in the queue of a gate.
type waiter struct {
	call    *call
	granted chan struct{} // closed when the call may pass
}

// enter returns nil if c may pass at once, or else c's place in the queue.
func (g *gate) enter(c *call) *waiter {
	if len(g.inside) < g.size && g.admitted == nil { // the queue is empty then: see admit
		g.inside = append(g.inside, c)
		return nil
	}
	w := &waiter{call: c, granted: make(chan struct{})}
	g.waiting = append(g.waiting, w)
	return w
}

// leave removes c from inside, and lets the next one pass.
func (g *gate) leave(c *call) {
	if i := slices.Index(g.inside, c); i >= 0 {
		g.inside = slices.Delete(g.inside, i, i+1)
	}
	if g.admitted == c {
		g.admitted = nil
	}
	g.admit()
}

// admit lets the first of the queue pass, if it may pass now.
func (g *gate) admit() {
	if len(g.inside) >= g.size || g.admitted != nil || len(g.waiting) == 0 {
		return
	}
	w := g.waiting[0]
	g.waiting[0] = nil // so that its message is freed
	g.waiting = g.waiting[1:]
	g.inside = append(g.inside, w.call)
	g.admitted = w.call
	close(w.granted)
}

// arrived notes that c has its turn to be written.
func (g *gate) arrived(c *call) {
	if g.admitted == c {
		g.admitted = nil
		g.admit()
	}
}

// forget removes w from the queue, or from inside if it has just passed.
func (g *gate) forget(w *waiter) {
	if i := slices.Index(g.waiting, w); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		return
	}
	g.leave(w.call)
}
