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

// maxLine bounds a line from QEMU. The longest in order is the answer to a read
// of one chunk.
const maxLine = 4 << 20

// A Client is one connection to QEMU's qtest socket. Make one with [Dial],
// [Listener.Accept] or [New].
//
// writeLoop writes one request after another, and readLoop reads the answers,
// which come in the same order and have no other mark. Both end with the
// connection.
type Client struct {
	conn     net.Conn
	requests chan *request // to writeLoop
	done     chan struct{} // closed when the connection has ended, and cause is set
	loops    sync.WaitGroup

	mu      sync.Mutex // guards the fields below; held briefly, never across I/O
	pending []*request // being written, or written and unanswered, in order
	cause   error      // why the connection has ended
	told    bool       // Close has returned it
	irqs    irqQueue
}

// A request is a command on its way.
type request struct {
	line   string
	answer chan string // takes the one line of the answer

	// Guarded by Client.mu.
	withdrawn bool // its context ended before it was written
	sent      bool // at least one byte may be on the wire
}

// command returns the first word of a line.
func command(line string) string {
	word, _, _ := strings.Cut(line, " ")
	return word
}

// New takes over a connection to QEMU's qtest socket.
func New(conn net.Conn) *Client {
	c := &Client{conn: conn, requests: make(chan *request), done: make(chan struct{})}
	c.loops.Go(c.writeLoop)
	c.loops.Go(c.readLoop)
	return c
}

// Close ends the connection. Calls that wait get an [*InterruptedError]. If it
// had ended by itself before, the first Close returns why: io.EOF, when QEMU has
// ended. It may be called any number of times, from any goroutine.
func (c *Client) Close() error {
	c.end(async.ErrClosed)
	c.loops.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told || c.cause == async.ErrClosed { //nolint:errorlint // never wrapped
		return nil
	}
	c.told = true
	return c.cause
}

// Done returns a channel that is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// end ends the connection, once; the first cause wins.
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

// Command sends a line as it is and returns what stands behind OK in the answer:
// the way to commands for which there is no method. A refusal is a
// [*CommandError]. QEMU reads the line word by word, separated by single spaces,
// and does not survive an empty one: that is an [*ArgumentError], as is a line
// end inside.
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
		r.withdrawn = true // unless it has been sent, it is not to be
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
		case answer := <-r.answer: // it came just before the end, so it counts
			return answer, nil
		default:
			return interrupted(c.cause)
		}
	}
}

// writeLoop writes requests. What it has begun it finishes, even if the caller
// has gone: half a line would spoil the next.
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

// enter makes r the last of those that wait for an answer, unless its caller has
// gone.
func (c *Client) enter(r *request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.withdrawn || c.cause != nil {
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

// readLine reads a line of at most maxLine bytes.
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

// receive takes a line: an interrupt, or the answer to the oldest request. The
// caller of that may have gone; then nobody looks at it.
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
			return &ProtocolError{Line: begin(line), Problem: "an answer to nothing"}
		}
		c.pending[0].answer <- line
		c.pending = c.pending[1:]
		return nil
	}
	return &ProtocolError{Line: begin(line), Problem: "not a line of the qtest protocol"}
}
