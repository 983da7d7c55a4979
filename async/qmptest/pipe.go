package qmptest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// DefaultPipeSize is how many bytes each direction of a Pipe holds.
const DefaultPipeSize = 64 << 10

// Pipe returns the two ends of an in-memory connection. Unlike net.Pipe it is
// buffered, as sockets are: a Write returns as soon as its bytes fit into the
// buffer, and waits only while that is full.
//
// A goroutine that waits in a Pipe is durably blocked in the sense of
// testing/synctest. Make the Pipe inside the bubble: otherwise reads and writes in
// the bubble return an error that says so.
func Pipe() (client, server *PipeConn) { return PipeSize(DefaultPipeSize) }

// PipeSize is Pipe with a buffer of size bytes in each direction. A size below 1
// means 1.
func PipeSize(size int) (client, server *PipeConn) {
	size = max(size, 1)
	up, down := newLane(size), newLane(size)
	home := here()
	client = &PipeConn{home: home, in: down, out: up, closed: make(chan struct{})}
	server = &PipeConn{home: home, in: up, out: down, closed: make(chan struct{})}
	return client, server
}

// A PipeConn is one end of a Pipe. Its methods may be called by any goroutine at
// any time. The bytes of concurrent Writes do not mix.
//
// Errors are those of a socket. Read returns io.EOF as it is. Every other error
// is a *net.OpError around one of these: net.ErrClosed (this end was closed),
// os.ErrDeadlineExceeded, syscall.EPIPE (the other end was closed),
// syscall.ECONNRESET (the other end called Reset), or an error that says that the
// Pipe was not made in the bubble in which it is used.
type PipeConn struct {
	home    home
	in, out *lane // the other end's out and in

	closed    chan struct{} // closed by end
	closeOnce sync.Once

	readLimit, writeLimit limit
}

var _ net.Conn = (*PipeConn)(nil)

// Read reads up to len(p) bytes that are buffered. It waits while there are none.
func (c *PipeConn) Read(p []byte) (int, error) {
	if err := c.home.quickCheck("this Pipe"); err != nil {
		return 0, c.opError("read", err)
	}
	for {
		expired := c.readLimit.wait()
		if err := c.unusable(expired); err != nil {
			return 0, c.opError("read", err)
		}
		n, changed, err := c.in.take(p)
		if err != nil && err != io.EOF {
			err = c.opError("read", err)
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		select {
		case <-changed:
		case <-c.closed:
		case <-expired:
		}
	}
}

// Write writes all of p, and waits while the buffer is full. With an error it
// returns how many bytes it has written.
func (c *PipeConn) Write(p []byte) (int, error) {
	if err := c.home.quickCheck("this Pipe"); err != nil {
		return 0, c.opError("write", err)
	}
	// Only the holder of the turn writes. The turn is a channel and not a mutex,
	// so that a deadline can end the wait for it.
	for {
		expired := c.writeLimit.wait()
		if err := c.unusable(expired); err != nil {
			return 0, c.opError("write", err)
		}
		select {
		case c.out.turn <- struct{}{}:
		case <-c.closed:
			continue
		case <-expired:
			continue
		}
		break
	}
	defer func() { <-c.out.turn }()

	for written := 0; ; {
		expired := c.writeLimit.wait()
		if err := c.unusable(expired); err != nil {
			return written, c.opError("write", err)
		}
		n, changed, err := c.out.put(p[written:])
		written += n
		if err != nil {
			return written, c.opError("write", err)
		}
		if written == len(p) {
			return written, nil
		}
		select {
		case <-changed:
		case <-c.closed:
		case <-expired:
		}
	}
}

// Close ends both directions. The other end can still read what is buffered, and
// then gets io.EOF. Its writes fail with syscall.EPIPE. The error of a second call
// matches net.ErrClosed.
func (c *PipeConn) Close() error { return c.end(io.EOF, syscall.EPIPE) }

// Reset is Close in the manner of a TCP reset. The other end can still read what
// is buffered, and then its reads fail with syscall.ECONNRESET. Its writes fail
// with that immediately.
func (c *PipeConn) Reset() error { return c.end(syscall.ECONNRESET, syscall.ECONNRESET) }

func (c *PipeConn) end(readerGets, writerGets error) error {
	if err := c.home.quickCheck("this Pipe"); err != nil && c.home != "" {
		return c.opError("close", err) // the runtime ends a program that closes a bubble's channel from outside
	}
	err := net.ErrClosed
	c.closeOnce.Do(func() {
		err = nil
		close(c.closed) // first, so that calls that wait at this end get net.ErrClosed, and not the lanes' errors
		c.out.endWriting(readerGets)
		c.in.endReading(writerGets)
		c.readLimit.stop()
		c.writeLimit.stop()
	})
	if err != nil {
		return c.opError("close", err)
	}
	return nil
}

// CloseWrite ends the direction to the other end, which reads what is buffered,
// and then io.EOF. This end can still read.
func (c *PipeConn) CloseWrite() error {
	if err := c.home.quickCheck("this Pipe"); err != nil && c.home != "" {
		return c.opError("close", err)
	}
	select {
	case <-c.closed:
		return c.opError("close", net.ErrClosed)
	default:
	}
	c.out.endWriting(io.EOF)
	return nil
}

// awaitRead waits until the other end has read everything that was written to it,
// or has been closed.
func (c *PipeConn) awaitRead() error {
	for {
		expired := c.writeLimit.wait()
		if err := c.unusable(expired); err != nil {
			return c.opError("write", err)
		}
		empty, changed := c.out.empty()
		if empty {
			return nil
		}
		select {
		case <-changed:
		case <-c.closed:
		case <-expired:
		}
	}
}

// unusable returns why a call cannot go on: this end is closed, or the deadline
// has passed. It returns nil if neither is so.
func (c *PipeConn) unusable(expired <-chan struct{}) error {
	select {
	case <-c.closed:
		return net.ErrClosed
	default:
	}
	select {
	case <-expired:
		return os.ErrDeadlineExceeded
	default:
	}
	return nil
}

func (c *PipeConn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "pipe", Source: pipeAddr{}, Addr: pipeAddr{}, Err: err}
}

// LocalAddr returns an address of network "pipe".
func (c *PipeConn) LocalAddr() net.Addr { return pipeAddr{} }

// RemoteAddr returns an address of network "pipe".
func (c *PipeConn) RemoteAddr() net.Addr { return pipeAddr{} }

// SetDeadline sets the deadlines of reads and of writes. The zero time means
// none.
func (c *PipeConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets when reads fail with os.ErrDeadlineExceeded. It applies to
// reads that already wait, too.
func (c *PipeConn) SetReadDeadline(t time.Time) error { return c.setLimit(&c.readLimit, t) }

// SetWriteDeadline sets when writes fail with os.ErrDeadlineExceeded. It applies
// to writes that already wait, too.
func (c *PipeConn) SetWriteDeadline(t time.Time) error { return c.setLimit(&c.writeLimit, t) }

func (c *PipeConn) setLimit(l *limit, t time.Time) error {
	if err := c.home.quickCheck("this Pipe"); err != nil {
		return c.opError("set", err)
	}
	if !l.set(t) {
		return c.opError("set", net.ErrClosed)
	}
	return nil
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// A lane is one direction of a pipe.
type lane struct {
	turn chan struct{} // full while a Write runs

	mu        sync.Mutex    // guards the fields below; nobody waits while holding it
	data      []byte        // written and not yet read
	size      int           // the most that data may hold
	readerGet error         // what a read returns after data; nil while the writer may write
	writerGet error         // what a write returns; nil while it may write
	changed   chan struct{} // nil, or a channel that the next change closes and replaces by nil
}

func newLane(size int) *lane {
	return &lane{turn: make(chan struct{}, 1), size: size}
}

// take moves bytes into p. If there are none, it returns the error for the read,
// or a channel to wait for.
func (l *lane) take(p []byte) (n int, changed <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = copy(p, l.data)
	switch {
	case n > 0:
		if l.data = l.data[n:]; len(l.data) == 0 {
			l.data = nil // an idle pipe keeps no buffer
		}
		l.notify()
	case len(l.data) == 0 && l.readerGet != nil:
		return 0, nil, l.readerGet
	default:
		changed = l.watch()
	}
	return n, changed, nil
}

// put buffers as much of p as there is room for. If that is not all, changed is a
// channel to wait for.
func (l *lane) put(p []byte) (n int, changed <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writerGet != nil {
		return 0, nil, l.writerGet
	}
	n = min(len(p), l.size-len(l.data))
	if n > 0 {
		l.data = append(l.data, p[:n]...)
		l.notify()
	}
	if n < len(p) {
		changed = l.watch()
	}
	return n, changed, nil
}

// empty reports whether the other end has nothing left to read, or can read no
// more. If not, it returns a channel to wait for.
func (l *lane) empty() (bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.data) == 0 || l.writerGet != nil {
		return true, nil
	}
	return false, l.watch()
}

// endWriting ends the writer's side: reads return readerGets after the buffered
// bytes, and writes fail.
func (l *lane) endWriting(readerGets error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A Close after CloseWrite or Reset changes nothing for the reader. A Reset
	// after CloseWrite does.
	if l.readerGet == nil || readerGets != io.EOF {
		l.readerGet = readerGets
	}
	if l.writerGet == nil {
		l.writerGet = syscall.EPIPE
	}
	l.notify()
}

// endReading ends the reader's side: the buffered bytes are dropped, and writes
// return writerGets.
func (l *lane) endReading(writerGets error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.data = nil
	l.writerGet = writerGets
	l.notify()
}

// watch returns a channel that the next change closes. The caller holds l.mu.
func (l *lane) watch() <-chan struct{} {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// notify wakes the calls that wait for a change. The caller holds l.mu.
func (l *lane) notify() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// A limit is a deadline that calls can wait for, and that can be moved. The zero
// limit is no deadline.
type limit struct {
	mu      sync.Mutex    // guards the fields below; nobody waits while holding it
	expired chan struct{} // closed when the deadline passes; nil until wait is called
	over    bool          // the deadline has passed; if expired is not nil, it is closed
	timer   *time.Timer   // nil if no deadline is to come
	setting int           // counts calls of set: a timer of an earlier deadline finds another number
	stopped bool          // the connection is closed
}

// wait returns a channel that is closed when the deadline passes. If set moves a
// deadline that has not passed, the channel is for the new one.
func (l *limit) wait() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.expired == nil {
		l.expired = make(chan struct{})
		if l.over {
			close(l.expired)
		}
	}
	return l.expired
}

// set moves the deadline to t. It reports false once stop has been called.
func (l *limit) set(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return false
	}
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	l.setting++
	if l.over {
		l.expired, l.over = nil, false
	}
	if t.IsZero() {
		return true
	}
	d := time.Until(t)
	if d <= 0 {
		l.expire()
		return true
	}
	setting := l.setting
	l.timer = time.AfterFunc(d, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.setting == setting {
			l.expire()
		}
	})
	return true
}

// expire wakes the calls that wait. The caller holds l.mu.
func (l *limit) expire() {
	l.over = true
	if l.expired != nil {
		close(l.expired)
	}
}

// stop ends the timer. After it, set does nothing.
func (l *limit) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	l.setting++
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}
