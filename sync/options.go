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
	// Async configures the client of package async that [New] and [Dial] make. Its
	// Reconnect makes the client connect again by itself.
	// [Wrap] uses only its Nickname, to name the client in the errors of
	// WaitEvent.
	Async async.Options

	// ConnectLimit is how long Dial, Connect, Attach and Listen may take,
	// greeting and negotiation included. Zero means 15 seconds; a negative
	// number means no limit.
	ConnectLimit time.Duration

	// CloseLimit is how long Disconnect waits for the peer to take the message
	// that is being written. Zero means 5 seconds; a negative number means no
	// limit.
	CloseLimit time.Duration

	// CommandLimit is how long each command, Quit and SendFiles may take, unless
	// [Client.SetTimeout] sets another limit. Zero means 6 hours; a negative
	// number means no limit.
	//
	// Without a limit, a QEMU that is stopped or stuck would block its caller for
	// ever. The default is longer than any command of a healthy QEMU takes. The
	// longest commands copy the guest's memory or a disk: dump-guest-memory without
	// detach, or savevm and commit of the human monitor. In 6 hours a slow disk,
	// which writes 100 MB a second, takes 2 TB.
	CommandLimit time.Duration

	// EventLimit is how many unread events [Client.Events] keeps. When there are
	// more, it drops the oldest. Zero means 1000; a negative number means no limit.
	EventLimit int
}

// limit returns the limit of a call for a setting of Options: the result 0 means no
// limit.
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

// A timeLimit is how long a call may take.
type timeLimit struct {
	d      time.Duration // 0 means no limit; a negative one has expired
	option string        // the option or call that set d, for the error; "" if it is the call's argument
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

// within returns a context for a call whose time limit is l. The context's timer
// needs no goroutine.
func within(op string, l timeLimit) (context.Context, context.CancelFunc) {
	if l.d == 0 {
		return context.Background(), func() {}
	}
	return context.WithTimeoutCause(context.Background(), l.d, &async.TimeoutError{Op: op, Limit: max(l.d, 0), Option: l.option})
}
