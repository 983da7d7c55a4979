package legacy_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/legacy"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An object is a JSON object as this package decodes it.
type object = map[string]any

// handshake returns a script that begins with greeting and negotiation.
func handshake(steps ...qmptest.Step) []qmptest.Step {
	return append([]qmptest.Step{
		qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`),
	}, steps...)
}

// join makes one script of those of several connections, which follow each other.
func join(scripts ...[]qmptest.Step) []qmptest.Step {
	var all []qmptest.Step
	for i, s := range scripts {
		if i > 0 {
			all = append(all, qmptest.Accept())
		}
		all = append(all, s...)
	}
	return all
}

// scripted returns an object whose Connect reaches the script, in memory.
func scripted(t *testing.T, opts *legacy.Options, steps ...qmptest.Step) *legacy.QEMUMonitorProtocol {
	t.Helper()
	if opts == nil {
		opts = &legacy.Options{}
	}
	return dialing(t, *opts, qmptest.ScriptMemory(t, steps...))
}

// dialing returns an object whose Connect calls dial.
func dialing(t *testing.T, o legacy.Options, dial func(context.Context) (net.Conn, error)) *legacy.QEMUMonitorProtocol {
	t.Helper()
	o.Sync.Async.Dialer = dial
	q, err := legacy.New("script", &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// connected returns an object that has connected to a server which negotiates and
// then follows the script, in memory.
func connected(t *testing.T, steps ...qmptest.Step) *legacy.QEMUMonitorProtocol {
	t.Helper()
	q := scripted(t, nil, handshake(steps...)...)
	connect(t, q)
	return q
}

// connect calls Connect with a handshake, and requires it to succeed.
func connect(t *testing.T, q *legacy.QEMUMonitorProtocol) {
	t.Helper()
	if _, err := q.Connect(true); err != nil {
		t.Fatal(err)
	}
}

func wantNoError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// wantError requires errors.As to find an E in err, and returns it.
func wantError[E error](t *testing.T, err error) E {
	t.Helper()
	var want E
	if !errors.As(err, &want) {
		t.Fatalf("error %v, want a %T in it", err, want)
	}
	return want
}

// wantTimeout requires err to be a TimeoutError, which also matches the two errors of
// the standard library.
func wantTimeout(t *testing.T, err error) {
	t.Helper()
	wantError[*async.TimeoutError](t, err)
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v does not match the standard library's", err)
	}
}

// wantState requires err to be a StateError of these two states.
func wantState(t *testing.T, err error, state, required async.Runstate) {
	t.Helper()
	wrong := wantError[*async.StateError](t, err)
	if wrong.State != state || wrong.Required != required {
		t.Errorf("%v: names %v and %v, want %v and %v", err, wrong.State, wrong.Required, state, required)
	}
}

// execute calls Cmd, and requires a reply.
func execute(t *testing.T, q *legacy.QEMUMonitorProtocol, name string) {
	t.Helper()
	if _, err := q.Cmd(name, nil); err != nil {
		t.Fatal(err)
	}
}

// openNull opens a file that can be passed to the server.
func openNull(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// wantPull requires PullEvent to return the event of this name; "" means none.
func wantPull(t *testing.T, q *legacy.QEMUMonitorProtocol, wait legacy.Wait, name string) {
	t.Helper()
	var want object
	if name != "" {
		want = object{"event": name}
	}
	got, err := q.PullEvent(wait)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("PullEvent: error %v, (-want +got) %s", err, diff)
	}
}
