package async

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"

	"github.com/goqmp/qmp/internal/proto"
)

// Options configures a [Client]. A nil *Options, like the zero value, suits a
// QEMU monitor.
type Options struct {
	// Nickname names the client in the log, and in errors about its state, its
	// connection and its calls ([StateError], [ConnectError],
	// [ExecInterruptedError]).
	Nickname string

	// Logger takes the log: a message at debug, with known secrets masked; an
	// orderly end at info; a failure at error, once. Nil logs nothing.
	Logger *slog.Logger

	// Dialer makes the connection in place of the address given to Connect,
	// which then only names it: the one door for TLS, vsock, inherited
	// descriptors, proxies, recorders, the guest agent's resync. It must
	// return when its context ends. Closing the connection that it returns
	// must end reads and writes that are under way.
	Dialer func(ctx context.Context) (net.Conn, error)

	// Backoff returns the policy by which Connect, within its context, dials
	// again while the socket does not exist yet or nobody listens there:
	// Every(50*time.Millisecond), Exponential(), or any other. Each Connect calls
	// it once, so that clients may share the Options. Any other failure is
	// returned at once. Nil, like a nil policy, dials once.
	Backoff func() Backoff

	// MaxMessage limits one message either way, in bytes. Zero means 80 MiB,
	// which takes the largest reply that QEMU's programs bound themselves, a
	// guest-file-read of 48 MiB. What has no bound there, such as ringbuf-read of
	// a large buffer, may need more. A negative number means no limit. In any case
	// nothing of 64 MiB or more is sent, since QEMU does not read it.
	MaxMessage int

	// SkipGreeting does not wait for a greeting, as the guest agent needs. A
	// greeting that comes all the same is dropped.
	SkipGreeting bool

	// SkipNegotiation does not send qmp_capabilities.
	SkipNegotiation bool

	// NoOOB declines out-of-band execution where the server offers it.
	// Commands are then pipelined without a bound of the engine's.
	NoOOB bool

	// Tracers see connects, messages both ways, and ends, each of them, in this
	// order. See [Tracer].
	Tracers []*Tracer

	// OnSend and OnReceive see every message: they may watch it, and return
	// nil, or return another JSON object to take its place. The bytes are the
	// engine's: copy what you keep. They run inside the engine and hold
	// up the connection: return at once, and call nothing of this client (to
	// end it: go c.Close()). Messages are not masked for them.
	OnSend, OnReceive func(message json.RawMessage) json.RawMessage
}

func (o *Options) maxMessage() int {
	if o.MaxMessage == 0 {
		return proto.DefaultMaxMessage
	}
	return o.MaxMessage
}

func (o *Options) maxSend() int {
	if o.MaxMessage <= 0 || o.MaxMessage > proto.MaxSend {
		return proto.MaxSend
	}
	return o.MaxMessage
}
