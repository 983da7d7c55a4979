package qmptest

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// More networks for scripts.
const (
	// SocketPair is a pair of unix sockets that is open from the start; the
	// client's end is Player.Conn.
	SocketPair = "socketpair"
)

// DefaultLimit is how long a script may take as a whole.
const DefaultLimit = 10 * time.Second

// ScriptOptions configures Play. A nil *ScriptOptions, like the zero value,
// suits most tests.
type ScriptOptions struct {
	// Network is Unix (the default), TCP, TCP6, Memory or SocketPair.
	Network string

	// DialTo makes the script connect to a client that listens at this
	// address, and Network is ignored. It tries until somebody listens.
	DialTo string

	// Limit is how long the script may take as a whole, from the call of Play
	// on. Zero means DefaultLimit, and an hour of virtual time in a bubble of
	// testing/synctest, where waiting costs nothing.
	Limit time.Duration

	// MayStop says that the script need not come to its end: when the test is
	// over it is broken off, and running into the limit is no failure.
	MayStop bool

	// LineEnd is what goes behind what Greet, Return, ReturnError, Reply and
	// Event send. The default is CRLF.
	LineEnd LineEnd

	// Pretty spreads what these send over many lines, as QEMU does with
	// -mon pretty=on.
	Pretty bool

	// MaxMessage limits one message of the client, in bytes. Zero means 64
	// MiB; a negative number means no limit.
	MaxMessage int

	// PipeSize is how many bytes a Memory connection holds in each direction.
	// Zero means DefaultPipeSize.
	PipeSize int
}

// A Player plays a script. Its methods may be called by any goroutine.
type Player struct {
	t        testing.TB
	home     home
	opts     ScriptOptions
	steps    []Step
	limit    time.Duration
	deadline time.Time

	ln      net.Listener // nil unless it listens
	addr    string
	client  net.Conn // the client's end of a SocketPair, else nil
	cleanup func()   // removes the socket file

	ctx      context.Context // ends with the deadline, and with stop
	cancel   context.CancelFunc
	testOver chan struct{} // closed when the test has ended
	done     chan struct{} // closed when play has ended
	rec      record

	mu      sync.Mutex    // guards the fields below; nobody waits while holding it
	marks   marks         //
	waiting []net.Conn    // server ends of Memory connections that no Accept has taken yet
	arrived chan struct{} // nil, or closed and forgotten when waiting grows
	conns   []net.Conn    // accepted, to be closed in the end
	stopped bool          // nothing more is accepted
	broken  bool          // the script was broken off, so a failure is none
	at      int           // the step being played
	failure error         // why the script failed
}

// Script plays steps to one client after another over a unix socket and
// returns its address. See Play.
func Script(t testing.TB, steps ...Step) string {
	t.Helper()
	return Play(t, nil, steps...).Addr()
}

// ScriptTCP is Script over TCP; the address is host:port.
func ScriptTCP(t testing.TB, steps ...Step) string {
	t.Helper()
	return Play(t, &ScriptOptions{Network: TCP}, steps...).Addr()
}

// ScriptMemory is Script over in-memory connections. It returns the function
// that makes one, and suits testing/synctest.
func ScriptMemory(t testing.TB, steps ...Step) func(context.Context) (net.Conn, error) {
	t.Helper()
	return Play(t, &ScriptOptions{Network: Memory}, steps...).Dial
}

// ScriptConn is Script over one open connection, a unix socket, whose other
// end it returns.
func ScriptConn(t testing.TB, steps ...Step) net.Conn {
	t.Helper()
	return Play(t, &ScriptOptions{Network: SocketPair}, steps...).Conn()
}

// ScriptDial is Script for a client that listens, at addr: each Accept connects
// to it.
func ScriptDial(t testing.TB, addr string, steps ...Step) *Player {
	t.Helper()
	return Play(t, &ScriptOptions{DialTo: addr}, steps...)
}

// Play plays steps, one after another, in a goroutine of its own. It returns
// as soon as clients can connect; opts may be nil.
//
// A step that fails, or runs into the limit, fails the test, and ends all
// connections and the script. If the latest connection is still open behind the
// last step, an ExpectEOF follows by itself. When the test is over it waits for
// the script's end.
func Play(t testing.TB, opts *ScriptOptions, steps ...Step) *Player {
	t.Helper()
	p := &Player{
		t: t, home: here(), steps: steps,
		testOver: make(chan struct{}), done: make(chan struct{}),
		cleanup: func() {},
	}
	if opts != nil {
		p.opts = *opts
	}
	if p.limit = p.opts.Limit; p.limit == 0 {
		p.limit = defaultLimit()
	}
	p.steps = append(slices.Clip(steps), impliedEOF())
	if err := p.open(); err != nil {
		t.Fatalf("qmptest: script: %v", err)
	}
	p.deadline = time.Now().Add(p.limit)
	p.ctx, p.cancel = context.WithDeadline(context.Background(), p.deadline)
	t.Cleanup(p.finish)
	go p.play()
	return p
}

// defaultLimit is longer where time is virtual: a test of a 15 s timeout must
// not run into a limit that is meant for a client that hangs.
func defaultLimit() time.Duration {
	if inBubble() {
		return time.Hour
	}
	return DefaultLimit
}

func (p *Player) open() (err error) {
	if p.opts.DialTo != "" || p.opts.Network != Memory {
		if err := noSocketHere(); err != nil {
			return err
		}
	}
	switch {
	case p.opts.DialTo != "":
		p.addr = p.opts.DialTo
	case p.opts.Network == Memory:
	case p.opts.Network == SocketPair:
		var server net.Conn
		if p.client, server, err = socketPair(); err == nil {
			p.waiting = []net.Conn{server}
		}
	default:
		p.ln, p.addr, p.cleanup, err = listen(p.opts.Network)
	}
	return err
}

// Addr returns where the script listens, or DialTo: a path, or host:port. It is
// empty for Memory and SocketPair. In a bubble of testing/synctest, where a real
// socket cannot be used, it fails the test.
func (p *Player) Addr() string {
	if p.addr != "" {
		p.t.Helper()
		refuseSocket(p.t)
	}
	return p.addr
}

// Conn returns the client's end of a SocketPair, and nil for other networks. In
// a bubble of testing/synctest a SocketPair fails the test.
func (p *Player) Conn() net.Conn {
	if p.client != nil {
		p.t.Helper()
		refuseSocket(p.t)
	}
	return p.client
}

// Dial connects to the script. For Memory that is a new Pipe whose other end
// the next Accept takes; for others it dials Addr. In a bubble of
// testing/synctest it ends the script with an error, unless Play was called in
// that bubble.
func (p *Player) Dial(ctx context.Context) (net.Conn, error) {
	if err := p.home.check("the script"); err != nil {
		p.misused(err)
		return nil, err
	}
	if p.opts.Network != Memory || p.opts.DialTo != "" {
		return dialAddr(ctx, p.addr)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	size := p.opts.PipeSize
	if size == 0 {
		size = DefaultPipeSize
	}
	client, server := PipeSize(size)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil, client.opError("dial", syscall.ECONNREFUSED)
	}
	p.waiting = append(p.waiting, server)
	if p.arrived != nil {
		close(p.arrived)
		p.arrived = nil
	}
	return client, nil
}

// Received returns what clients have sent so far, as far as steps have read it.
func (p *Player) Received() []Message {
	return p.rec.sofar()
}

// AwaitReceived waits until done, given all messages so far, returns true, and
// returns them; or until ctx or the script has ended.
func (p *Player) AwaitReceived(ctx context.Context, done func([]Message) bool) ([]Message, error) {
	if err := p.home.check("the script"); err != nil {
		p.misused(err)
		return nil, err
	}
	ctx, cancel := withDone(ctx, p.done)
	defer cancel()
	return p.rec.await(ctx, done)
}

// withDone returns a context that ends with ctx, and when done is closed.
func withDone(ctx context.Context, done <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-done:
			cancel(errors.New("the server has ended"))
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-ended
	}
}

// Mark sets a mark that an AwaitMark step may wait for. A mark stays set.
func (p *Player) Mark(name string) {
	if err := p.home.check("the script"); err != nil {
		p.misused(err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.marks.set(name)
}

// AwaitMark waits for a Mark step. It fails the test, and ends it by FailNow,
// if the script ends without that; so it is for the test's own goroutine.
func (p *Player) AwaitMark(name string) {
	p.t.Helper()
	if err := p.home.check("the script"); err != nil {
		p.misused(err)
		p.t.FailNow()
	}
	set := p.mark(name)
	select {
	case <-set:
		return
	case <-p.done:
	}
	select {
	case <-set:
	default:
		p.t.Fatalf("qmptest: the script has ended without Mark(%q)", name)
	}
}

func (p *Player) mark(name string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.marks.get(name)
}

// Wait waits for the script's end and returns why it failed, or nil.
func (p *Player) Wait() error {
	if err := p.home.check("the script"); err != nil {
		p.misused(err)
		return err
	}
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure
}

// Step returns the index of the step being played, and how many there are, the
// implied ExpectEOF included. When all have been played the two are equal.
func (p *Player) Step() (at, of int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at, len(p.steps)
}

// marks are names that are set or not. The zero value has none set.
type marks map[string]chan struct{}

func (m *marks) get(name string) chan struct{} {
	if *m == nil {
		*m = make(marks)
	}
	c, ok := (*m)[name]
	if !ok {
		c = make(chan struct{})
		(*m)[name] = c
	}
	return c
}

func (m *marks) set(name string) {
	c := m.get(name)
	select {
	case <-c:
	default:
		close(c)
	}
}
