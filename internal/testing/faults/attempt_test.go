package faults

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// patience is the time limit of a script on real sockets. What the script waits
// for happens at once; the limit is many times what that takes on a busy machine.
const patience = time.Minute

// An attempt is one run of a fault through one layer. Its methods are what the
// faults' run functions call.
type attempt struct {
	*testing.T
	client
	layer  string
	row    *row
	open   func(async.Options, string) (client, error)
	place  place
	player *qmptest.Player

	watch  *async.RunstateWatcher
	first  async.Runstate // the client's state when watch began
	log    *logged
	began  time.Time // when the attempt began, or took was called last
	conns  []weak.Pointer[watched]
	closed []*atomic.Bool // whether each of conns has been closed

	dialing  sync.Mutex      // guards the fields below, down to dialErrs
	dialled  int             // how often dial has been called
	dials    int             // how many more calls of dial have to fail
	dialErr  error           // the error of those calls
	dialErrs []syscall.Errno // the errors of the next calls, one after another

	writeErr atomic.Pointer[error] // if it is set, the error of every write
}

// failDials makes the next n dials fail.
func (a *attempt) failDials(n int, err error) {
	a.dialing.Lock()
	defer a.dialing.Unlock()
	a.dials, a.dialErr = n, err
}

// failDialsWith makes the next dials fail with errs, one after another.
func (a *attempt) failDialsWith(errs []syscall.Errno) {
	a.dialing.Lock()
	defer a.dialing.Unlock()
	a.dialErrs = errs
}

// failWrites makes every write from now on fail.
func (a *attempt) failWrites(err error) { a.writeErr.Store(&err) }

// dial is the client's Dialer.
func (a *attempt) dial(ctx context.Context) (net.Conn, error) {
	if err := a.dialError(); err != nil {
		return nil, err
	}
	conn, err := a.player.Dial(ctx)
	if _, inMemory := conn.(*qmptest.PipeConn); err != nil || !inMemory {
		return conn, err
	}
	w := &watched{conn, new(atomic.Bool), &a.writeErr}
	a.closed = append(a.closed, w.closed)
	a.conns = append(a.conns, weak.Make(w))
	return w, nil
}

// dialError counts a call of dial, and returns the error with which it has to fail.
func (a *attempt) dialError() error {
	a.dialing.Lock()
	defer a.dialing.Unlock()
	a.dialled++
	if a.dials > 0 {
		a.dials--
		return a.dialErr
	}
	if len(a.dialErrs) > 0 {
		err := a.dialErrs[0]
		a.dialErrs = a.dialErrs[1:]
		return err
	}
	return nil
}

// A watched connection records that it was closed. attempt.conns has weak
// pointers to these connections, which show whether a goroutine, a timer or a
// context still refers to one.
type watched struct {
	net.Conn
	closed   *atomic.Bool
	writeErr *atomic.Pointer[error]
}

func (w *watched) Write(p []byte) (int, error) {
	if err := w.writeErr.Load(); err != nil {
		return 0, *err
	}
	return w.Conn.Write(p)
}

func (w *watched) Close() error {
	w.closed.Store(true)
	return w.Conn.Close()
}

// logged is the text of the log. Any goroutine may write and read it.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// run runs the fault once. Then it requires that the client is idle, that its
// connections are closed, and that nothing refers to them.
func (a *attempt) run(t *testing.T) {
	a.T, a.log = t, new(logged)
	script, steps, opts, listenAt := a.row.script, a.row.steps, a.row.options, ""
	if a.place.steps != nil {
		steps = a.place.steps
	}
	inBubble := script.Network == ""
	if inBubble {
		script.Network = qmptest.Memory
	} else {
		script.Limit = patience
	}
	if script.DialTo != "" {
		listenAt = filepath.Join(t.TempDir(), "s")
		script.DialTo = listenAt
	}
	a.player = qmptest.Play(t, &script, steps...)
	opts.Logger = slog.New(slog.NewTextHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if listenAt == "" {
		opts.Dialer = a.dial
	}
	var err error
	if a.client, err = a.open(opts, listenAt); err != nil {
		t.Fatal(err)
	}
	// The script waits until the client has hung up. If the test fails, Close
	// does that.
	defer a.engine().Close()
	a.first, a.watch = a.engine().Runstate(), a.engine().WatchRunstate()
	defer a.watch.Close()
	watching := make(chan []async.Transition, 1)
	go func() { watching <- slices.Collect(a.watch.All(context.Background())) }()
	a.began = time.Now()
	a.row.run(a)

	// Disconnect always completes, and nothing is left after it.
	a.client.end()
	if got := a.engine().Runstate(); got != async.Idle {
		t.Errorf("after Disconnect the client is %v, want idle", got)
	}
	a.watch.Close()
	a.checkTransitions(<-watching)
	for i, closed := range a.closed {
		if !closed.Load() {
			t.Errorf("connection %d is not closed", i)
		}
	}
	if inBubble && a.place.at%8 == 0 { // not at every place, because a garbage collection takes long
		for i, conn := range a.conns {
			synctest.Wait()
			if runtime.GC(); conn.Value() != nil {
				t.Errorf("something still refers to connection %d", i)
			}
		}
	}
	if r, ok := a.client.(*asyncClient); ok {
		r.release()
	}
}

// checkTransitions requires that the transitions that the watcher saw are legal,
// follow one another, and end in idle.
func (a *attempt) checkTransitions(seen []async.Transition) {
	state := a.first
	ways := map[async.Runstate][]async.Runstate{
		async.Idle:          {async.Connecting},
		async.Connecting:    {async.Running, async.Disconnecting},
		async.Running:       {async.Disconnecting},
		async.Disconnecting: {async.Idle},
	}
	if a.row.options.Reconnect != nil {
		ways[async.Running] = append(ways[async.Running], async.Connecting)
	}
	for _, tr := range seen {
		if tr.From != state || !slices.Contains(ways[tr.From], tr.To) {
			a.Errorf("in state %v the watcher saw the transition from %v to %v, which is not legal there", state, tr.From, tr.To)
		}
		state = tr.To
	}
	if a.dialled > 0 && len(seen) == 0 {
		a.Error("the watcher saw no transition, though the client has dialled")
	}
	if state != async.Idle {
		a.Errorf("the watcher's last state is %v, want idle", state)
	}
}

// ends requires that a call ended with the outcome want, and notes it for the
// page.
func (a *attempt) ends(call string, err error, want string) {
	a.Helper()
	got := outcome(err)
	if got != want {
		a.Errorf("%s%s: got %s\n\t(%v)\nwant %s", a.place, call, got, err, want)
	}
	if err != nil && strings.ContainsAny(err.Error(), "\r\n") {
		a.Errorf("%s%s: the error's text has more than one line: %q", a.place, call, err)
	}
	a.row.note(a.layer, call, got)
}

// says requires that an error's text contains each of parts.
func (a *attempt) says(err error, parts ...string) {
	a.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			a.Errorf("%sthe error is %v, want %q in its text", a.place, err, part)
		}
	}
}

// gives executes a command and requires that its value is want.
func (a *attempt) gives(command, want string) {
	a.Helper()
	got, err := a.execute(connectLimit, command, nil)
	a.is(command, got, err, want)
}

// is requires that a call returned want and no error.
func (a *attempt) is(what, got string, err error, want string) {
	a.Helper()
	if err != nil || blankless(got) != blankless(want) {
		a.Errorf("%s%s: got %q and error %v, want %q", a.place, what, got, err, want)
	}
}

// blankless removes white space. The values of the legacy layer are encoded again
// without it.
func blankless(json string) string { return strings.Join(strings.Fields(json), "") }

// hears requires that the events in the queue are those of want. It does not wait.
func (a *attempt) hears(want ...string) {
	a.Helper()
	var got []string
	for {
		ev, err := a.poll()
		if err != nil {
			a.Errorf("%spoll: %v", a.place, err)
		}
		if err != nil || ev == "" {
			break
		}
		got = append(got, ev)
	}
	if !slices.Equal(got, want) {
		a.Errorf("%sgot events %v, want %v", a.place, got, want)
	}
}

// connected connects and requires that there is no error.
func (a *attempt) connected() {
	a.Helper()
	if err := a.connect(); err != nil {
		a.Fatalf("%sconnect: %v", a.place, err)
	}
}

// took requires that want has passed since the last call of took, or since the
// start. It is for the time of a bubble, which is exact.
func (a *attempt) took(want time.Duration) {
	a.Helper()
	if got := time.Since(a.began); got != want {
		a.Errorf("%stook %v, want %v", a.place, got, want)
	}
	a.began = time.Now()
}

// together runs f in a goroutine of its own, and returns when all goroutines of
// the bubble wait. The channel gets f's result.
func together[T any](f func() T) <-chan T {
	done := make(chan T, 1)
	go func() { done <- f() }()
	synctest.Wait()
	return done
}

// A result is what a command returned.
type result struct {
	value string
	err   error
}

// pending executes a command in a goroutine of its own, and returns when that
// waits.
func (a *attempt) pending(limit time.Duration, name string, args any) <-chan result {
	return together(func() result {
		v, err := a.execute(limit, name, args)
		return result{v, err}
	})
}

// A heard is the events that a goroutine read, and the error that ended it.
type heard struct {
	events []string
	err    error
}

// waitLimit is the time limit of a wait for an event. All other limits are
// shorter.
const waitLimit = time.Minute

// waiting reads events in a goroutine of its own, until a read fails.
func (a *attempt) waiting() <-chan heard {
	return together(func() (h heard) {
		for {
			ev, err := a.next(waitLimit)
			if err != nil {
				h.err = err
				return h
			}
			h.events = append(h.events, ev)
		}
	})
}

// heard requires that h has these events, and that end is the outcome of the read
// that failed.
func (a *attempt) heard(h heard, events []string, end string) {
	a.Helper()
	a.ends("an event wait", h.err, end)
	if !slices.Equal(h.events, events) {
		a.Errorf("%sgot events %v, want %v", a.place, h.events, events)
	}
}
