package async

import (
	"context"
	"encoding/json"
	"net"
	"sync"
	"sync/atomic"
)

// A Client executes commands of one QMP server and receives its events. It may
// connect again after a connection has ended; its options, listeners and watchers
// stay. The zero Client is ready for use, like New(nil). All methods may be called
// concurrently. A Client must not be copied.
type Client struct {
	opts Options

	hearing hearing // the listeners

	// lastID is the newest of the engine's ids, which count from 1. An id is never
	// used again, not even on a later connection: if a client goes before QEMU has
	// replied, QEMU sends the reply to the next client. There it must not be taken
	// for the reply to another command.
	lastID atomic.Uint64

	sessions atomic.Uint64 // how many sessions the client has had

	mu       sync.Mutex // guards the fields below; held briefly, never across I/O
	stage    *stage     // what the client is doing; only move writes it
	watchers map[*RunstateWatcher]struct{}
	greeting *Greeting  // of the newest session that has done its handshake
	current  uint64     // the number of that session; 0 before
	life     *life      // the present one, or the last one; nil before the first
	queue    entryQueue // calls that wait for a connection, in the order in which they were made
	entering *entry     // the call that goes on, and for which those in the queue wait; nil for none
	waited   uint64     // how many calls have waited for a connection
}

// New returns a client that is idle. Options of nil suit a QEMU monitor. They are
// copied.
func New(opts *Options) *Client {
	c := &Client{}
	if opts != nil {
		c.opts = *opts
		if opts.Reconnect != nil {
			r := *opts.Reconnect
			c.opts.Reconnect = &r
		}
		if opts.Keepalive != nil {
			k := *opts.Keepalive
			c.opts.Keepalive = &k
		}
	}
	return c
}

// Dial is [New] and [Client.Connect] in one call. The errors are those of Connect.
func Dial(ctx context.Context, addr string, opts *Options) (*Client, error) {
	c := New(opts)
	if err := c.Connect(ctx, addr); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Client) name() string { return c.opts.Nickname }

// Runstate returns the client's state at this moment. To follow it without
// missing a change, see [Client.WatchRunstate].
func (c *Client) Runstate() Runstate {
	return c.now().state()
}

// Session returns the number of the present connection, or else of the last one. It
// counts the connections of this client, from 1, those whose handshake failed too. It
// is 0 before the first handshake has succeeded. [Event], [ExecInterruptedError] and
// the functions of a [Tracer] have the same number.
func (c *Client) Session() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// Greeting returns the server's greeting of the present connection, or else of the
// last one. It is nil before the first connection, and if that connection had no
// greeting, because of SkipGreeting in [Options] or of ConnectUnnegotiated.
func (c *Client) Greeting() *Greeting {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.greeting
}

// ListenAddr returns the address at which the client listens. Where Listen was given
// port 0, it has the port that the system chose. It is nil before [Client.Listen],
// and again when [Client.Accept] has a connection or has failed. With
// Options.Reconnect the client listens until it is idle.
func (c *Client) ListenAddr() net.Addr {
	if at := c.now(); at != nil && at.socket != nil {
		return at.socket.Addr()
	}
	return nil
}

// running returns the session of a running client, or else a [*StateError] for a call
// that op describes.
func (c *Client) running(op string) (*session, error) {
	at := c.now()
	if at.activity() != running {
		return nil, c.stateError(op, at, Running)
	}
	return at.session, nil
}

// stateError returns the error of a call that found the client at the stage at, and
// needs another state.
func (c *Client) stateError(op string, at *stage, required Runstate) error {
	return &StateError{Op: op, State: at.state(), Required: required, Client: c.name(), Cause: at.cause()}
}

// Execute executes a command, waits for the reply, and returns the value of its
// return member, as JSON. args is nil for no arguments, or a value that encodes to a
// JSON object: a map, a struct, raw JSON, [Members]. Only ctx limits the wait.
//
// The error is one of these:
//
//   - [*ExecuteError]: the server refused the command.
//   - [*ExecInterruptedError]: ctx ended, or the connection did. It says whether the
//     command was sent. If ctx ended, no other call is affected.
//   - [*MessageError]: the command cannot be encoded, or QEMU could not read it. Nothing
//     was sent.
//   - [*StateError]: the client is not running. Nothing was sent.
//   - [*BadReplyError]: the reply is malformed.
func (c *Client) Execute(ctx context.Context, cmd string, args any) (json.RawMessage, error) {
	return c.value(ctx, Command{Name: cmd, Args: args})
}

// ExecuteOOB is [Client.Execute] out of band (exec-oob; QMP specification,
// "Out-of-band execution"): the server executes the command at once, before the
// commands that it has not finished. Few commands allow that. If out-of-band
// execution is not enabled on the connection, the error is [ErrNoOOB], and nothing is
// sent.
func (c *Client) ExecuteOOB(ctx context.Context, cmd string, args any) (json.RawMessage, error) {
	return c.value(ctx, Command{Name: cmd, Args: args, OOB: true})
}

func (c *Client) value(ctx context.Context, cmd Command) (json.RawMessage, error) {
	reply, err := c.Do(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return reply.Value()
}
