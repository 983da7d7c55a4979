package qmptest

import (
	"context"
	"encoding/json"
	"net"
	"sync"
	"time"

	"github.com/goqmp/qmp/internal/receiver"

	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/socket"
)

// queueLength is how many in-band commands QEMU lets wait, besides the one being
// executed, where oob is enabled. While that many wait, QEMU reads nothing, not
// even an exec-oob.
const queueLength = 8

// flushLimit is how long a client may take to read what the machine sent before
// it ended.
const flushLimit = time.Second

// A client is one connection of a Server. Three goroutines work for it: serve
// reads, and executes out-of-band commands; execute executes the other commands
// in order; write writes.
type client struct {
	srv    *Server
	conn   net.Conn
	index  int
	ctx    context.Context // handlers get it; abort ends it
	cancel context.CancelFunc

	rcv receiver.Receiver // serve only

	mu         sync.Mutex // guards the fields below
	cond       *sync.Cond // on mu; broadcast after every change
	queue      []request  // in-band commands that wait to be executed
	suspended  bool       // reading waits until the queue is shorter
	at         string     // the in-band command being executed
	out        []byte     // to be written
	finished   bool       // nothing is added to out any more: write it, then close
	gone       bool       // the connection has ended
	negotiated bool       // commands are accepted and events are sent
	oob        bool       // out-of-band execution is enabled
}

// A request is a command to be executed, or an error reply to a message that is
// not a command.
type request struct {
	Message
	fds   []int  // came with the message; closed when the request is done
	fault *Error // the reply; nil if the message is to be executed
}

func newClient(s *Server, conn net.Conn) *client {
	c := &client{srv: s, conn: conn, negotiated: s.opts.NoGreeting}
	c.rcv = receiver.Receiver{Conn: conn, Max: s.opts.MaxMessage}
	c.cond = sync.NewCond(&c.mu)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// serve waits for the client's turn, and then serves it until it has gone. It
// runs in its own goroutine.
func (c *client) serve() {
	defer c.srv.forget(c)
	defer c.abort()
	if c.srv.turn != nil {
		select {
		case c.srv.turn <- struct{}{}:
			defer func() { <-c.srv.turn }()
		case <-c.ctx.Done():
			return
		case <-c.srv.done:
			return
		}
	}
	var wg sync.WaitGroup
	for _, work := range []func(){c.write, c.execute} {
		// The server waits for these goroutines, too: a handler may end the
		// goroutine that serve runs on.
		wg.Add(1)
		c.srv.wg.Go(func() {
			defer wg.Done()
			work()
		})
	}
	if !c.srv.opts.NoGreeting {
		var capabilities []string
		if !c.srv.opts.NoOOB {
			capabilities = []string{"oob"}
		}
		c.say(appendGreeting(c.srv.opts.Version, capabilities))
	}
	c.read()
	c.abort()
	wg.Wait() // not deferred: if a handler panics, the program ends without waiting for the others
}

// read reads messages until the connection ends. It runs on serve's goroutine.
func (c *client) read() {
	defer c.rcv.Discard()
	for {
		raw, fds, err := c.rcv.Next()
		var req request
		if err != nil {
			fault := c.recover(err)
			if fault == nil {
				return
			}
			req.fault = fault
		} else {
			req.Message, req.fds = newMessage(c.index, raw, len(fds)), fds
			req.fault = parseFault(raw)
			if !c.srv.opts.NoRecord {
				c.srv.rec.add(req.Message)
			}
		}
		if req.fault == nil && isOOB(req.Raw) {
			c.run(req)
			continue
		}
		if !c.enqueue(req) {
			return
		}
	}
}

// enqueue puts req at the end of the queue, and waits while the queue is too
// long. It reports false if the connection has ended.
func (c *client) enqueue(req request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		socket.CloseFDs(req.fds)
		return false
	}
	c.queue = append(c.queue, req)
	c.cond.Broadcast()
	c.suspended = c.oob && len(c.queue) >= queueLength
	for c.suspended && !c.gone {
		c.cond.Wait()
	}
	return !c.gone
}

// execute executes the commands in the queue until the connection ends. It runs in
// its own goroutine.
func (c *client) execute() {
	defer c.drop()
	for {
		c.mu.Lock()
		for len(c.queue) == 0 && !c.gone {
			c.cond.Wait()
		}
		if c.gone {
			c.mu.Unlock()
			return
		}
		req := c.queue[0]
		c.queue = c.queue[1:]
		c.at = req.Name
		c.mu.Unlock()

		c.run(req)

		c.mu.Lock()
		c.at = ""
		if c.suspended && len(c.queue) < queueLength {
			c.suspended = false
			c.cond.Broadcast()
		}
		c.mu.Unlock()
	}
}

// drop closes the descriptors of commands that will not be executed, because the
// connection has ended.
func (c *client) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, req := range c.queue {
		socket.CloseFDs(req.fds)
	}
	c.queue = nil
}

// run executes one request and answers it. execute calls it, and read for
// out-of-band commands.
func (c *client) run(req request) {
	cmd := &Command{Message: req.Message, Server: c.srv, fds: req.fds}
	var result any
	var err error
	if req.fault != nil {
		err = req.fault
		cmd.ID = nil // QEMU's parser stops before it knows the id
	} else {
		result, err = c.guard(cmd)
	}
	socket.CloseFDs(cmd.fds)
	reply, encodeErr := c.reply(cmd, result, err)
	if encodeErr != nil {
		reply, _ = c.srv.encode(appendErrorReply(GenericError, "qmptest: the result of the handler: "+encodeErr.Error(), cmd.ID))
	}
	if c.srv.opts.NoGreeting && req.fault == nil && cmd.Name == "guest-sync-delimited" {
		reply = append([]byte{delimiter}, reply...)
	}
	c.send(reply)
	if cmd.quit {
		c.srv.shut()
	}
}

// guard is dispatch for a handler that may end its goroutine, as t.FailNow does.
// If it does, guard ends the connection, so that the client does not wait for
// ever.
func (c *client) guard(cmd *Command) (result any, err error) {
	returned := false
	defer func() {
		if !returned {
			socket.CloseFDs(cmd.fds)
			c.srv.ended(cmd.Name)
			c.abort()
		}
	}()
	result, err = c.dispatch(cmd)
	returned = true
	return result, err
}

func (c *client) reply(cmd *Command, result any, err error) ([]byte, error) {
	if err != nil {
		e, ok := asError(err)
		if !ok {
			e = genericf("%v", err)
		}
		return c.srv.encode(appendErrorReply(e.Class, e.Desc, cmd.ID))
	}
	text := []byte("{}")
	if result != nil {
		if text, err = json.Marshal(result); err != nil {
			return nil, err
		}
	}
	return c.srv.encode(proto.AppendReturn(nil, text, cmd.ID))
}

// encode checks a message and returns its bytes on the wire.
func (s *Server) encode(text []byte) ([]byte, error) {
	msg, err := proto.AppendObject(nil, json.RawMessage(text))
	if err != nil {
		return nil, err
	}
	return layout(nil, upperEscapes(msg), s.opts.Pretty, s.opts.LineEnd), nil
}

// say sends text, which is known to be well-formed.
func (c *client) say(text []byte) {
	c.send(layout(nil, text, c.srv.opts.Pretty, c.srv.opts.LineEnd))
}

// mostUnread is how many bytes a server keeps for a client that does not read. QEMU has no
// such limit; but a test would take all memory.
const mostUnread = 64 << 20

// send queues msg for write, and never waits. If the client has left more than mostUnread
// unread, its connection ends.
func (c *client) send(msg []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.append(msg)
}

// event is send, but drops msg if the client has not negotiated.
func (c *client) event(msg []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.negotiated {
		c.append(msg)
	}
}

// append queues msg. c.mu is held.
func (c *client) append(msg []byte) {
	if !c.finished && !c.gone {
		if len(c.out) > mostUnread {
			c.gone = true
			c.srv.wg.Go(c.abort)
			return
		}
		c.out = append(c.out, msg...)
		c.cond.Broadcast()
	}
}

// write writes out until the connection ends. It runs in its own goroutine.
func (c *client) write() {
	for {
		c.mu.Lock()
		for len(c.out) == 0 && !c.finished && !c.gone {
			c.cond.Wait()
		}
		out := c.out
		c.out = nil
		gone := c.gone
		c.mu.Unlock()
		if gone {
			return
		}
		if len(out) == 0 {
			c.abort() // finished, and everything is written
			return
		}
		if _, err := c.conn.Write(out); err != nil {
			c.abort()
			return
		}
	}
}

// finish ends the connection after everything in out is written, or after
// flushLimit.
func (c *client) finish() {
	c.conn.SetWriteDeadline(time.Now().Add(flushLimit))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finished = true
	c.cond.Broadcast()
}

// abort ends the connection immediately. It may be called any number of times.
func (c *client) abort() {
	c.mu.Lock()
	c.gone = true
	c.out = nil
	c.cond.Broadcast()
	c.mu.Unlock()
	c.cancel() // after gone is set: when it ends a handler, execute must not start the next one
	c.conn.Close()
}

// running names the in-band command being executed.
func (c *client) running() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}
