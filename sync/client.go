package qmpsync

import (
	"encoding/json"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/goqmp/qmp/async"
)

// A Client drives one QMP server. It has one connection at a time, and may connect
// again after a connection has ended. Make one with [New], [Dial] or [Wrap]. All
// methods may be called concurrently.
type Client struct {
	async   *async.Client
	opts    Options
	events  *EventListener
	timeout atomic.Pointer[timeLimit] // of commands
}

// New returns a client that is not connected yet. A nil opts suits a QEMU monitor.
// New copies the options.
func New(opts *Options) *Client {
	if opts == nil {
		opts = &Options{}
	}
	return Wrap(async.New(&opts.Async), opts)
}

// Dial is [New] and [Client.Connect] in one. Errors are those of Connect.
func Dial(addr string, opts *Options) (*Client, error) {
	c := New(opts)
	if err := c.Connect(addr); err != nil {
		return nil, err
	}
	return c, nil
}

// Wrap returns a blocking client that has the connection and the state of c. Both
// may be used at the same time. Options that configure c itself, opts.Async, have no
// effect here. Each call of Wrap gives c one more queue of events, which exists until
// Events().Close(): call Wrap once and keep the result.
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

// Async returns the client of package async that has the same connection, for calls
// with contexts.
func (c *Client) Async() *async.Client { return c.async }

// Runstate returns the client's state at this moment.
func (c *Client) Runstate() async.Runstate { return c.async.Runstate() }

// Health says how the server is, without asking it: see [async.Client.Health]. Keepalive in
// Options.Async makes the client ask it now and then, and tell when that changes.
func (c *Client) Health() async.Health { return c.async.Health() }

// Greeting returns the greeting that the server sent in the current connection, or
// in the last one. It is nil before the first connection, and after a connection
// whose greeting was skipped.
func (c *Client) Greeting() *async.Greeting { return c.async.Greeting() }

// SetTimeout sets the time limit of each command that begins after it, in place of
// Options.CommandLimit. 0 means no limit. With a negative duration commands fail at
// once and send nothing. Calls that have begun keep their limit.
func (c *Client) SetTimeout(d time.Duration) { c.timeout.Store(&timeLimit{d, "SetTimeout"}) }

// Do executes a command and returns the whole reply. An [async.Command] can carry
// more than a name and arguments: an id or files, say. If the server answers with an
// error, Do's own error is nil; [async.Reply.Err] returns the server's. All other
// errors are those of [Client.Execute], and an [*async.InvalidIDError] for an id
// that cannot be used.
func (c *Client) Do(cmd async.Command) (async.Reply, error) {
	ctx, cancel := within("command", *c.timeout.Load())
	defer cancel()
	return c.async.Do(ctx, cmd)
}

// Execute executes a command and returns the value of the reply's return
// member, as JSON. args is nil for no arguments, or anything that encodes to a JSON
// object: a map, a struct, raw JSON, [async.Members].
//
// Its errors:
//   - [*async.ExecuteError]: the server refused the command.
//   - [*async.ExecInterruptedError]: the time limit was reached, or the connection
//     ended. The error says whether the command was sent.
//   - [*async.BadReplyError]: the reply is malformed.
//   - [*async.MessageError]: the arguments cannot be encoded, or QEMU would not be
//     able to parse them. Nothing was sent.
//   - [*async.StateError]: the client is not connected.
func (c *Client) Execute(cmd string, args any) (json.RawMessage, error) {
	return c.value(async.Command{Name: cmd, Args: args})
}

// ExecuteOOB is [Client.Execute] for a command out of band (exec-oob): the server
// executes it at once, before all commands that still wait in its queue. Few
// commands allow that. On a connection without the capability the error is
// [async.ErrNoOOB], and nothing is sent.
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

// Call is [Client.Execute], and decodes the value into a T by the rule of
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
// disconnects, all within the time limit of one command. The error is nil if quit
// was sent and the server ended the connection after that, by an end of file or by
// a reset; see [async.Client.Quit]. For the errors of other calls, [async.HungUp]
// tells whether the server has ended the connection.
func (c *Client) Quit() error {
	ctx, cancel := within("quit", *c.timeout.Load())
	defer cancel()
	return c.async.Quit(ctx)
}

// SendFiles sends file descriptors now, for a command that is sent after them and
// uses them; see [async.Client.SendFiles]. The time limit is that of commands.
func (c *Client) SendFiles(files ...*os.File) error {
	ctx, cancel := within("send file descriptors", *c.timeout.Load())
	defer cancel()
	return c.async.SendFiles(ctx, files...)
}

// ListenAddr returns the address at which the client listens, with the port that
// the system chose if port 0 was asked for. The client listens from [Client.Listen]
// until the peer has connected. At other times ListenAddr returns nil.
func (c *Client) ListenAddr() net.Addr { return c.async.ListenAddr() }
