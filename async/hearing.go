package async

import (
	"slices"
	"sync"

	"github.com/goqmp/qmp/internal/proto"
)

// hearing has the listeners of a client, by the names of the events that they are for,
// and gives events to them. The zero hearing has none.
type hearing struct {
	mu     sync.Mutex // guards the fields below; may be locked with Client.mu held, and never the other way round
	all    listeners  // those for every name
	byName map[string]*listeners
	named  listeners // those in byName, each once

	names map[string]string // the text of names of events in JSON; see text
}

// maxNames is how many names of events hearing.names has at most, and maxName how long
// one of them is.
const (
	maxNames = 256
	maxName  = 64
)

// arrivals are events that have come and that no listener has yet. They belong to readLoop.
type arrivals struct {
	events []proto.EventParts
	kept   []*heard    // used by hear only
	puts   []arrivedAt // used by hear only
}

// arrivedAt says that the events kept[from:to] are for a listener.
type arrivedAt struct {
	listener *EventListener
	from, to int
}

// keepArrivals is how many elements the slices of arrivals may have to be kept for the
// next events.
const keepArrivals = 32

// heard is an event that listeners share. It does not change.
type heard struct {
	parts   proto.EventParts
	name    string
	session uint64
}

// event returns the event for a caller.
func (h *heard) event() Event {
	return Event{
		Name: h.name, Data: h.parts.Data(), Timestamp: proto.ParseTimestamp(h.parts.Timestamp()),
		Session: h.session, raw: h.parts.Raw,
	}
}

// listeners are listeners in no order. Each knows its index, so adding and removing one
// takes the same time, however many there are.
type listeners []heardBy

// heardBy is a listener, and where its index in the list is kept.
type heardBy struct {
	*EventListener
	index *int
}

func (s *listeners) add(l *EventListener, index *int) {
	*index = len(*s)
	*s = append(*s, heardBy{l, index})
}

// remove removes the listener at *index, which is -1 after that.
func (s *listeners) remove(index *int) {
	old := *s
	last := len(old) - 1
	old[*index] = old[last]
	*old[*index].index = *index
	*index = -1
	old[last] = heardBy{}
	*s = old[:last]
}

// add adds l.
func (h *hearing) add(l *EventListener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.names == nil {
		h.all.add(l, &l.index)
		return
	}
	h.named.add(l, &l.index)
	if h.byName == nil {
		h.byName = make(map[string]*listeners)
	}
	for name, index := range l.names {
		if h.byName[name] == nil {
			h.byName[name] = new(listeners)
		}
		h.byName[name].add(l, index)
	}
}

// remove removes l, which may have been removed before.
func (h *hearing) remove(l *EventListener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.index < 0 {
		return
	}
	if l.names == nil {
		h.all.remove(&l.index)
		return
	}
	h.named.remove(&l.index)
	for name, index := range l.names {
		if h.byName[name].remove(index); len(*h.byName[name]) == 0 {
			delete(h.byName, name)
		}
	}
}

// each calls f for each listener.
func (h *hearing) each(f func(*EventListener)) {
	h.mu.Lock()
	all := slices.Concat(h.all, h.named)
	h.mu.Unlock()
	for _, l := range all {
		f(l.EventListener)
	}
}

// hear puts the events of a, which came in this order, into the queues of the listeners
// that want them.
//
// Lower half: runs on readLoop.
func (h *hearing) hear(session uint64, a *arrivals) {
	h.sort(session, a)
	for _, p := range a.puts {
		p.listener.put(a.kept[p.from:p.to])
	}
	clear(a.events)
	clear(a.kept)
	clear(a.puts)
	a.events, a.kept, a.puts = a.events[:0], a.kept[:0], a.puts[:0]
	if cap(a.events) > keepArrivals || cap(a.puts) > keepArrivals {
		*a = arrivals{} // so that an idle connection needs little memory
	}
}

// sort decides who gets which events. The bytes of an event are copied, once for all
// listeners, if a listener is for its name.
func (h *hearing) sort(session uint64, a *arrivals) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.all) == 0 && len(h.byName) == 0 {
		return
	}
	size := 0 // of the events from i on
	for i := range a.events {
		size += len(a.events[i].Raw)
	}
	var block []heard // memory for several events, and for their bytes
	var room []byte
	for i := range a.events {
		rest := size
		size -= len(a.events[i].Raw)
		name := h.text(a.events[i].Name(), len(a.events) > 1)
		if len(h.all) == 0 && h.byName[name] == nil {
			continue
		}
		if len(block) == 0 {
			block = make([]heard, min(len(a.events)-i, 8))
		}
		e := &block[0]
		block = block[1:]
		*e = heard{parts: a.events[i], name: name, session: session}
		room = e.parts.Keep(room, rest)
		a.kept = append(a.kept, e)
	}
	for _, l := range h.all {
		a.puts = append(a.puts, arrivedAt{l.EventListener, 0, len(a.kept)})
	}
	for from, to := 0, 0; len(h.byName) > 0 && from < len(a.kept); from = to {
		name := a.kept[from].name
		for to = from + 1; to < len(a.kept) && a.kept[to].name == name; {
			to++
		}
		if of := h.byName[name]; of != nil {
			for _, l := range *of {
				a.puts = append(a.puts, arrivedAt{l.EventListener, from, to})
			}
		}
	}
}

// text returns the name of an event, or "" if value is not a string. In a burst of events
// it notes the name, so that the next event with this name needs no memory for it. mu is
// held.
func (h *hearing) text(value []byte, burst bool) string {
	if name, ok := h.names[string(value)]; ok {
		return name
	}
	name, _ := proto.Text(value)
	if burst && len(value) <= maxName && len(h.names) < maxNames {
		if h.names == nil {
			h.names = make(map[string]string)
		}
		h.names[string(value)] = name
	}
	return name
}
