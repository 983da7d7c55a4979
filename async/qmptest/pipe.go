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
// A goroutine that waits in it is durably blocked in the sense of
// testing/synctest. Make the pipe inside the bubble: a pipe that was made
// elsewhere fails every call with an error that says so.
func Pipe() (client, server *PipeConn) { return PipeSize(DefaultPipeSize) }

// PipeSize is Pipe with buffers of size bytes in each direction, at least 1.
func PipeSize(size int) (client, server *PipeConn) {
	size = max(size, 1)
	up, down := newLane(size), newLane(size)
	home := here()
	client = &PipeConn{home: home, in: down, out: up, closed: make(chan struct{})}
	server = &PipeConn{home: home, in: up, out: down, closed: make(chan struct{})}
	return client, server
}

// A PipeConn is one end of a Pipe. Its methods may be called by any goroutine
// at any time. Bytes of concurrent Writes do not mix.
//
// Errors are those of a socket: an io.EOF from Read stands alone, all others
// come in a *net.OpError around net.ErrClosed (this end was closed),
// os.ErrDeadlineExceeded, syscall.EPIPE (the other end was closed) or
// syscall.ECONNRESET (the other end called Reset).
type PipeConn struct {
	home    home
	in, out *lane // the other end has them the other way round

	closed    chan struct{} // closed by end
	closeOnce sync.Once

	readLimit, writeLimit limit
}

var _ net.Conn = (*PipeConn)(nil)

// Read reads what is buffered, up to len(p) bytes, and waits while nothing is.
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

// Write writes all of p, waiting while the buffer is full. When it cannot, it
// returns how many bytes got through.
func (c *PipeConn) Write(p []byte) (int, error) {
	if err := c.home.quickCheck("this Pipe"); err != nil {
		return 0, c.opError("write", err)
	}
	// The turn keeps concurrent writes apart. It is a channel and not a mutex,
	// so that waiting for it ends with the deadline.
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

// Close ends both directions. What the other end has not read yet it still
// can, and then gets io.EOF; its writes fail with syscall.EPIPE.
func (c *PipeConn) Close() error { return c.end(io.EOF, syscall.EPIPE) }

// Reset is Close as a TCP reset does it: behind what is already buffered, the
// other end's reads and writes fail with syscall.ECONNRESET.
func (c *PipeConn) Reset() error { return c.end(syscall.ECONNRESET, syscall.ECONNRESET) }

func (c *PipeConn) end(readerGets, writerGets error) error {
	if err := c.home.quickCheck("this Pipe"); err != nil && c.home != "" {
		return c.opError("close", err) // the runtime does not let it be closed from there
	}
	err := net.ErrClosed
	c.closeOnce.Do(func() {
		err = nil
		close(c.closed) // first: who waits at this end is to see this, and not what the lanes say
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

// CloseWrite ends the direction towards the other end, which reads io.EOF
// behind what is buffered. Reading goes on.
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

// awaitRead waits until the other end has read everything written to it, or
// until nothing more can come of that.
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

// SetDeadline sets both deadlines. The zero time means none.
func (c *PipeConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets when reads, waiting ones included, begin to fail.
func (c *PipeConn) SetReadDeadline(t time.Time) error { return c.setLimit(&c.readLimit, t) }

// SetWriteDeadline sets when writes, waiting ones included, begin to fail.
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
	turn chan struct{} // full while somebody writes

	mu        sync.Mutex    // guards the fields below; nobody waits while holding it
	data      []byte        // written and not yet read
	size      int           // the most that data may hold
	readerGet error         // what a read gets behind data; nil while the writer is there
	writerGet error         // what a write gets; nil while the reader is there
	changed   chan struct{} // nil, or closed and forgotten by the next change
}

func newLane(size int) *lane {
	return &lane{turn: make(chan struct{}, 1), size: size}
}

// take moves bytes into p. When there are none, it returns either why or what
// to wait for.
func (l *lane) take(p []byte) (n int, changed <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = copy(p, l.data)
	switch {
	case n > 0:
		if l.data = l.data[n:]; len(l.data) == 0 {
			l.data = nil // an idle pipe costs nothing
		}
		l.notify()
	case len(l.data) == 0 && l.readerGet != nil:
		return 0, nil, l.readerGet
	default:
		changed = l.watch()
	}
	return n, changed, nil
}

// put takes as much of p as there is room for.
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

// empty reports whether nothing is left that could still be read.
func (l *lane) empty() (bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.data) == 0 || l.writerGet != nil {
		return true, nil
	}
	return false, l.watch()
}

// endWriting says that no more bytes come, and that writes fail from now on.
func (l *lane) endWriting(readerGets error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// After CloseWrite, a Reset still shows to a reader that has not seen the end.
	if l.readerGet == nil || readerGets != io.EOF {
		l.readerGet = readerGets
	}
	if l.writerGet == nil {
		l.writerGet = syscall.EPIPE
	}
	l.notify()
}

// endReading says that nobody reads any more.
func (l *lane) endReading(writerGets error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.data = nil
	l.writerGet = writerGets
	l.notify()
}

// watch returns a channel that the next change closes. l.mu is held.
func (l *lane) watch() <-chan struct{} {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// notify wakes those who watch. l.mu is held.
func (l *lane) notify() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// A limit is a deadline that can be waited for and moved. The zero limit is
// none.
type limit struct {
	mu      sync.Mutex    // guards the fields below; nobody waits while holding it
	expired chan struct{} // closed when the deadline passes; made when first wanted
	over    bool          // expired is closed, or would be if it were made
	timer   *time.Timer   // runs while a deadline lies ahead
	setting int           // counts calls of set, so that a late timer knows that it is
	stopped bool          // the connection is closed
}

// wait returns a channel that is closed when the deadline has passed, wherever
// that is moved to meanwhile.
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

// expire wakes those who wait. l.mu is held.
func (l *limit) expire() {
	l.over = true
	if l.expired != nil {
		close(l.expired)
	}
}

// stop gives the timer up for good.
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
