package machine

import (
	"cmp"
	"slices"
)

// A line has events in the order in which they came. An event that was taken stays in
// its place for a while. At most half of the events are such ones, and never the first or
// the last, so that each method takes constant time in the mean, after a binary search.
type line struct {
	events []*event // sorted by seq
	taken  int      // how many of them were taken
}

func (l *line) add(ev *event) { l.events = append(l.events, ev) }

// len returns how many events were not taken.
func (l *line) len() int { return len(l.events) - l.taken }

// after returns the oldest event that was not taken and whose seq is above seen, or nil.
func (l *line) after(seen uint64) *event {
	if l.len() > 0 && l.events[0].seq > seen {
		return l.events[0]
	}
	i, _ := slices.BinarySearchFunc(l.events, seen+1, func(ev *event, seq uint64) int { return cmp.Compare(ev.seq, seq) })
	for ; i < len(l.events); i++ {
		if !l.events[i].taken {
			return l.events[i]
		}
	}
	return nil
}

// newest returns the last n events that were not taken, oldest first.
func (l *line) newest(n int) []*event {
	var last []*event
	for i := len(l.events) - 1; i >= 0 && len(last) < n; i-- {
		if !l.events[i].taken {
			last = append(last, l.events[i])
		}
	}
	slices.Reverse(last)
	return last
}

// rest returns all events that were not taken. The line must not be used after that.
func (l *line) rest() []*event {
	return slices.DeleteFunc(l.events, func(ev *event) bool { return ev.taken })
}

// left notes that one more event of the line was taken.
func (l *line) left() {
	l.taken++
	for len(l.events) > 0 && l.events[0].taken {
		l.events[0] = nil // so that it is freed
		l.events = l.events[1:]
		l.taken--
	}
	for n := len(l.events); n > 0 && l.events[n-1].taken; n-- {
		l.events[n-1] = nil
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
