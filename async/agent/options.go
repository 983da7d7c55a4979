package agent

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"time"

	"github.com/goqmp/qmp/async"
)

// Options configures a [Client]. A nil *Options, like the zero value, suits most agents.
type Options struct {
	// Engine configures the connection: nickname, logger, dialer, backoff, reconnecting,
	// tracers and the limit of a message. SkipGreeting, SkipNegotiation and NoOOB are always set. A
	// Dialer only connects; the client does the resynchronization over what it returns.
	// OnSend and OnReceive are called as usual.
	Engine async.Options

	// NoReplyWait is how long a command that has no reply if it succeeds, such as
	// guest-shutdown, waits for an error. After that it has succeeded. Zero means 5 s.
	NoReplyWait time.Duration

	// LostAfter is how long a command waits for its reply before the client asks the
	// agent, with guest-sync, whether it answers at all: see [LostReplyError]. Zero means
	// 10 s; a negative number means that the client does not ask.
	LostAfter time.Duration
}

// defaultNoReplyWait is long enough for guest-shutdown: the agent waits for the exit of
// the guest's shutdown program before it reports an error.
const defaultNoReplyWait = 5 * time.Second

func (o *Options) noReplyWait() time.Duration {
	if o.NoReplyWait == 0 {
		return defaultNoReplyWait
	}
	return o.NoReplyWait
}

func (o *Options) lostAfter() time.Duration {
	if o.LostAfter == 0 {
		return 10 * time.Second
	}
	return o.LostAfter
}

// engineOptions returns the options of the engine. dial makes the connection, before the
// resynchronization.
func (c *Client) engineOptions(dial func(context.Context) (net.Conn, error)) *async.Options {
	o := c.opts.Engine
	o.SkipGreeting, o.SkipNegotiation, o.NoOOB = true, true, true
	o.Dialer = func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		if err != nil || conn == nil {
			return nil, err
		}
		kept, err := resync(ctx, conn)
		if err != nil {
			conn.Close()
			return nil, err
		}
		c.wire.reset()
		return withKept(conn, kept), nil
	}
	if o.Reconnect != nil {
		reconnect := *o.Reconnect
		reconnect.OnConnect = c.onConnect(o.Reconnect.OnConnect)
		o.Reconnect = &reconnect
	}
	o.Tracers = append(slices.Clip(o.Tracers), &async.Tracer{Ended: c.ends.note})
	onSend, onReceive := o.OnSend, o.OnReceive
	o.OnSend = func(message json.RawMessage) json.RawMessage {
		return both(message, onSend, c.wire.sent)
	}
	o.OnReceive = func(message json.RawMessage) json.RawMessage {
		return both(message, c.wire.received, onReceive)
	}
	return &o
}

// onConnect returns the function that the engine calls after it has connected. next is the
// caller's own, or nil.
func (c *Client) onConnect(next func(context.Context, async.Caller) error) func(context.Context, async.Caller) error {
	return func(ctx context.Context, caller async.Caller) error {
		if err := c.greet(ctx, caller); err != nil {
			return err
		}
		c.trust.set(false)
		if next == nil {
			return nil
		}
		return next(ctx, caller)
	}
}

// both calls two hooks, one after the other. Each returns a message that replaces the one
// it was given, or nil. second may be nil, and so may first.
func both(message json.RawMessage, first, second func(json.RawMessage) json.RawMessage) json.RawMessage {
	var replaced json.RawMessage
	for _, hook := range []func(json.RawMessage) json.RawMessage{first, second} {
		if hook == nil {
			continue
		}
		if other := hook(message); other != nil {
			message, replaced = other, other
		}
	}
	return replaced
}
