package faults

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
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

// patience is how long a case on real sockets may wait for what is to happen at
// once: many times what it takes on a busy machine.
const patience = time.Minute

// An attempt is one run of a fault through one layer.
type attempt struct {
	*testing.T
	client
	layer  string
	row    *row
	open   func(async.Options, string) (client, error)
	place  place
	player *qmptest.Player

	watch  *async.RunstateWatcher
	first  async.Runstate // which the watch began in
	log    *logged
	began  time.Time
	conns  []weak.Pointer[watched]
	closed []*atomic.Bool // of the same connections

	dialled  int // how often
	dials    int // that are to fail yet
	dialErr  error
	writeErr atomic.Pointer[error] // of every write, if it is set
}

// failDials makes the next n dials fail.
func (a *attempt) failDials(n int, err error) { a.dials, a.dialErr = n, err }

// failWrites makes every write from now on fail.
func (a *attempt) failWrites(err error) { a.writeErr.Store(&err) }

// dial is the client's Dialer.
func (a *attempt) dial(ctx context.Context) (net.Conn, error) {
	a.dialled++
	if a.dials > 0 {
		a.dials--
		return nil, a.dialErr
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

// A watched connection is known to have been closed, and to have been let go
// when nothing points to it any more: no goroutine, no timer, no context.
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

// A logged text may be written and read by any goroutine.
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
	// The script waits for the client's end, also where the test gives up.
	defer a.engine().Close()
	a.first, a.watch = a.engine().Runstate(), a.engine().WatchRunstate()
	defer a.watch.Close()
	watching := make(chan []async.Transition, 1)
	go func() { watching <- slices.Collect(a.watch.All(context.Background())) }()
	a.began = time.Now()
	a.row.run(a)

	// Whatever has happened: the end completes, and nothing is left.
	a.client.end()
	if got := a.engine().Runstate(); got != async.Idle {
		t.Errorf("in the end the client is %v, want it idle", got)
	}
	a.watch.Close()
	a.checkTransitions(<-watching)
	for i, closed := range a.closed {
		if !closed.Load() {
			t.Errorf("connection %d was not closed", i)
		}
	}
	if inBubble && a.place.at%8 == 0 { // a collection takes a while
		for i, conn := range a.conns {
			synctest.Wait()
			if runtime.GC(); conn.Value() != nil {
				t.Errorf("something still holds connection %d", i)
			}
		}
	}
	if r, ok := a.client.(*asyncClient); ok {
		r.release()
	}
}

// checkTransitions requires what the watcher saw to be a way through the states,
// to idle.
func (a *attempt) checkTransitions(seen []async.Transition) {
	state := a.first
	ways := map[async.Runstate][]async.Runstate{
		async.Idle:          {async.Connecting},
		async.Connecting:    {async.Running, async.Disconnecting},
		async.Running:       {async.Disconnecting},
		async.Disconnecting: {async.Idle},
	}
	for _, tr := range seen {
		if tr.From != state || !slices.Contains(ways[tr.From], tr.To) {
			a.Errorf("in state %v the watcher saw %v to %v", state, tr.From, tr.To)
		}
		state = tr.To
	}
	if a.dialled > 0 && len(seen) == 0 {
		a.Error("the watcher saw no transition, though the client has dialled")
	}
	if state != async.Idle {
		a.Errorf("the watcher's last state is %v, want it idle", state)
	}
}

// outcome says in a few words what an error is, for errors.As and errors.Is.
func outcome(err error) string {
	if err == nil {
		return "no error"
	}
	var says []string
	add := func(is bool, what string) {
		if is {
			says = append(says, what)
		}
	}
	add(isA[*async.ConnectError](err), "ConnectError")
	add(isA[*async.StateError](err), "StateError")
	add(isA[*async.ExecuteError](err), "ExecuteError")
	if e, ok := errors.AsType[*async.ExecInterruptedError](err); ok {
		switch {
		case e.Command == "":
			says = append(says, "ExecInterruptedError")
		case e.Sent && !e.SafeToRetry():
			says = append(says, "ExecInterruptedError (sent)")
		case !e.Sent && e.SafeToRetry():
			says = append(says, "ExecInterruptedError (not sent)")
		default:
			says = append(says, "a contradiction")
		}
	}
	add(isA[*async.GreetingError](err), "GreetingError")
	add(isA[*async.NegotiationError](err), "NegotiationError")
	add(isA[*async.ServerParseError](err), "ServerParseError")
	add(isA[*async.BadReplyError](err), "BadReplyError")
	if e, ok := errors.AsType[*async.MessageError](err); ok {
		says = append(says, "MessageError ("+string(e.Reason)+")")
	}
	add(isA[*async.InvalidIDError](err), "InvalidIDError")
	add(isA[*async.OverflowError](err), "OverflowError")
	for _, s := range sentinels {
		add(errors.Is(err, s.err), s.name)
	}
	if says == nil {
		return "another error"
	}
	return strings.Join(says, ", ")
}

// A layer's own TimeoutError matches context.DeadlineExceeded, too.
var sentinels = []struct {
	err  error
	name string
}{
	{io.EOF, "io.EOF"},
	{io.ErrUnexpectedEOF, "io.ErrUnexpectedEOF"},
	{syscall.ECONNRESET, "ECONNRESET"},
	{syscall.EPIPE, "EPIPE"},
	{syscall.ECONNREFUSED, "ECONNREFUSED"},
	{os.ErrNotExist, "os.ErrNotExist"},
	{syscall.EACCES, "EACCES"},
	{syscall.EBADF, "EBADF"},
	{context.DeadlineExceeded, "context.DeadlineExceeded"},
	{async.ErrClosed, "ErrClosed"},
	{async.ErrNoOOB, "ErrNoOOB"},
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// ends requires that a call came to want, which goes onto the page.
func (a *attempt) ends(call string, err error, want string) {
	a.Helper()
	got := outcome(err)
	if got != want {
		a.Errorf("%s%s: got %s\n\t(%v)\nwant %s", a.place, call, got, err, want)
	}
	if err != nil && strings.ContainsAny(err.Error(), "\r\n") {
		a.Errorf("%s%s: the error takes more than a line: %q", a.place, call, err)
	}
	a.row.note(a.layer, call, got)
}

// says requires that an error's text has parts in it.
func (a *attempt) says(err error, parts ...string) {
	a.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			a.Errorf("%sthe error is %v, want it to say %q", a.place, err, part)
		}
	}
}

// gives executes a command and requires its value.
func (a *attempt) gives(command, want string) {
	a.Helper()
	got, err := a.execute(connectLimit, command, nil)
	a.is(command, got, err, want)
}

func (a *attempt) is(what, got string, err error, want string) {
	a.Helper()
	if err != nil || blankless(got) != blankless(want) {
		a.Errorf("%s%s: got %q and error %v, want %q", a.place, what, got, err, want)
	}
}

// blankless takes out the blanks, which the legacy layer's values have not kept.
func blankless(json string) string { return strings.Join(strings.Fields(json), "") }

// hears requires the events that are there without waiting, and no others.
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

func (a *attempt) connected() {
	a.Helper()
	if err := a.connect(); err != nil {
		a.Fatalf("%sconnect: %v", a.place, err)
	}
}

// took requires the time that has passed since the last took, or the start. It
// is for the virtual time of a bubble, which is exact.
func (a *attempt) took(want time.Duration) {
	a.Helper()
	if got := time.Since(a.began); got != want {
		a.Errorf("%stook %v, want %v", a.place, got, want)
	}
	a.began = time.Now()
}

// together runs f in a goroutine of its own, and returns when all are at rest.
func together[T any](f func() T) <-chan T {
	done := make(chan T, 1)
	go func() { done <- f() }()
	synctest.Wait()
	return done
}

// A result is what a command came to.
type result struct {
	value string
	err   error
}

// pending executes a command in a goroutine of its own, and returns when it
// waits.
func (a *attempt) pending(limit time.Duration, name string, args any) <-chan result {
	return together(func() result {
		v, err := a.execute(limit, name, args)
		return result{v, err}
	})
}

// A heard is what a wait for events came to.
type heard struct {
	events []string
	err    error
}

// waitLimit is longer than what else may end.
const waitLimit = time.Minute

// waiting waits for events in a goroutine of its own.
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

// heard requires the events that a wait has met, and what ended it.
func (a *attempt) heard(h heard, events []string, end string) {
	a.Helper()
	a.ends("an event wait", h.err, end)
	if !slices.Equal(h.events, events) {
		a.Errorf("%sgot events %v, want %v", a.place, h.events, events)
	}
}
