package interactive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/notices"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
)

// heard is called by the connection when there are events.
func (s *Shell) heard() {
	if s.drained.CompareAndSwap(false, true) {
		s.box.post(func() {
			s.drain()
			s.ask()
		})
	}
}

// mostKept is how many events the command events can show.
const mostKept = 1000

// mostPrinted is how many events are printed at a time. More come only in a flood, in
// which nobody could read them.
const mostPrinted = 200

// drain takes all events that have come, and prints them.
func (s *Shell) drain() {
	s.drained.Store(false)
	var lines []string
	shown, more := 0, 0
	for {
		ev, ok, err := s.events.TryNext()
		if err != nil {
			var lost *async.OverflowError
			if errors.As(err, &lost) {
				s.board.Gap()
				lines = append(lines, s.style.bad(fmt.Sprintf("%d events were lost: they came faster than they could be printed", lost.Lost)))
			}
			continue
		}
		if !ok {
			break
		}
		s.ring = append(s.ring, ev)
		if len(s.ring) > 2*mostKept {
			s.ring = slices.Clone(s.ring[len(s.ring)-mostKept:])
		}
		news := s.board.Event(ev)
		wanted := s.filter.shows(ev.Name)
		if wanted && shown < mostPrinted {
			shown++
			lines = append(lines, s.eventText(ev, news))
			continue
		}
		if wanted {
			more++
		}
		for _, n := range news {
			lines = append(lines, s.stamp(ev.Timestamp)+s.noticeText(n))
		}
	}
	if more > 0 {
		lines = append(lines, s.style.dim(fmt.Sprintf("%d more events; /events %d shows the last ones", more, min(more, mostKept))))
	}
	if len(lines) > 0 {
		s.print(strings.Join(lines, "\n"))
	}
}

// eventText returns an event, and what it means, in one line.
func (s *Shell) eventText(ev async.Event, news []notices.Notice) string {
	text := s.stamp(ev.Timestamp) + s.style.bold(oneLine(ev.Name))
	if data := compact(ev.Data); data != "" && data != "{}" {
		text += " " + string(s.compactPrinter().Format([]byte(data)))
	}
	for _, n := range news {
		text += "  " + s.style.dim("·") + " " + s.noticeText(n)
	}
	return text
}

// stamp returns the time of an event, for the beginning of its line.
func (s *Shell) stamp(t time.Time) string {
	if t.IsZero() {
		t = time.Now()
	}
	return s.style.dim(t.Local().Format(time.TimeOnly)) + " "
}

// say prints a notice.
func (s *Shell) say(n notices.Notice) { s.print(s.stamp(time.Time{}) + s.noticeText(n)) }

func (s *Shell) sayAll(all []notices.Notice) {
	for _, n := range all {
		s.say(n)
	}
}

func (s *Shell) noticeText(n notices.Notice) string {
	if n.Bad {
		return s.style.bad(oneLine(n.Text))
	}
	return s.style.good(oneLine(n.Text))
}

// compact returns JSON on one line.
func compact(data json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, data) != nil {
		return ""
	}
	return b.String()
}

// oneLine returns text of a machine, in one line that does a terminal no harm.
func oneLine(text string) string {
	return output.Text(strings.Join(strings.Fields(text), " "))
}

// A filter says which events are printed.
type filter struct {
	on   bool
	only []string // patterns; none is all
	hide []string // patterns
}

func allEvents() filter { return filter{on: true} }

// usualEvents hides the events of which a job sends up to ten: a bar shows what they say.
func usualEvents() filter { return filter{on: true, hide: []string{"JOB_STATUS_CHANGE"}} }

// shows reports whether the events of that name are printed.
func (f filter) shows(name string) bool {
	matches := func(pattern string) bool { ok, _ := path.Match(pattern, name); return ok }
	return f.on && (len(f.only) == 0 || slices.ContainsFunc(f.only, matches)) && !slices.ContainsFunc(f.hide, matches)
}

// String returns what the filter does, for people.
func (f filter) String() string {
	switch {
	case !f.on:
		return "no events are printed"
	case len(f.only) > 0 && len(f.hide) > 0:
		return "the events " + strings.Join(f.only, ", ") + " are printed, but not " + strings.Join(f.hide, ", ")
	case len(f.only) > 0:
		return "only the events " + strings.Join(f.only, ", ") + " are printed"
	case len(f.hide) > 0:
		return "all events but " + strings.Join(f.hide, ", ") + " are printed"
	}
	return "all events are printed"
}

// set changes the filter by the words after the command events.
func (f filter) set(words []string) (filter, error) {
	for _, word := range words {
		name, hide := strings.CutPrefix(word, "-")
		if !hide {
			name = strings.TrimPrefix(word, "+")
		}
		name = strings.ToUpper(name)
		if _, err := path.Match(name, ""); err != nil || name == "" {
			return f, fmt.Errorf("%s is not a pattern for names of events, such as BLOCK_JOB_*", word)
		}
		switch {
		case name == "ON" && len(words) == 1:
			return allEvents(), nil
		case name == "OFF" && len(words) == 1:
			return filter{}, nil
		}
	}
	next := filter{on: true, hide: slices.Clone(f.hide)}
	for _, word := range words {
		if name, hide := strings.CutPrefix(strings.ToUpper(word), "-"); hide {
			next.hide = append(next.hide, name)
		} else {
			name = strings.TrimPrefix(name, "+")
			next.only = append(next.only, name)
			next.hide = slices.DeleteFunc(next.hide, func(h string) bool { return h == name })
		}
	}
	if len(next.only) == 0 {
		next.only = f.only
	}
	slices.Sort(next.hide)
	next.hide = slices.Compact(next.hide)
	return next, nil
}
