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

// SocketPair is a network for scripts alone: two unix sockets that are connected
// to each other from the start. Player.Conn returns the client's end.
const SocketPair = "socketpair"

// DefaultLimit is how long a script may take, from the call of Play to the end of
// its last step. See ScriptOptions.Limit.
const DefaultLimit = 10 * time.Second

// ScriptOptions configures Play. A nil *ScriptOptions, like the zero value,
// suits most tests.
type ScriptOptions struct {
	// Network is Unix (the default), TCP, TCP6, Memory or SocketPair.
	Network string

	// DialTo makes the script connect to a client that listens at this address.
	// The script tries until somebody listens there. Network is ignored then.
	DialTo string

	// Limit is how long the script may take, from the call of Play to the end of
	// its last step. Zero means DefaultLimit. In a bubble of testing/synctest,
	// where waiting costs nothing, zero means an hour of the bubble's time.
	Limit time.Duration

	// MayStop says that the script need not reach its end. When the test is over,
	// the script is stopped, and the test does not fail if the script's time
	// limit passes.
	MayStop bool

	// LineEnd is what Greet, Return, ReturnError, Reply and Event write after
	// each message. The default is CRLF.
	LineEnd LineEnd

	// Pretty makes the same steps spread each message over many lines, as QEMU
	// does with -mon pretty=on.
	Pretty bool

	// MaxMessage limits one message of the client, in bytes. Zero means 64 MiB. A
	// negative number means no limit.
	MaxMessage int

	// PipeSize is how many bytes a Memory connection buffers in each direction.
	// Zero means DefaultPipeSize.
	PipeSize int
}

// A Player plays a script. Its methods may be called by any goroutine, except
// AwaitMark, which is for the test's own goroutine.
type Player struct {
	t        testing.TB
	home     home
	opts     ScriptOptions
	steps    []Step
	limit    time.Duration
	deadline time.Time

	ln      net.Listener // nil if the script does not listen
	addr    string
	client  net.Conn // the client's end of a SocketPair, else nil
	cleanup func()   // removes the socket's file

	ctx      context.Context // ended by the deadline, or by stop
	cancel   context.CancelFunc
	testOver chan struct{} // closed when the test has ended
	done     chan struct{} // closed when play has ended
	rec      history

	mu      sync.Mutex    // guards the fields below; nobody waits while holding it
	marks   marks         // which names Mark has been called with
	waiting []net.Conn    // server ends of Memory connections and SocketPairs that no Accept has taken yet
	arrived chan struct{} // nil, or a channel that is closed and replaced by nil when waiting grows
	conns   []net.Conn    // accepted; stop closes them
	stopped bool          // no connection is accepted any more
	broken  bool          // the script was stopped before its end, so the error of its step is not a failure
	at      int           // the step being played
	failure error         // why the script failed
}

// Script plays steps over a unix socket, and returns its address. Each Accept
// among the steps takes one client. See Play.
func Script(t testing.TB, steps ...Step) string {
	t.Helper()
	return Play(t, nil, steps...).Addr()
}

// ScriptTCP is Script over TCP; the address is host:port.
func ScriptTCP(t testing.TB, steps ...Step) string {
	t.Helper()
	return Play(t, &ScriptOptions{Network: TCP}, steps...).Addr()
}

// ScriptMemory is Script over in-memory connections. It returns a function that
// makes a connection, for async.Options.Dialer, and can be used in a bubble of
// testing/synctest.
func ScriptMemory(t testing.TB, steps ...Step) func(context.Context) (net.Conn, error) {
	t.Helper()
	return Play(t, &ScriptOptions{Network: Memory}, steps...).Dial
}

// ScriptConn is Script over a SocketPair. It returns the client's end.
func ScriptConn(t testing.TB, steps ...Step) net.Conn {
	t.Helper()
	return Play(t, &ScriptOptions{Network: SocketPair}, steps...).Conn()
}

// ScriptDial is Script for a client that listens at addr. Each Accept connects to
// it.
func ScriptDial(t testing.TB, addr string, steps ...Step) *Player {
	t.Helper()
	return Play(t, &ScriptOptions{DialTo: addr}, steps...)
}

// Play plays steps, one after another, in a goroutine of its own. It returns as
// soon as clients can connect. opts may be nil.
//
// If a step fails, or the script's time limit passes, the script ends, the test
// fails, and all connections are closed. If the latest connection is still open after the last
// step, an ExpectEOF follows by itself. The test's cleanup waits until the script
// has ended.
func Play(t testing.TB, opts *ScriptOptions, steps ...Step) *Player {
	t.Helper()
	p := prepare(t, opts, steps)
	p.begin()
	return p
}

// prepare returns a Player for which begin has to be called.
func prepare(t testing.TB, opts *ScriptOptions, steps []Step) *Player {
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
	return p
}

// begin starts the script.
func (p *Player) begin() { go p.play() }

// defaultLimit is longer in a bubble. The limit is meant for a client that hangs,
// and must not end the test of a timeout of 15 s.
func defaultLimit() time.Duration {
	if inBubble() {
		return time.Hour
	}
	return DefaultLimit
}

// open opens what the script's network needs.
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

// Addr returns the address at which the script listens, a path or host:port, or
// DialTo. It is empty for Memory and SocketPair. In a bubble of testing/synctest,
// where a real socket cannot be used, Addr fails the test.
func (p *Player) Addr() string {
	if p.addr != "" {
		p.t.Helper()
		refuseSocket(p.t)
	}
	return p.addr
}

// Conn returns the client's end of a SocketPair, and nil for other networks. Each
// call returns the same connection. When the test is over it is closed. In a
// bubble of testing/synctest, where a real socket cannot be used, Conn fails the
// test.
func (p *Player) Conn() net.Conn {
	if p.client != nil {
		p.t.Helper()
		refuseSocket(p.t)
	}
	return p.client
}

// Dial connects to the script. For Memory it makes a new Pipe, whose other end
// the next Accept takes. For other networks it dials Addr. In a bubble of
// testing/synctest other than the one in which Play was called, Dial fails the
// test and returns an error.
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

// Received returns the messages of clients that steps have read so far, in order.
func (p *Player) Received() []Message {
	return p.rec.sofar()
}

// AwaitReceived calls done with all messages so far, and again after each new
// one, until done returns true. It returns these messages. If ctx or the script
// ends first, it returns the messages so far and an error. If ctx has ended, the
// error matches its cause.
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
			cancel(errors.New("the server or script has ended"))
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-ended
	}
}

// Mark sets the mark name, for which an AwaitMark step may wait. A mark stays set:
// a later AwaitMark does not wait.
func (p *Player) Mark(name string) {
	if err := p.home.check("the script"); err != nil {
		p.misused(err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.marks.set(name)
}

// AwaitMark waits until the step Mark(name) has been played. If the script ends
// without it, AwaitMark fails the test by FailNow. So it must be called by the
// test's own goroutine.
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

// mark returns a channel that is closed when the mark is set.
func (p *Player) mark(name string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.marks.get(name)
}

// Wait waits until the script has ended, and returns why it failed, or nil.
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

// Step returns the index of the step being played, and the number of steps. The
// added ExpectEOF counts. When all steps have been played, at equals of.
func (p *Player) Step() (at, of int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at, len(p.steps)
}

// marks are names, each with a channel that is closed when the mark is set. In
// the zero value no mark is set.
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
