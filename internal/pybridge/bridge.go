// Package pybridge lets a program in another language call package legacy. Requests
// and results are JSON texts. compat/pybridge exports it as a C library, and has the
// Python module that calls it.
//
// A request names what it does (op), and the object that it is for. [Bridge.Start]
// begins it, and [Bridge.Result] returns its result:
//
//	{"op": "new", "object": 1, "path": "/run/vm1.qmp"}          {"value": null}
//	{"op": "connect", "object": 1, "negotiate": true}           {"value": {"QMP": ...}}
//	{"op": "execute", "object": 1,
//	 "message": {"execute": "stop"}, "timeout": 1.5}            {"value": {"return": {}, "id": 1}}
//	{"op": "execute", "object": 2, "message": ...}              {"error": {"class": "StateError", ...}}
//
// Replies, events and the greeting are in the result as they came from the server, so
// that the caller gets the order of the members and every number as it was sent.
//
// The numbers of calls and objects come from [Bridge.Number], before the request that
// uses them. So the other program knows what it has to give back even if it was
// interrupted, by a signal for example, at any moment of a request.
package pybridge

import (
	"context"
	"sync"

	"github.com/goqmp/qmp/legacy"
)

// A Bridge has the objects that the other program has made, and its calls. The zero
// value is ready to use. All methods may be called concurrently.
type Bridge struct {
	opening sync.Mutex // held while a request makes an object of an open connection, which waits for nothing

	mu      sync.Mutex                             // guards the fields below; never held during a call
	last    uint64                                 // the last number that was given to an object or a call
	objects map[uint64]*legacy.QEMUMonitorProtocol // until "release"
	calls   map[uint64]*call                       // until Forget
}

// A call is one request.
type call struct {
	cancel context.CancelFunc
	done   chan struct{} // closed after result is set and the other program has been told
	result []byte
}

// Number returns a number for a call or an object, which was not returned before.
func (b *Bridge) Number() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	return b.last
}

// Start begins the request under the number. When the call is over, finished is called
// in another goroutine. Result waits until it has returned.
func (b *Bridge) Start(number uint64, text []byte, finished func()) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &call{cancel: cancel, done: make(chan struct{})}
	b.mu.Lock()
	if b.calls == nil {
		b.calls = make(map[uint64]*call)
	}
	b.calls[number] = c
	b.mu.Unlock()

	go func() {
		defer cancel()
		value, err := b.run(ctx, text)
		c.result = result(value, err)
		finished()
		close(c.done)
	}()
}

// Result waits for the end of the call and returns its result. For a number without a
// call it returns nil.
func (b *Bridge) Result(number uint64) []byte {
	c := b.call(number)
	if c == nil {
		return nil
	}
	<-c.done
	return c.result
}

// Cancel ends a call early. A command that has not been sent is not sent, and a wait for
// an event leaves the queue as it is, unless the call was over already: then the result
// has the reply or the event.
func (b *Bridge) Cancel(number uint64) {
	if c := b.call(number); c != nil {
		c.cancel()
	}
}

// Forget cancels the call, whose result nobody wants any more. The channel that it
// returns is closed when the call is over; it is nil if there is no such call.
func (b *Bridge) Forget(number uint64) (done <-chan struct{}) {
	b.mu.Lock()
	c := b.calls[number]
	delete(b.calls, number)
	b.mu.Unlock()
	if c == nil {
		return nil
	}
	c.cancel()
	return c.done
}

// call returns the call with the number, or nil.
func (b *Bridge) call(number uint64) *call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[number]
}

// add puts an object into the table. It reports whether the number was free.
func (b *Bridge) add(number uint64, q *legacy.QEMUMonitorProtocol) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.objects == nil {
		b.objects = make(map[uint64]*legacy.QEMUMonitorProtocol)
	}
	if b.objects[number] != nil {
		return false
	}
	b.objects[number] = q
	return true
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
