package machine

import (
	"cmp"
	"slices"
)

// A line has events in the order in which they came. An event that was taken stays in
// its place for a while. At most half of the events are such ones, and never the first or
// the last, so that each method takes constant time in the mean, after a binary search.
type line struct {
	events []placed // sorted by seq
	taken  int      // how many of them were taken
}

// A placed is an event in a line. The events after it whose seq is below skip were taken:
// whoever has passed them once notes it, and need not pass them again.
type placed struct {
	*event
	skip uint64
}

func (l *line) add(ev *event) { l.events = append(l.events, placed{event: ev}) }

// index returns the index of the first event whose seq is seq or more.
func (l *line) index(seq uint64) int {
	i, _ := slices.BinarySearchFunc(l.events, seq, func(p placed, seq uint64) int { return cmp.Compare(p.seq, seq) })
	return i
}

// len returns how many events were not taken.
func (l *line) len() int { return len(l.events) - l.taken }

// after returns the oldest event that was not taken and whose seq is above seen, or nil.
func (l *line) after(seen uint64) *event {
	if l.len() > 0 && l.events[0].seq > seen {
		return l.events[0].event
	}
	first := l.index(seen + 1)
	for i := first; i < len(l.events); {
		switch p := l.events[i]; {
		case !p.taken:
			l.events[first].skip = p.seq
			return p.event
		case p.skip > p.seq:
			i = l.index(p.skip)
		default:
			i++
		}
	}
	return nil
}

// newest returns the last n events that were not taken, oldest first.
func (l *line) newest(n int) []*event {
	var last []*event
	for i := len(l.events) - 1; i >= 0 && len(last) < n; i-- {
		if !l.events[i].taken {
			last = append(last, l.events[i].event)
		}
	}
	slices.Reverse(last)
	return last
}

// rest returns all events that were not taken. The line must not be used after that.
func (l *line) rest() []placed {
	return slices.DeleteFunc(l.events, func(p placed) bool { return p.taken })
}

// left notes that one more event of the line was taken.
func (l *line) left() {
	l.taken++
	for len(l.events) > 0 && l.events[0].taken {
		l.events[0] = placed{} // so that it is freed
		l.events = l.events[1:]
		l.taken--
	}
	for n := len(l.events); n > 0 && l.events[n-1].taken; n-- {
		l.events[n-1] = placed{}
		l.events = l.events[:n-1]
		l.taken--
	}
	if l.taken > len(l.events)/2 {
		l.events, l.taken = l.rest(), 0
	}
	if len(l.events) == 0 {
		l.events = nil // so that the memory of a burst of events is freed
	}
}
