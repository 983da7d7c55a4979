package async

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net"

	"github.com/goqmp/qmp/internal/proto"
)

// Options configures a [Client]. A nil *Options, like the zero value, suits a
// QEMU monitor.
type Options struct {
	// Nickname is the client's name in the log, and in errors about its state, its
	// connection and its calls ([StateError], [ConnectError],
	// [ExecInterruptedError], [EventWaitError]). It may be empty.
	Nickname string

	// Logger receives the log: each message at debug, with known secrets masked; a
	// message that is dropped at warn, at most ten in a minute on one connection, and then how many more
	// there were; an orderly end at info; a failure at error, once. Nil logs nothing.
	Logger *slog.Logger

	// Dialer makes the connection, in place of a dial to the address given to
	// Connect. That address then only names the connection in errors. Use a Dialer
	// for TLS ([DialTLS]), for a monitor that is reached through a proxy or SSH, or for a guest agent that
	// must be resynchronized first. It must return when its context ends. Closing the connection that it returns must end
	// reads and writes that are being made.
	Dialer func(ctx context.Context) (net.Conn, error)

	// AcceptTLS makes Accept speak TLS, as the TLS server, with the server that connects: a
	// QEMU whose chardev has server=off and tls-creds with endpoint=client. It needs
	// Certificates. To accept only a QEMU that shows a certificate, set ClientAuth to
	// tls.RequireAndVerifyClientCert, and ClientCAs. Nil means no TLS. For Connect see
	// [DialTLS]; Attach takes a connection as it is.
	AcceptTLS *tls.Config

	// Backoff makes Connect dial again, within its context, while the server is not
	// there yet: the socket does not exist, no program listens there, or the queue is
	// full. It returns the policy, such as Every(50*time.Millisecond) or
	// Exponential(). Each Connect calls it once, so clients may share Options. Connect
	// returns any other failure at once. Nil, like a nil policy, dials once, or means
	// Exponential() if Reconnect is set.
	Backoff func() Backoff

	// Reconnect makes the client connect again by itself when the connection has ended
	// unexpectedly, by the same policy. Nil does not. See [Reconnect].
	Reconnect *Reconnect

	// Keepalive makes the client watch the server, with probes if it sends nothing, and
	// tell when its [Health] changes. Nil sends no probes.
	Keepalive *Keepalive

	// MaxMessage limits one message in either direction, in bytes. Zero means 80 MiB,
	// enough for a guest-file-read of 48 MiB, the largest reply that a program of
	// QEMU's limits by itself. Other replies have no limit, such as ringbuf-read of a
	// large buffer, and may need more. A negative number means no limit. Decoding a
	// message to maps may take 50 times its size; a message with more than 2,097,152
	// values is not decoded (the error is a MessageError; Raw has it). A message to
	// be sent has to be smaller than 64 MiB in any case, since QEMU does not read a
	// larger one.
	MaxMessage int

	// SkipGreeting is set for a server that does not greet, such as the guest agent.
	// If a greeting comes nevertheless, it is dropped.
	SkipGreeting bool

	// SkipNegotiation is set for a server that does not have qmp_capabilities, such
	// as the guest agent. The client does not send it then.
	SkipNegotiation bool

	// NoOOB keeps out-of-band execution disabled, even if the server offers it. All
	// commands are sent at once then, however many are unanswered.
	NoOOB bool

	// Tracers see every connect, every message in either direction, and every end.
	// They are called in the order of the slice. See [Tracer].
	Tracers []*Tracer

	// OnSend and OnReceive are called with every message. They return nil to leave
	// it as it is, or another JSON object, which replaces it. The bytes belong to the
	// engine: copy what you keep. Secrets are not masked. The connection waits while
	// they run: they must return at once, and must not call methods of this client
	// (to close it: go c.Close()). Nil leaves all messages as they are.
	OnSend, OnReceive func(message json.RawMessage) json.RawMessage
}

// maxMessage returns the limit of a received message in bytes; a negative number
// means no limit.
func (o *Options) maxMessage() int {
	if o.MaxMessage == 0 {
		return proto.DefaultMaxMessage
	}
	return o.MaxMessage
}

// maxSend returns the limit of a message to be sent, in bytes.
func (o *Options) maxSend() int {
	if o.MaxMessage <= 0 || o.MaxMessage > proto.MaxSend {
		return proto.MaxSend
	}
	return o.MaxMessage
}
