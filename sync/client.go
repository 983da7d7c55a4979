package qmpsync

import (
	"encoding/json"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/goqmp/qmp/async"
)

// A Client drives one QMP server. It outlives its connections: after an end it
// may connect again. Make one with [New], [Dial] or [Wrap].
type Client struct {
	async   *async.Client
	opts    Options
	events  *EventListener
	timeout atomic.Pointer[timeLimit] // of commands
}

// New returns a client that is not connected yet. nil suits a QEMU monitor. The
// options are copied.
func New(opts *Options) *Client {
	if opts == nil {
		opts = &Options{}
	}
	return Wrap(async.New(&opts.Async), opts)
}

// Dial is New and Connect in one.
func Dial(addr string, opts *Options) (*Client, error) {
	c := New(opts)
	if err := c.Connect(addr); err != nil {
		return nil, err
	}
	return c, nil
}

// Wrap returns a blocking client over c, with the same connection and state.
// Both may be used at the same time. Each Wrap gives c one more queue of events,
// which lives until Events().Close(): wrap once and keep the result.
func Wrap(c *async.Client, opts *Options) *Client {
	if opts == nil {
		opts = &Options{}
	}
	w := &Client{async: c, opts: *opts}
	w.events = w.NewListener(opts.listener())
	commands := opts.commandLimit()
	w.timeout.Store(&commands)
	return w
}

// Async returns the client of the floor below, for calls with contexts over the
// same connection.
func (c *Client) Async() *async.Client { return c.async }

// Runstate returns the client's state at this moment.
func (c *Client) Runstate() async.Runstate { return c.async.Runstate() }

// Greeting returns the server's greeting in the present connection, or in the
// last one. It is nil before the first connection, and if the greeting was
// skipped.
func (c *Client) Greeting() *async.Greeting { return c.async.Greeting() }

// SetTimeout sets the time limit of each command from now on, in place of
// Options.CommandLimit: 0 is none, and a negative one has already expired, so that
// commands fail at once and nothing is sent. Calls under way keep theirs.
func (c *Client) SetTimeout(d time.Duration) { c.timeout.Store(&timeLimit{d, "SetTimeout"}) }

// Do executes a command with everything that it can carry and returns the whole
// reply. An error reply is no error here: [async.Reply.Err] makes one of it.
// All other errors are those of [Client.Execute], and an
// [*async.InvalidIDError] for an unusable id.
func (c *Client) Do(cmd async.Command) (async.Reply, error) {
	ctx, cancel := within("command", *c.timeout.Load())
	defer cancel()
	return c.async.Do(ctx, cmd)
}

// Execute executes a command and returns the value of the reply's return
// member, as JSON. args is nil for no arguments, or what encodes to a JSON
// object: a map, a struct, raw JSON, [async.Members].
//
// The server's refusal is an [*async.ExecuteError]. A time limit that is
// reached, and a connection that ends, give an [*async.ExecInterruptedError],
// which says whether the command was sent. A malformed reply is an
// [*async.BadReplyError]; arguments that QEMU could not read are an
// [*async.MessageError]; a client that is not connected gives an
// [*async.StateError].
func (c *Client) Execute(cmd string, args any) (json.RawMessage, error) {
	return c.value(async.Command{Name: cmd, Args: args})
}

// ExecuteOOB is Execute out of band (exec-oob): the server executes the command
// at once, ahead of all that waits. Few commands allow that. On a connection
// without the capability the error is [async.ErrNoOOB], and nothing is sent.
func (c *Client) ExecuteOOB(cmd string, args any) (json.RawMessage, error) {
	return c.value(async.Command{Name: cmd, Args: args, OOB: true})
}

func (c *Client) value(cmd async.Command) (json.RawMessage, error) {
	reply, err := c.Do(cmd)
	if err != nil {
		return nil, err
	}
	return reply.Value()
}

// Call is [Client.Execute] with the value decoded into a T, by the rule of
// [async.Call].
func Call[T any](c *Client, cmd string, args any) (T, error) {
	var v T
	reply, err := c.Do(async.Command{Name: cmd, Args: args})
	if err != nil {
		return v, err
	}
	err = reply.Decode(&v)
	return v, err
}

// Quit executes quit, waits until the server has ended the connection, and
// disconnects, all within the limit of a command. The error is nil once quit was
// sent and the server has hung up since, however that shows; see
// [async.Client.Quit]. To find out whether another error says that the server has
// hung up, there is [async.HungUp].
func (c *Client) Quit() error {
	ctx, cancel := within("quit", *c.timeout.Load())
	defer cancel()
	return c.async.Quit(ctx)
}

// SendFiles sends file descriptors at once, ahead of the command that will use
// them; see [async.Client.SendFiles]. The limit is that of commands.
func (c *Client) SendFiles(files ...*os.File) error {
	ctx, cancel := within("send file descriptors", *c.timeout.Load())
	defer cancel()
	return c.async.SendFiles(ctx, files...)
}

// ListenAddr returns where the client listens between [Client.Listen] and the
// peer's arrival, with the port that the system chose for port 0. It is nil at
// other times.
func (c *Client) ListenAddr() net.Addr { return c.async.ListenAddr() }
