package group_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/group"
	"github.com/goqmp/qmp/async/qmptest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs a test with a clock of its own: in a bubble, waiting takes no real time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// clients is the type of group that most tests use.
type clients = group.Group[*async.Client]

// A vm is a simulated machine with its client.
type vm struct {
	*qmptest.Server
	client *async.Client
}

// start starts a simulated machine that is reached through memory, and connects to it.
func start(t testing.TB, name string) vm {
	t.Helper()
	s := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory, Name: name})
	c := async.New(&async.Options{Nickname: name, Dialer: s.Dial})
	t.Cleanup(func() { c.Close() })
	if err := c.Connect(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return vm{s, c}
}

// joined starts machines with these names, and adds them to a new group.
func joined(t testing.TB, names ...string) (*clients, map[string]vm) {
	t.Helper()
	g, vms := new(clients), make(map[string]vm)
	for _, name := range names {
		vms[name] = start(t, name)
		add(t, g, name, vms[name].client)
	}
	return g, vms
}

func add[C async.Caller](t testing.TB, g *group.Group[C], name string, machine C) {
	t.Helper()
	if err := g.Add(name, machine); err != nil {
		t.Fatalf("Add: %v", err)
	}
}

// emit makes a machine send an event, and waits until its client has it.
func (v vm) emit(t testing.TB, event string, data any) {
	t.Helper()
	if err := v.Emit(event, data); err != nil {
		t.Fatal(err)
	}
	if _, err := v.client.Execute(t.Context(), "query-status", nil); err != nil {
		t.Fatal(err)
	}
}

// wait is a command that is never answered, until its context ends.
func wait(ctx context.Context, _ *qmptest.Command) (any, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// read reads everything that is unread, without waiting.
func read(l *group.EventListener) []string {
	var got []string
	for {
		ev, ok, err := l.TryNext()
		switch {
		case err != nil:
			got = append(got, notice(err))
		case ok:
			got = append(got, ev.Member+" "+ev.Name)
		default:
			return got
		}
	}
}

// notice describes a notice in a few words.
func notice(err error) string {
	e, ok := errors.AsType[*group.Error](err)
	if !ok {
		return fmt.Sprintf("%T", err)
	}
	what := fmt.Sprintf("%T", e.Err)
	switch cause := e.Err.(type) {
	case *async.OverflowError:
		what = fmt.Sprint("lost ", cause.Lost)
	case *async.ExecInterruptedError:
		what = fmt.Sprint("ended ", cause.Err)
	case *async.StateError:
		what = fmt.Sprint("had ended ", cause.Cause)
	}
	for _, target := range []error{group.ErrLeft, group.ErrNoEvents} {
		if errors.Is(err, target) {
			what = target.Error()
		}
	}
	return e.Member + ": " + what
}

func wantRead(t testing.TB, l *group.EventListener, want ...string) {
	t.Helper()
	if got := read(l); !slices.Equal(got, want) {
		t.Errorf("read\n%q, want\n%q", got, want)
	}
}

// wantError requires the member's error in err to match target, and to say NotBegun or
// not. It returns the error.
func wantError(t testing.TB, err error, member string, notBegun bool, target error) *group.Error {
	t.Helper()
	e, ok := group.Errors(err)[member].(*group.Error)
	switch {
	case !ok:
		t.Fatalf("no error for %s in %v", member, err)
	case e.Member != member || e.NotBegun != notBegun:
		t.Errorf("the error of %s: %+v, want Member %s and NotBegun %t", member, *e, member, notBegun)
	case !errors.Is(e, target):
		t.Errorf("the error of %s: %v, want one that matches %v", member, e, target)
	}
	return e
}

func wantText(t testing.TB, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want one that says %q", err, part)
		}
	}
}
