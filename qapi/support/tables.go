package support

import (
	"context"

	"github.com/goqmp/qmp/async"
)

// A CommandInfo describes a command.
type CommandInfo struct {
	Name       string // such as "query-status"
	Since      string // the first release, "" if unknown
	Removed    string // the first release without it, "" if the newest has it
	Deprecated string // the first release that deprecates it, "" if none does, "unknown" if it is not known

	OOB            bool // it may be executed out of band
	NoSuccessReply bool // it is answered only if it is refused

	NewArguments func() any // a pointer to empty arguments; nil if it takes none
	NewResult    func() any // a pointer to an empty result; nil if it has none
}

// An EventInfo describes an event.
type EventInfo struct {
	Name       string // such as "JOB_STATUS_CHANGE"
	Since      string
	Removed    string
	Deprecated string

	New func() any // a pointer to empty data
}

// An Event is the data of an event: a pointer to one of the generated structs.
type Event interface{ EventName() string }

// EventOf is a pointer to the struct E of an event.
type EventOf[E any] interface {
	*E
	Event
}

// DecodeEvent decodes the data of ev into data and returns that. Without data it
// returns ev.
func DecodeEvent(ev async.Event, data Event) (any, error) {
	if data == nil {
		return ev, nil
	}
	if err := ev.Decode(data); err != nil {
		return nil, err
	}
	return data, nil
}

// WaitEvent reads l up to an event of E for which match, unless nil, returns true.
func WaitEvent[E any, P EventOf[E]](ctx context.Context, l *async.EventListener, match func(P) bool) (P, error) {
	for {
		ev, err := l.Next(ctx)
		if err != nil {
			return nil, err
		}
		data := P(new(E))
		if ev.Name != data.EventName() {
			continue
		}
		if err := ev.Decode(data); err != nil {
			return nil, err
		}
		if match == nil || match(data) {
			return data, nil
		}
	}
}
