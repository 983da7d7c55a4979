package qmptest

import (
	"context"
	"encoding/json"
	"net"
	"sync"
	"time"

	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/socket"
)

// queueLength is how many in-band commands QEMU lets wait behind the one being
// executed where oob is enabled. With so many it reads nothing more, not even
// an exec-oob.
const queueLength = 8

// flushLimit is how long a client may take to read what the machine has said
// before it ended.
const flushLimit = time.Second

// A client is one connection of a Server. Three goroutines work for it: serve,
// which reads and executes what is out of band; execute, which executes the
// rest in order; and write.
type client struct {
	srv    *Server
	conn   net.Conn
	index  int
	ctx    context.Context // what handlers get; ended by abort
	cancel context.CancelFunc

	rcv receiver // serve only

	mu         sync.Mutex // guards the fields below
	cond       *sync.Cond // on mu; told of every change
	queue      []request  // in-band and not yet begun
	suspended  bool       // reading waits until the queue is shorter
	at         string     // the in-band command being executed
	out        []byte     // to be written
	finished   bool       // nothing more is said: write out, then close
	gone       bool       // the connection has ended
	negotiated bool       // commands are accepted, events sent
	oob        bool       // out-of-band execution is enabled
}

// A request is a command to be executed, or a reply to what is none.
type request struct {
	Message
	fds   []int
	fault *Error
}

func newClient(s *Server, conn net.Conn) *client {
	c := &client{srv: s, conn: conn, negotiated: s.opts.NoGreeting}
	c.rcv = receiver{conn: conn, max: s.opts.MaxMessage}
	c.cond = sync.NewCond(&c.mu)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// serve runs in its own goroutine, from the client's turn to its end.
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
		// The server waits for them too: a handler may end this goroutine.
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
	wg.Wait() // not deferred: a handler that panics is to end the program at once
}

// read runs on serve's goroutine.
func (c *client) read() {
	defer c.rcv.discard()
	for {
		raw, fds, err := c.rcv.next()
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

// enqueue puts req at the end of the queue, and waits while that is too long.
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

// execute runs in its own goroutine.
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

// drop closes the files of commands that are not executed any more. The
// connection has ended.
func (c *client) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, req := range c.queue {
		socket.CloseFDs(req.fds)
	}
	c.queue = nil
}

// run executes one request and answers it. It is called by execute, and by read
// for what is out of band.
func (c *client) run(req request) {
	cmd := &Command{Message: req.Message, Server: c.srv, fds: req.fds}
	var result any
	var err error
	if req.fault != nil {
		err = req.fault
		cmd.ID = nil // QEMU does not get as far as the id
	} else {
		result, err = c.guard(cmd)
	}
	socket.CloseFDs(cmd.fds)
	reply, encodeErr := c.reply(cmd, result, err)
	if encodeErr != nil {
		reply, _ = c.srv.encode(appendErrorReply(GenericError, "qmptest: the result of the handler: "+encodeErr.Error(), cmd.ID))
	}
	c.send(reply)
	if cmd.quit {
		c.srv.shut()
	}
}

// guard is dispatch for a handler that may end its goroutine, as t.FailNow does:
// the connection ends with it, so that the client does not wait for ever.
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

// encode makes of a message what goes on the wire.
func (s *Server) encode(text []byte) ([]byte, error) {
	msg, err := proto.AppendObject(nil, json.RawMessage(text))
	if err != nil {
		return nil, err
	}
	return layout(nil, upperEscapes(msg), s.opts.Pretty, s.opts.LineEnd), nil
}

// say sends a message that needs no check.
func (c *client) say(text []byte) {
	c.send(layout(nil, text, c.srv.opts.Pretty, c.srv.opts.LineEnd))
}

// send lets write send msg. It never waits: QEMU, too, keeps what a client does
// not read.
func (c *client) send(msg []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.append(msg)
}

// event is send for those who have negotiated.
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
		c.out = append(c.out, msg...)
		c.cond.Broadcast()
	}
}

// write runs in its own goroutine.
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
			c.abort() // finished, and all is said
			return
		}
		if _, err := c.conn.Write(out); err != nil {
			c.abort()
			return
		}
	}
}

// finish ends the connection when what has been said so far is written.
func (c *client) finish() {
	c.conn.SetWriteDeadline(time.Now().Add(flushLimit))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finished = true
	c.cond.Broadcast()
}

// abort ends the connection at once. It may be called any number of times.
func (c *client) abort() {
	c.mu.Lock()
	c.gone = true
	c.out = nil
	c.cond.Broadcast()
	c.mu.Unlock()
	c.cancel() // only now: a handler that ends by it must not be followed by another
	c.conn.Close()
}

// running names the in-band command being executed.
func (c *client) running() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}
