// Helpers of the tests of all rules.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// bubble runs a test with a clock of its own: in a bubble, waiting takes no
// real time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// connected returns a script: the server greets with these capabilities, which
// spaces separate, answers qmp_capabilities, and goes on with steps.
func connected(capabilities string, steps ...qmptest.Step) []qmptest.Step {
	return append([]qmptest.Step{
		qmptest.Greet(strings.Fields(capabilities)...),
		qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`),
	}, steps...)
}

// patience is how long a test waits, in real time, for what must happen at
// once: many times what that takes on a busy machine.
const patience = time.Minute

// memory plays steps over in-memory connections, which work in a bubble.
func memory(t testing.TB, steps ...qmptest.Step) *qmptest.Player {
	t.Helper()
	return play(t, qmptest.ScriptOptions{Network: qmptest.Memory}, steps...)
}

// play plays steps. Outside a bubble it gives up after patience.
func play(t testing.TB, opts qmptest.ScriptOptions, steps ...qmptest.Step) *qmptest.Player {
	t.Helper()
	if inBubble := time.Now().Year() == 2000; !inBubble {
		opts.Limit = patience
	}
	return qmptest.Play(t, &opts, steps...)
}

// newClient returns a client that is closed when the test ends, before the test
// waits for the end of the script.
func newClient(t testing.TB, opts *async.Options) *async.Client {
	t.Helper()
	c := async.New(opts)
	t.Cleanup(func() { c.Close() })
	return c
}

// dial connects a client to p.
func dial(t testing.TB, p *qmptest.Player, opts *async.Options) *async.Client {
	t.Helper()
	if opts == nil {
		opts = &async.Options{}
	}
	o := *opts
	if o.Dialer == nil {
		o.Dialer = p.Dial
	}
	c := newClient(t, &o)
	connect(t, c)
	return c
}

// connect connects a client that has a Dialer.
func connect(t testing.TB, c *async.Client) {
	t.Helper()
	if err := c.Connect(t.Context(), "test"); err != nil {
		t.Fatalf("Connect: %v", err)
	}
}

// wantAs returns the E in err, and fails the test if there is none.
func wantAs[E error](t testing.TB, what string, err error) E {
	t.Helper()
	e, ok := errors.AsType[E](err)
	if !ok {
		var want E
		t.Fatalf("%s: got error %v (%T), want a %T in it", what, err, err, want)
	}
	return e
}

// wantIs fails the test unless err matches all of targets.
func wantIs(t testing.TB, what string, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("%s: got error %v (%T), want one that matches %v", what, err, err, target)
		}
	}
}

// wantText fails the test unless err is an error whose text has all of parts,
// on one line.
func wantText(t testing.TB, what string, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: got no error, want one that says %q", what, parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: error says %q, want %q in it", what, err, part)
		}
	}
	if strings.ContainsAny(err.Error(), "\r\n") {
		t.Errorf("%s: error takes more than one line: %q", what, err)
	}
}

func wantNil(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: got error %v (%T), want none", what, err, err)
	}
}

func wantState(t testing.TB, c *async.Client, want async.Runstate) {
	t.Helper()
	if got := c.Runstate(); got != want {
		t.Errorf("run state: got %v, want %v", got, want)
	}
}

// wantInterrupted checks the error of a call that was broken off: whether it
// was sent, and its causes.
func wantInterrupted(t testing.TB, what string, err error, sent bool, causes ...error) *async.ExecInterruptedError {
	t.Helper()
	e := wantAs[*async.ExecInterruptedError](t, what, err)
	if e.Sent != sent || e.SafeToRetry() == sent {
		t.Errorf("%s: got Sent %v and SafeToRetry %v, want %v and %v (%v)", what, e.Sent, e.SafeToRetry(), sent, !sent, err)
	}
	wantIs(t, what, err, causes...)
	return e
}

// wantValue checks the value of a reply, and that there was no error.
func wantValue(t testing.TB, what string, got json.RawMessage, err error, want string) {
	t.Helper()
	if err != nil || string(got) != want {
		t.Errorf("%s: got %s and error %v, want %s", what, got, err, want)
	}
}

// execute executes a command and checks its value.
func execute(t testing.TB, c *async.Client, name, want string) {
	t.Helper()
	got, err := c.Execute(t.Context(), name, nil)
	wantValue(t, name, got, err, want)
}

// transitions closes the watcher and returns all that it has seen.
func transitions(w *async.RunstateWatcher) (seen []string) {
	w.Close()
	for {
		tr, err := w.Next(context.Background())
		if err != nil {
			return seen
		}
		seen = append(seen, fmt.Sprintf("%v>%v", tr.From, tr.To))
	}
}

func wantTransitions(t testing.TB, w *async.RunstateWatcher, states string) {
	t.Helper()
	var want []string
	list := strings.Fields(states)
	for i := 1; i < len(list); i++ {
		want = append(want, list[i-1]+">"+list[i])
	}
	if got := transitions(w); !slices.Equal(got, want) {
		t.Errorf("transitions:\n got %v\nwant %v", got, want)
	}
}

// A result is what a call in a goroutine of its own returned.
type result struct {
	value json.RawMessage
	err   error
}

// start executes a command in a goroutine of its own.
func start(ctx context.Context, c *async.Client, cmd async.Command) <-chan result {
	done := make(chan result, 1)
	go func() {
		reply, err := c.Do(ctx, cmd)
		if err != nil {
			done <- result{err: err}
			return
		}
		value, err := reply.Value()
		done <- result{value, err}
	}()
	return done
}

// do runs f in a goroutine of its own.
func do(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// drained returns the names of all unread events, and fails the test if reading
// returns an error.
func drained(t testing.TB, l *async.EventListener) []string {
	t.Helper()
	events, err := l.Drain()
	if err != nil {
		t.Errorf("Drain: got error %v, want none", err)
	}
	return names(events)
}

func names(events []async.Event) (list []string) {
	for _, ev := range events {
		list = append(list, ev.Name)
	}
	return list
}

func wantNames(t testing.TB, what string, got []string, want string) {
	t.Helper()
	if !slices.Equal(got, strings.Fields(want)) {
		t.Errorf("%s: got events %v, want [%s]", what, got, want)
	}
}

// A rigged connection replaces some methods of its Conn.
type rigged struct {
	net.Conn
	write func(p []byte) (int, error)
	close func() error
}

func (r *rigged) Write(p []byte) (int, error) {
	if r.write == nil {
		return r.Conn.Write(p)
	}
	return r.write(p)
}

func (r *rigged) Close() error {
	err := r.Conn.Close()
	if r.close != nil {
		err = r.close()
	}
	return err
}

// rig returns a Dialer that connects to p and passes each connection through f.
func rig(p *qmptest.Player, f func(net.Conn) net.Conn) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := p.Dial(ctx)
		if err != nil {
			return nil, err
		}
		return f(conn), nil
	}
}

// failWritesFrom makes the n-th write, counted from 0, and all later ones fail.
func failWritesFrom(n int, err error) func(net.Conn) net.Conn {
	var mu sync.Mutex
	count := 0
	return func(conn net.Conn) net.Conn {
		return &rigged{Conn: conn, write: func(p []byte) (int, error) {
			mu.Lock()
			count++
			failing := count > n
			mu.Unlock()
			if failing {
				return 0, err
			}
			return conn.Write(p)
		}}
	}
}

// noProgress is a connection whose Read returns neither bytes nor an error.
type noProgress struct{ net.Conn }

func (noProgress) Read([]byte) (int, error) { return 0, nil }

func stuck(conn net.Conn) net.Conn { return noProgress{conn} }

// socketPath returns a path for a unix socket, short enough on any system.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "qmp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// awaitState waits for a transition to state.
func awaitState(t testing.TB, w *async.RunstateWatcher, state async.Runstate) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		tr, err := w.Next(ctx)
		if err != nil {
			t.Fatalf("waiting for %v: %v", state, err)
		}
		if tr.To == state {
			return
		}
	}
}

// events returns a step that sends n events: E0, E1 and so on.
func events(n int) qmptest.Step {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"event":"E%d"}`+"\r\n", i)
	}
	return qmptest.Send(b.String())
}

func eventNames(from, to int) string {
	var list []string
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf("E%d", i))
	}
	return strings.Join(list, " ")
}

// wantInstant fails the test if the bubble's clock has moved since begin.
func wantInstant(t testing.TB, what string, begin time.Time) {
	t.Helper()
	if took := time.Since(begin); took != 0 {
		t.Errorf("%s: took %v, want no time", what, took)
	}
}

// stuckWriter connects a client to a server that does not read. It returns
// while a command is partly written.
func stuckWriter(t *testing.T, opts *async.Options) *async.Client {
	t.Helper()
	p := play(t, qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: 512}, connected("", qmptest.StopReading())...)
	c := dial(t, p, opts)
	big := start(context.Background(), c, async.Command{Name: "big", Args: map[string]any{"x": strings.Repeat("x", 4096)}})
	t.Cleanup(func() {
		c.Close()
		<-big
	})
	synctest.Wait()
	return c
}

// wantNothingPending checks that the engine holds nothing of earlier commands:
// no pending call, no place in the window, and nobody has the turn to write.
func wantNothingPending(t testing.TB, c *async.Client) {
	t.Helper()
	async.AwaitTurn(c, patience)
	b, ok := async.ReadCounts(c)
	if want := (async.Counts{Window: 8, Descriptors: 1, Turn: true}); !ok || b != want {
		t.Errorf("left of the commands: got %+v (%v), want %+v", b, ok, want)
	}
}

// nothing is a RiggedSender.Try that can write nothing without waiting.
func nothing([]byte, []*os.File) (int, error) { return 0, nil }

const window = 8 // in-band commands that may be unanswered where oob is enabled

// expectN returns steps that expect the commands name+from up to name+(to-1).
func expectN(name string, from, to int) (steps []qmptest.Step) {
	for i := from; i < to; i++ {
		steps = append(steps, qmptest.Expect(fmt.Sprint(name, i)))
	}
	return steps
}

// startN starts the commands name+from up to name+(to-1), one after another.
func startN(ctx context.Context, c *async.Client, name string, from, to int) (calls []<-chan result) {
	for i := from; i < to; i++ {
		calls = append(calls, start(ctx, c, async.Command{Name: fmt.Sprint(name, i)}))
		synctest.Wait()
	}
	return calls
}

// isA reports whether err has an E in it.
func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
