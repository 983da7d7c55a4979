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

// within returns a context for a call whose time limit is d: 0 is none, and a
// negative one has expired. The timer of such a context is no goroutine.
func within(op string, d time.Duration) (context.Context, context.CancelFunc) {
	if d == 0 {
		return context.Background(), func() {}
	}
	return context.WithTimeoutCause(context.Background(), d, &async.TimeoutError{Op: op, Limit: max(d, 0)})
}
