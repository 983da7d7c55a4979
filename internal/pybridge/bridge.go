// Package pybridge lets a program in another language call package legacy. Requests
// and results are JSON texts. compat/pybridge exports it as a C library, and has the
// Python module that calls it.
//
// A request names what it does (op), and the object that it is for. [Bridge.Start]
// begins it and returns a ticket; [Bridge.Take] returns its result:
//
//	{"op": "new", "address": "/run/vm1.qmp"}                    {"value": 1}
//	{"op": "connect", "object": 1, "negotiate": true}           {"value": {"QMP": ...}}
//	{"op": "execute", "object": 1,
//	 "message": {"execute": "stop"}, "timeout": 1.5}            {"value": {"return": {}, "id": 1}}
//	{"op": "execute", "object": 2, "message": ...}              {"error": {"class": "StateError", ...}}
//
// Replies, events and the greeting are in the result as they came from the server, so
// that the caller gets the order of the members and every number as it was sent.
package pybridge

import (
	"context"
	"sync"

	"github.com/goqmp/qmp/legacy"
)

// A Bridge has the objects that the other program has made, and its calls. The zero
// value is ready to use. All methods may be called concurrently.
type Bridge struct {
	mu      sync.Mutex                             // guards the fields below; never held during a call
	last    uint64                                 // the last number that was given to an object or a call
	objects map[uint64]*legacy.QEMUMonitorProtocol // until "release"
	calls   map[uint64]*call                       // until Take
}

// A call is one request.
type call struct {
	cancel context.CancelFunc
	done   chan struct{} // closed after result is set and the other program has been told
	result []byte
}

// Start begins the request and returns the ticket of the call. When the call is over,
// finished is called with the ticket, in another goroutine. Take waits until it has
// returned.
func (b *Bridge) Start(text []byte, finished func(ticket uint64)) uint64 {
	ctx, cancel := context.WithCancel(context.Background())
	c := &call{cancel: cancel, done: make(chan struct{})}
	b.mu.Lock()
	b.last++
	ticket := b.last
	if b.calls == nil {
		b.calls = make(map[uint64]*call)
	}
	b.calls[ticket] = c
	b.mu.Unlock()

	go func() {
		defer cancel()
		value, err := b.run(ctx, text)
		c.result = result(value, err)
		finished(ticket)
		close(c.done)
	}()
	return ticket
}

// Take waits for the end of the call and returns its result, once: the ticket is not
// valid after that. For a ticket that is not valid it returns nil.
func (b *Bridge) Take(ticket uint64) []byte {
	b.mu.Lock()
	c := b.calls[ticket]
	delete(b.calls, ticket)
	b.mu.Unlock()
	if c == nil {
		return nil
	}
	<-c.done
	return c.result
}

// Cancel ends a call early. Take has to be called after it, too. A command that has
// not been sent is not sent, and a wait for an event leaves the queue as it is, unless
// the call was over already: then the result has the reply or the event.
func (b *Bridge) Cancel(ticket uint64) {
	b.mu.Lock()
	c := b.calls[ticket]
	b.mu.Unlock()
	if c != nil {
		c.cancel()
	}
}

// add puts an object into the table and returns its number.
func (b *Bridge) add(q *legacy.QEMUMonitorProtocol) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	if b.objects == nil {
		b.objects = make(map[uint64]*legacy.QEMUMonitorProtocol)
	}
	b.objects[b.last] = q
	return b.last
}

// object returns the object with the number, or nil.
func (b *Bridge) object(number uint64) *legacy.QEMUMonitorProtocol {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.objects[number]
}

// Len returns how many objects and calls there are.
func (b *Bridge) Len() (objects, calls int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.objects), len(b.calls)
}
