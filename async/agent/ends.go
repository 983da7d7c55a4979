package agent

import (
	"sync"

	"github.com/goqmp/qmp/async"
)

// ends tells of the ends of connections.
type ends struct {
	mu   sync.Mutex    // guards the fields below
	next chan struct{} // closed at the next end, and replaced
	why  error         // why the last connection ended
}

func (e *ends) init() { e.next = make(chan struct{}) }

// note runs inside the engine, when a connection has ended.
func (e *ends) note(end async.TraceEnded) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.why = end.Err
	if e.why == nil {
		e.why = async.ErrClosed
	}
	close(e.next)
	e.next = make(chan struct{})
}

// watch returns a channel that is closed at the next end.
func (e *ends) watch() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.next
}

// last returns why the last connection ended.
func (e *ends) last() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.why
}
