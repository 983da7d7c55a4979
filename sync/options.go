package qmpsync

import (
	"context"
	"time"

	"github.com/goqmp/qmp/async"
)

// The defaults of [Options].
const (
	DefaultConnectLimit = 15 * time.Second
	DefaultCloseLimit   = 5 * time.Second
	DefaultCommandLimit = 6 * time.Hour
	DefaultEventLimit   = 1000
)

// Options configures a [Client]. A nil *Options, like the zero value, suits a
// QEMU monitor.
type Options struct {
	// Async configures the client of the floor below. [Wrap], which is given
	// one, does not look at it.
	Async async.Options

	// ConnectLimit is how long Dial, Connect, Attach and Listen may take,
	// greeting and negotiation included. Zero means 15 seconds; a negative
	// number means no limit.
	ConnectLimit time.Duration

	// CloseLimit is how long Disconnect waits for the peer to take what is
	// being written. Zero means 5 seconds; a negative number means no limit.
	CloseLimit time.Duration

	// CommandLimit is how long each command, and SendFiles, may take until
	// [Client.SetTimeout] says otherwise. Zero means 6 hours; a negative number
	// means no limit.
	//
	// It is there so that a QEMU which is stopped or stuck does not hold its
	// caller up for ever, and is longer than any command of a healthy one. What
	// takes longest is what copies a guest's memory or a disk within one command:
	// dump-guest-memory without detach, or savevm and commit of the human monitor.
	// In 6 hours a slow disk, of 100 MB a second, takes 2 TB.
	CommandLimit time.Duration

	// EventLimit is how many unread events are kept in Client.Events. Beyond
	// it the oldest are dropped. Zero means 1000; a negative number means no
	// limit.
	EventLimit int
}

// limit turns a setting into the limit of a call: 0 is none.
func limit(setting, usual time.Duration) time.Duration {
	switch {
	case setting < 0:
		return 0
	case setting == 0:
		return usual
	}
	return setting
}

// listener returns the options of Client.Events.
func (o *Options) listener() *async.ListenerOptions {
	switch {
	case o.EventLimit < 0:
		return nil
	case o.EventLimit == 0:
		return &async.ListenerOptions{Limit: DefaultEventLimit}
	}
	return &async.ListenerOptions{Limit: o.EventLimit}
}

// A timeLimit is how long a call may take: d as SetTimeout has it, and what set
// it, for the error.
type timeLimit struct {
	d      time.Duration
	option string
}

func (o *Options) connectLimit() timeLimit {
	return timeLimit{limit(o.ConnectLimit, DefaultConnectLimit), "qmpsync.Options.ConnectLimit"}
}

func (o *Options) closeLimit() timeLimit {
	return timeLimit{limit(o.CloseLimit, DefaultCloseLimit), "qmpsync.Options.CloseLimit"}
}

func (o *Options) commandLimit() timeLimit {
	return timeLimit{limit(o.CommandLimit, DefaultCommandLimit), "qmpsync.Options.CommandLimit"}
}

// within returns a context for a call whose time limit is l: a d of 0 is none, and
// a negative one has expired. The timer of such a context is no goroutine.
func within(op string, l timeLimit) (context.Context, context.CancelFunc) {
	if l.d == 0 {
		return context.Background(), func() {}
	}
	return context.WithTimeoutCause(context.Background(), l.d, &async.TimeoutError{Op: op, Limit: max(l.d, 0), Option: l.option})
}
