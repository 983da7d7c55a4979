package machine

import "container/list"

// waiters are the calls that wait at an eventQueue. eventQueue.mu guards them.
type waiters struct {
	named map[string]map[*eventWaiter]struct{} // those that wait for events with a name; no map is empty
	any   list.List                            // of *eventWaiter: those that take any event, in the order in which they came
	none  map[*eventWaiter]struct{}            // those that wait for the end alone
}

// An eventWaiter is one call that waits.
type eventWaiter struct {
	wake  chan struct{} // has room for one
	names []string      // what it waits for
	place *list.Element // in waiters.any; nil if it is not there
}

// tell wakes the call.
func (me *eventWaiter) tell() {
	select {
	case me.wake <- struct{}{}:
	default: // it has been told already
	}
}

// join adds a call that waits for what is wanted.
func (ws *waiters) join(w wanted) *eventWaiter {
	me := &eventWaiter{wake: make(chan struct{}, 1), names: w.names()}
	switch {
	case w.all:
		me.place = ws.any.PushBack(me)
	case len(me.names) == 0:
		if ws.none == nil {
			ws.none = make(map[*eventWaiter]struct{})
		}
		ws.none[me] = struct{}{}
	}
	for _, name := range me.names {
		if ws.named == nil {
			ws.named = make(map[string]map[*eventWaiter]struct{})
		}
		if ws.named[name] == nil {
			ws.named[name] = make(map[*eventWaiter]struct{})
		}
		ws.named[name][me] = struct{}{}
	}
	return me
}

// leave removes a call, which looks for its event after that: it may have been told of
// one, and nobody else then was.
func (ws *waiters) leave(me *eventWaiter) {
	if me.place != nil {
		ws.any.Remove(me.place)
	}
	delete(ws.none, me)
	for _, name := range me.names {
		delete(ws.named[name], me)
		if len(ws.named[name]) == 0 {
			delete(ws.named, name)
		}
	}
}

// tell wakes all calls that wait for events with that name, since their patterns may
// differ. Of those that take any event it wakes only one, and each event wakes another
// one.
func (ws *waiters) tell(name string) {
	for me := range ws.named[name] {
		me.tell()
	}
	if first := ws.any.Front(); first != nil {
		me := ws.any.Remove(first).(*eventWaiter)
		me.place = nil
		me.tell()
	}
}

// tellAll wakes all calls.
func (ws *waiters) tellAll() {
	for _, calls := range ws.named {
		for me := range calls {
			me.tell()
		}
	}
	for me := range ws.none {
		me.tell()
	}
	for e := ws.any.Front(); e != nil; e = e.Next() {
		e.Value.(*eventWaiter).tell()
	}
}
