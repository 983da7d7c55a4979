package support

import (
	"context"

	"github.com/goqmp/qmp/async"
)

// A CommandInfo describes a command.
type CommandInfo struct {
	Name       string // such as "query-status"
	Since      string // the first release that has the command; "" if that is not known
	Removed    string // the first release without it; "" if the newest has it
	Deprecated string // the first release that deprecates it; "" if none does, "unknown" if one does and it is not known which

	OOB            bool // whether the command may be executed out of band
	NoSuccessReply bool // whether the server replies only if it refuses the command

	NewArguments func() any // returns a pointer to empty arguments; nil if the command takes none
	NewResult    func() any // returns a pointer to an empty result; nil if the command has none
}

// An EventInfo describes an event. Since, Removed and Deprecated are as in
// [CommandInfo].
type EventInfo struct {
	Name       string // such as "JOB_STATUS_CHANGE"
	Since      string
	Removed    string
	Deprecated string

	New func() any // returns a pointer to empty data
}

// An Event is the data of an event: a pointer to one of the generated structs.
type Event interface{ EventName() string }

// EventOf is the constraint for a pointer to E, the struct of an event's data.
type EventOf[E any] interface {
	*E
	Event
}

// DecodeEvent decodes the data of ev into data and returns data. If data is nil, it
// returns ev, an [async.Event].
func DecodeEvent(ev async.Event, data Event) (any, error) {
	if data == nil {
		return ev, nil
	}
	if err := ev.Decode(data); err != nil {
		return nil, err
	}
	return data, nil
}

// WaitEvent reads events from l until one of type E comes for which match returns true,
// and returns its data. It drops the events before that one. With a nil match it
// returns the first event of type E. Errors are those of [async.EventListener.Next] and
// [async.Event.Decode].
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
