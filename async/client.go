package async

import (
	"context"
	"encoding/json"
	"net"
	"sync"
	"sync/atomic"

	"github.com/goqmp/qmp/internal/proto"
)

// A Client drives one QMP server. It is long-lived: it holds options, run state
// and listeners, while each connection is a session that is thrown away with
// it. The zero Client is ready for use, like New(nil). All methods may be
// called concurrently. A Client must not be copied.
type Client struct {
	opts Options

	// listeners is replaced as a whole, with mu held, and read without it:
	// the reader looks at it for every event.
	listeners atomic.Pointer[[]*EventListener]

	// lastID counts the engine's ids, from 1. It goes on over the client's
	// connections: QEMU gives the answer to a command whose client has gone to
	// the next client, and there it must not answer another command.
	lastID atomic.Uint64

	sessions atomic.Uint64 // how many connections there were

	mu       sync.Mutex // guards the fields below; held briefly, never across I/O
	stage    *stage     // what the client is doing; written by move alone
	watchers map[*RunstateWatcher]struct{}
	greeting *Greeting // of the newest session
	life     *life     // the present one, or the last one; nil before the first
}

// New returns a client. nil suits a QEMU monitor. The options are copied.
func New(opts *Options) *Client {
	c := &Client{}
	if opts != nil {
		c.opts = *opts
	}
	return c
}

// Dial is New and Connect in one.
func Dial(ctx context.Context, addr string, opts *Options) (*Client, error) {
	c := New(opts)
	if err := c.Connect(ctx, addr); err != nil {
		return nil, err
	}
	return c, nil
}

// nextID returns an id that this client has not used yet.
func (c *Client) nextID() proto.ID { return proto.Number(c.lastID.Add(1)) }

func (c *Client) name() string { return c.opts.Nickname }

// Runstate returns the client's state at this moment. To follow it without
// missing a change, see [Client.WatchRunstate].
func (c *Client) Runstate() Runstate {
	return c.now().state()
}

// Greeting returns the server's greeting in the present connection, or in the
// last one. It is nil before the first connection, and if the greeting was
// skipped.
func (c *Client) Greeting() *Greeting {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.greeting
}

// ListenAddr returns where the client listens between [Client.Listen] and the
// peer's arrival, with the port that the system chose for port 0. It is nil at
// other times.
func (c *Client) ListenAddr() net.Addr {
	if at := c.now(); at != nil && at.socket != nil {
		return at.socket.Addr()
	}
	return nil
}

func (c *Client) loadListeners() []*EventListener {
	if p := c.listeners.Load(); p != nil {
		return *p
	}
	return nil
}

func (c *Client) storeListeners(ls []*EventListener) { c.listeners.Store(&ls) }

// running returns the session, or the error for a call named op that needs one.
func (c *Client) running(op string) (*session, error) {
	at := c.now()
	if at.what() != running {
		return nil, c.stateError(op, at, Running)
	}
	return at.session, nil
}

// stateError is the error for a call that found the client at a stage, and needs
// another state.
func (c *Client) stateError(op string, at *stage, required Runstate) error {
	return &StateError{Op: op, State: at.state(), Required: required, Client: c.name(), Cause: at.cause()}
}

// Execute executes a command and returns the value of the reply's return
// member, as JSON. args is nil for no arguments, or what encodes to a JSON
// object: a map, a struct, raw JSON, [Members].
//
// The server's refusal is an [*ExecuteError]. A context that ends, and a
// connection that ends, give an [*ExecInterruptedError], which says whether the
// command was sent; a context that ends touches no other call. A malformed
// reply is a [*BadReplyError]; arguments that QEMU could not read are a
// [*MessageError]; a client that is not connected gives a [*StateError].
func (c *Client) Execute(ctx context.Context, cmd string, args any) (json.RawMessage, error) {
	return c.value(ctx, Command{Name: cmd, Args: args})
}

// ExecuteOOB is Execute out of band (exec-oob): the server executes the command
// at once, ahead of all that waits. Few commands allow that. On a connection
// without the capability the error is [ErrNoOOB], and nothing is sent.
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
