package group

import "github.com/goqmp/qmp/async"

// An Event is an event of a member.
type Event struct {
	Member string // the name of the member that sent it
	async.Event
}

// ListenerOptions configures an [EventListener]. A nil *ListenerOptions, like the zero
// value, listens to all members, and keeps DefaultLimit unread events of each.
type ListenerOptions struct {
	// Select chooses the members: the listener hears those for whose names it returns
	// true. It is called when the listener is made, and for each member that joins
	// later. Nil chooses all.
	Select func(name string) bool

	// Filter decides which events are queued. Nil queues all. The connection of the
	// member reads nothing while it runs: it must return at once, and must not call
	// methods of the group, the listener or the member. It is called for several
	// members at the same time.
	Filter func(Event) bool

	// Limit is how many unread events are kept of each member. When there are more, the
	// oldest of that member is dropped, and the reader gets a notice with its name and
	// an *async.OverflowError. Zero means DefaultLimit. A negative number means no
	// limit.
	Limit int
}

// DefaultLimit is how many unread events of each member a listener keeps, unless Limit in
// [ListenerOptions] says otherwise.
const DefaultLimit = 1000

// heard returns what has the listeners of a machine, or nil.
func heard(machine any) source {
	switch m := machine.(type) {
	case source:
		return m
	case hasClient:
		if c := m.Client(); c != nil {
			return c
		}
	}
	return nil
}

// hasClient is a machine with a client, such as *machine.Machine.
type hasClient interface{ Client() *async.Client }

// A source makes listeners, as *async.Client does.
type source interface {
	NewListener(opts *async.ListenerOptions, names ...string) *async.EventListener
}
