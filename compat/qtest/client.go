package qtest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
)

// maxLine limits a line from QEMU, in bytes. The longest line of a QEMU that works is
// the answer to a read of one chunk.
const maxLine = 4 << 20

// A Client is one connection to QEMU's qtest socket. Make one with [Dial],
// [Listener.Accept] or [New].
//
// Two goroutines serve the connection until it ends: writeLoop writes the requests,
// one after another, and readLoop reads the answers. An answer does not name its
// request: answers come in the order of the requests.
type Client struct {
	conn     net.Conn
	requests chan *request  // from the callers to writeLoop
	done     chan struct{}  // closed when the connection has ended; cause is set before that
	loops    sync.WaitGroup // writeLoop and readLoop

	mu       sync.Mutex // guards the fields below; held briefly, never across I/O
	pending  []*request // those being written, or written and not answered yet, in order
	cause    error      // why the connection has ended; nil until then
	reported bool       // Close has returned cause
	irqs     irqQueue
}

// A request is a command whose caller waits for its answer, or has given up.
type request struct {
	line   string
	answer chan string // gets the line of the answer; has room for it

	// Guarded by Client.mu.
	canceled bool // the caller has given up: do not send it, unless that has begun
	sent     bool // at least one byte may have been sent
}

// command returns the first word of a line.
func command(line string) string {
	word, _, _ := strings.Cut(line, " ")
	return word
}

// New returns a client that uses conn, a connection to QEMU's qtest socket. The client
// owns conn then: Close closes it.
func New(conn net.Conn) *Client {
	c := &Client{conn: conn, requests: make(chan *request), done: make(chan struct{})}
	c.loops.Go(c.writeLoop)
	c.loops.Go(c.readLoop)
	return c
}

// Close ends the connection and waits until the client's goroutines have ended. Calls
// that wait get an [*InterruptedError]. If the connection had ended before, the first
// Close returns why: io.EOF if QEMU has ended. Otherwise, and in every later call, the
// result is nil. Close may be called any number of times, from any goroutine.
func (c *Client) Close() error {
	c.end(async.ErrClosed)
	c.loops.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reported || c.cause == async.ErrClosed { //nolint:errorlint // never wrapped
		return nil
	}
	c.reported = true
	return c.cause
}

// Done returns a channel that is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// end ends the connection. Only the first call has an effect, and its cause is kept.
func (c *Client) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return
	}
	c.cause, c.pending = cause, nil
	c.conn.Close() // unblocks both loops
	close(c.done)
	c.irqs.wake()
}

// Command sends a line as it is and returns what follows OK in the answer. It is for
// commands that have no method here. Separate the words by single spaces.
//
// If QEMU refuses the command the error is a [*CommandError]. If the connection or ctx
// ends first it is an [*InterruptedError]. An empty line would make QEMU abort: it is
// not sent, and the error is an [*ArgumentError]. So it is for a line with a line end
// or a zero byte in it.
func (c *Client) Command(ctx context.Context, line string) (string, error) {
	name := command(line)
	switch {
	case line == "":
		return "", &ArgumentError{Command: "command", Problem: "it is empty"}
	case strings.ContainsAny(line, "\r\n\x00"):
		return "", &ArgumentError{Command: name, Problem: "there is a line end or a zero byte in it"}
	}
	answer, err := c.roundTrip(ctx, line)
	if err != nil {
		return "", err
	}
	status, rest, _ := strings.Cut(answer, " ")
	if status != "OK" {
		return "", &CommandError{Command: name, Status: status, Message: rest}
	}
	return rest, nil
}

// roundTrip sends a line and returns the line that answers it.
func (c *Client) roundTrip(ctx context.Context, line string) (string, error) {
	r := &request{line: line, answer: make(chan string, 1)}
	interrupted := func(err error) (string, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		r.canceled = true
		return "", &InterruptedError{Command: command(line), Sent: r.sent, Err: err}
	}
	if ctx.Err() != nil {
		return interrupted(contexts.Err(ctx))
	}
	select {
	case c.requests <- r:
	case <-ctx.Done():
		return interrupted(contexts.Err(ctx))
	case <-c.done:
		return interrupted(c.cause)
	}
	select {
	case answer := <-r.answer:
		return answer, nil
	case <-ctx.Done():
		return interrupted(contexts.Err(ctx))
	case <-c.done:
		select {
		case answer := <-r.answer: // the answer came before the end of the connection
			return answer, nil
		default:
			return interrupted(c.cause)
		}
	}
}

// writeLoop writes requests until the connection ends. It writes a line to its end
// even if the caller gives up meanwhile: QEMU would take the next line for the rest of
// this one.
func (c *Client) writeLoop() {
	for {
		select {
		case r := <-c.requests:
			if !c.enter(r) {
				continue
			}
			if _, err := io.WriteString(c.conn, r.line+"\n"); err != nil {
				c.end(err)
				return
			}
		case <-c.done:
			return
		}
	}
}

// enter adds r to the pending requests. It reports false, and adds nothing, if the
// caller has given up or the connection has ended.
func (c *Client) enter(r *request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.canceled || c.cause != nil {
		return false
	}
	r.sent = true
	c.pending = append(c.pending, r)
	return true
}

// readLoop reads lines until the connection ends.
func (c *Client) readLoop() {
	in := bufio.NewReader(c.conn)
	for {
		line, err := readLine(in)
		if err == nil {
			err = c.receive(line)
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

// readLine reads a line of about maxLine bytes at most, and returns it without its
// end.
func readLine(in *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return strings.TrimRight(string(line), "\r\n"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		case len(line) > maxLine:
			return "", &ProtocolError{Line: begin(string(line)), Problem: "the line is longer than 4 MiB"}
		}
	}
}

// receive handles a line: an interrupt, or the answer to the oldest pending request.
// If the caller of that request has given up, nobody reads the answer. An error ends
// the connection.
func (c *Client) receive(line string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch word := command(line); word {
	case "IRQ":
		irq, err := parseIRQ(line)
		if err == nil {
			c.irqs.put(irq)
		}
		return err
	case "OK", "FAIL", "ERR":
		if len(c.pending) == 0 {
			return &ProtocolError{Line: begin(line), Problem: "an answer, but no command waits for one"}
		}
		c.pending[0].answer <- line
		c.pending = c.pending[1:]
		return nil
	}
	return &ProtocolError{Line: begin(line), Problem: "not a line of the qtest protocol"}
}
