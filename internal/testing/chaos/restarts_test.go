//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"go.uber.org/goleak"
)

// A restart ends a QEMU, after which another one is started at the same sockets.
type restart struct {
	name   string
	strike func(*restarts)
}

var ways = []restart{
	{"killed", func(r *restarts) { r.vm.Kill() }},
	{"killed while stopped", func(r *restarts) { r.vm.Freeze(r.t); r.moment(); r.vm.Kill() }},
	{"terminated", func(r *restarts) { _ = syscall.Kill(r.vm.Pid, syscall.SIGTERM) }},
	{"told to quit", func(r *restarts) {
		token := newToken() // QEMU may exit before it has answered
		r.execute(r.ctx, r.clients[0], token, async.Command{Name: "quit", ID: token}, `"return": {}`)
	}},
	{"the connection is cut, and killed", func(r *restarts) {
		for _, c := range r.clients {
			if conn, err := c.SyscallConn(); err == nil {
				_ = conn.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) })
			}
		}
		r.moment()
		r.vm.Kill()
	}},
}

// restarts has clients with Options.Reconnect, and one QEMU after another. Workers use
// the clients all the time.
type restarts struct {
	t       *testing.T
	rand    *rand.Rand // for the test's goroutine only
	dir     string
	vm      *qemutest.Process
	clients []*survivor
	sums    *tally

	ctx  context.Context // the time limit of every call, which only a hang reaches
	over context.Context // ends when the workers have to stop
}

// A survivor is a client that connects again. Its record is what its tracer saw.
type survivor struct {
	*async.Client
	name  string
	waits bool // its calls wait in the gap
	all   *async.EventListener

	mu     sync.Mutex // guards the fields below
	calls  map[string]*traced
	events map[uint64][]string // received, for each session
	ran    map[uint64]bool     // the sessions in which OnConnect has succeeded
	faults []string
}

// A traced command is what the tracer saw of it, and the result of its call.
type traced struct {
	fate     fate
	sent     int    // how often it was sent; a message of which no byte was written does not count
	session  uint64 // over which it was sent
	answered int    // how many replies came in that session
}

// TestRestarts ends a QEMU and starts another one at the same sockets, again and again.
// Every command is accounted for, every event of every session is in the listener, each
// end of a session is told once, in its place, and nothing is left.
// Holds E2, E5, E6, E13, E14.
func TestRestarts(t *testing.T) {
	qemutest.Find(t, qemutest.QEMU)
	seed := *seedFlag
	for seed == 0 {
		seed = rand.Uint64()
	}
	fmt.Printf("restarts: seed %d\n", seed)
	src := source{seed, uint64(len(scenarios))}
	rounds := *roundsFlag
	if rounds == len(faults) { // not set
		rounds = len(ways)
	}
	before := look(t)
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Duration(rounds+1)*qemutest.Patience, errHang)
	defer cancel()
	over, end := context.WithCancelCause(ctx)
	defer end(nil)
	r := &restarts{t: t, rand: src.of(0, 0), dir: qemutest.Dir(t), sums: newTally(), ctx: ctx, over: over}
	for _, waits := range []bool{false, true} {
		r.clients = append(r.clients, r.open(waits))
	}
	var wg sync.WaitGroup
	var slowest, total time.Duration
	for n := range rounds {
		r.boot()
		began := time.Now()
		if n == 0 {
			r.connect()
			for i, c := range r.clients {
				for k := range workers {
					random := src.of(0, 1+i*workers+k)
					wg.Go(func() { r.work(c, random) })
				}
			}
		}
		r.await(uint64(n))
		took := time.Since(began)
		slowest, total = max(slowest, took), total+took
		r.moment()
		way := ways[src.of(n/len(ways), 0).Perm(len(ways))[n%len(ways)]]
		way.strike(r)
		_ = r.vm.Wait(t)
		r.sums.ending(way.name)
		r.sums.rounds, r.sums.hosts = n+1, n+1
		if t.Failed() {
			break
		}
	}
	end(errOver)
	wg.Wait()
	delivered := 0
	for _, c := range r.clients {
		if err := c.Disconnect(ctx); !async.HungUp(err) {
			t.Errorf("client %s was disconnected with %v, want the end of QEMU", c.name, err)
		}
		delivered += r.audit(c)
	}
	if err := goleak.Find(before.goroutines); err != nil {
		t.Error(err)
	}
	descriptors, err := openDescriptors()
	if err != nil {
		t.Error(err)
	}
	for _, d := range descriptors {
		if !before.descriptors[d] {
			t.Errorf("left: descriptor %s", d)
		}
	}
	fmt.Printf("\nrestarts:\n%v  events delivered  %d\n  from the start of QEMU to the connection: %v on average, %v at most\n",
		r.sums, delivered, (total / time.Duration(rounds)).Round(time.Millisecond), slowest.Round(time.Millisecond))
	if t.Failed() {
		t.Logf("the seed was %d", seed)
	}
}

// open returns a client that is not connected yet.
func (r *restarts) open(waits bool) *survivor {
	s := &survivor{
		name: fmt.Sprintf("m%d", len(r.clients)), waits: waits,
		calls: make(map[string]*traced), events: make(map[uint64][]string), ran: make(map[uint64]bool),
	}
	s.Client = async.New(&async.Options{
		Nickname: s.name,
		Backoff:  async.Every(qemutest.DialEvery),
		Reconnect: &async.Reconnect{Wait: waits, OnConnect: func(ctx context.Context, c async.Caller) error {
			_, err := async.Call[any](ctx, c, "query-status", nil)
			if err == nil {
				s.record(func() { s.ran[s.Session()] = true })
			}
			return err
		}},
		Tracers: []*async.Tracer{{
			Sent:     func(m async.TraceMessage) { s.record(func() { s.sent(m, 1) }) },
			Unsent:   func(m async.TraceMessage) { s.record(func() { s.sent(m, -1) }) },
			Received: func(m async.TraceMessage) { s.record(func() { s.received(m) }) },
		}},
	})
	s.all = s.NewListener(nil)
	return s
}

func (s *survivor) record(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *survivor) sent(m async.TraceMessage, n int) {
	if c := s.calls[findToken(m.Message)]; c != nil {
		c.sent += n
		c.session = m.Session
	}
}

func (s *survivor) received(m async.TraceMessage) {
	if ev, err := async.ParseEvent(m.Message); err == nil {
		s.events[m.Session] = append(s.events[m.Session], ev.Name)
		return
	}
	token := findToken(m.Message)
	switch c := s.calls[token]; {
	case token == "":
	case c == nil || c.sent == 0:
		s.faults = append(s.faults, fmt.Sprintf("session %d: a reply to %s, which was never sent", m.Session, token))
	case c.session == m.Session: // QEMU may send the reply over the next connection, too
		c.answered++
	}
}

// boot starts a QEMU with a monitor for each client.
func (r *restarts) boot() {
	args := []string{"-machine", "none", "-nodefaults", "-display", "none"}
	for _, c := range r.clients {
		args = append(args, "-qmp", "unix:"+filepath.Join(r.dir, c.name)+",server=on")
	}
	r.vm = qemutest.Start(r.t, qemutest.Command{Program: qemutest.QEMU, Args: args})
}

// connect connects all clients for the first time. QEMU waits until all are connected.
func (r *restarts) connect() {
	var wg sync.WaitGroup
	for _, c := range r.clients {
		wg.Go(func() {
			if err := c.Connect(r.ctx, filepath.Join(r.dir, c.name)); err != nil {
				r.t.Errorf("client %s: %v", c.name, err)
			}
		})
	}
	wg.Wait()
}

// await waits until all clients are connected to the QEMU of round n.
func (r *restarts) await(n uint64) {
	for _, c := range r.clients {
		w := c.WatchRunstate()
		for {
			ran := 0
			c.record(func() { ran = len(c.ran) })
			if uint64(ran) > n && c.Runstate() == async.Running {
				break
			}
			if _, err := w.Next(r.ctx); err != nil {
				r.t.Fatalf("client %s is not connected in round %d: %v, %v", c.name, n, err, c.Err())
			}
		}
		w.Close()
	}
}

// moment waits for a random time, mostly a short one.
func (r *restarts) moment() {
	<-time.After(min(time.Duration(r.rand.ExpFloat64()*float64(40*time.Millisecond)), 200*time.Millisecond))
}

// work executes commands until the test is over.
func (r *restarts) work(c *survivor, random *rand.Rand) {
	for r.over.Err() == nil {
		ctx, cancel := r.over, context.CancelFunc(func() {})
		if random.IntN(3) == 0 {
			ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(random.IntN(5000))*time.Microsecond, errImpatient)
		}
		token := newToken()
		cmd, replies := command(random, token)
		connected := r.execute(ctx, c, token, cmd, replies...)
		cancel()
		if !connected {
			<-time.After(time.Millisecond) // not to be busy in the gap
		}
	}
}

// execute executes a command that has this token, and records the result. It reports
// whether the client was connected.
func (r *restarts) execute(ctx context.Context, c *survivor, token string, cmd async.Command, replies ...string) bool {
	call := &traced{}
	c.record(func() { c.calls[token] = call })
	got, err := c.Do(ctx, cmd)
	f, ok := fateOf(ctx, got, err)
	if err == nil && !answers(got.Raw(), token, replies) || c.waits && f.what == unconnected {
		f, ok = fate{}, false
	}
	if !ok {
		r.t.Errorf("client %s: %s (%s): nothing explains the reply %.200s or the error %v", c.name, cmd.Name, token, got.Raw(), err)
	}
	r.sums.command(f, ok)
	c.record(func() { call.fate = f })
	return f.what != unconnected
}

// audit compares the results of c's calls and its listener with what the tracer saw. It
// returns how many events there were.
func (r *restarts) audit(c *survivor) (delivered int) {
	fail := func(format string, args ...any) {
		r.sums.lost(1)
		r.t.Errorf("client %s: "+format, append([]any{c.name}, args...)...)
	}
	for _, f := range c.faults {
		fail("%s", f)
	}
	for token, call := range c.calls {
		if what := call.contradiction(); what != "" {
			fail("%s: %s: %v, sent %d times, answered %d times", token, what, call.fate, call.sent, call.answered)
		}
	}
	got, ended := make(map[uint64][]string), make(map[uint64]bool)
	for {
		ev, ok, err := c.all.TryNext()
		if notice, is := errors.AsType[*async.ExecInterruptedError](err); is {
			if ended[notice.Session] {
				fail("session %d has ended twice", notice.Session)
			}
			ended[notice.Session] = true
			r.sums.wait(gotNotice)
			continue
		}
		if err != nil {
			fail("a read: %v", err)
		}
		if !ok {
			break
		}
		if ended[ev.Session] {
			fail("the event %s of session %d comes after the notice of its end", ev.Name, ev.Session)
		}
		got[ev.Session] = append(got[ev.Session], ev.Name)
		delivered++
	}
	if !maps.EqualFunc(got, c.events, slices.Equal[[]string]) {
		fail("the listener has the events %v, want %v", got, c.events)
	}
	// A session whose end came during OnConnect, or directly after it, has not run.
	for n := range ended {
		if !c.ran[n] {
			fail("the notice of session %d, which has not run", n)
		}
	}
	if len(ended) < r.sums.rounds {
		fail("%d notices after %d restarts", len(ended), r.sums.rounds)
	}
	c.all.Close()
	return delivered
}

// contradiction returns what is wrong with a command, or "".
func (c *traced) contradiction() string {
	f := c.fate
	switch {
	case f == fate{}:
		return "its call has no result"
	case c.sent > 1:
		return "sent twice"
	case c.answered > c.sent:
		return "answered more often than sent"
	case f.what == answered && c.answered == 0:
		return "its answer was never received"
	case f.what != answered && f.where != sent && c.sent > 0:
		return "not sent, says its error, and sent"
	case f.where == sent && c.sent == 0:
		return "sent, says its error, and not sent"
	case f.endedByPeer() && c.answered > 0:
		return "its answer was received and lost"
	}
	return ""
}
