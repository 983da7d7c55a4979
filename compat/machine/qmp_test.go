package machine_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
)

func TestCommands(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	m := newFake(t, "qmp", machine.Options{})
	must(t, m.Launch(ctx))

	reply, err := m.QMP(ctx, "query-status", nil)
	must(t, err)
	if _, ok := reply["id"]; ok || len(reply) != 1 {
		t.Errorf("%v", reply)
	}
	if !machine.Match(reply, map[string]any{"return": map[string]any{"status": "running"}}) {
		t.Errorf("%v", reply)
	}
	value, err := m.Command(ctx, "query-status", machine.Args{})
	must(t, err)
	if !machine.Match(value, map[string]any{"running": true}) {
		t.Errorf("%v", value)
	}

	reply, err = m.QMP(ctx, "no-such-command", machine.Args{"a_b": 1})
	must(t, err)
	if !machine.Match(reply, map[string]any{"error": map[string]any{"class": "CommandNotFound"}}) {
		t.Errorf("%v", reply)
	}
	_, err = m.Command(ctx, "no-such-command", nil)
	var refused *async.ExecuteError
	if !errors.As(err, &refused) || refused.Class != "CommandNotFound" {
		t.Errorf("%v", err)
	}
	if _, err = m.QMP(ctx, "x", map[string]any{"x": math.NaN()}); err == nil {
		t.Error("NaN is sent")
	}
	// A Machine is a Caller, whose arguments may be Args and whose calls fill a T.
	type status struct {
		Status  string
		Running any
	}
	got, err := async.Call[status](ctx, m, "query-status", machine.Args{})
	if err != nil || got != (status{"running", true}) {
		t.Errorf("Call: %+v, %v", got, err)
	}
	raw, err := m.Do(ctx, async.Command{Name: "emit", Args: machine.Args{"a_b": 1, "names": []string{}}})
	must(t, err)
	must(t, raw.Err())

	short, cancel := context.WithTimeoutCause(ctx, -1, errors.New("enough"))
	defer cancel()
	_, err = m.Command(short, "query-status", nil)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "machine qmp: query-status: ") {
		t.Errorf("%v", err)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	m := newFake(t, "qmp", machine.Options{})
	if _, err := m.NextEvent(ctx); !errors.Is(err, machine.ErrNotRunning) {
		t.Errorf("before the launch: %v", err)
	}
	must(t, m.Launch(ctx))
	emit := func(names ...string) {
		t.Helper()
		_, err := m.Command(ctx, "emit", machine.Args{"names": names})
		must(t, err)
	}
	names := func(events []map[string]any) string {
		var names []string
		for _, ev := range events {
			names = append(names, fmt.Sprint(ev["event"], machine.Match(ev, map[string]any{"timestamp": nil})))
		}
		return strings.Join(names, " ")
	}
	// Events that came before the reply are in the queue at once.
	emit("A", "B", "C", "B")
	is(t, names(m.Events()), "Atrue Btrue Ctrue Btrue", nil)
	is(t, len(m.Events()), 0, nil)

	emit("A", "B", "C", "B", "D")
	ev, err := m.EventWait(ctx, "B", map[string]any{"data": map[string]any{"n": 3}})
	must(t, err)
	is(t, names([]map[string]any{ev}), "Btrue", nil)
	ev, err = m.EventsWait(ctx, machine.EventMatch{Name: "D"}, machine.EventMatch{Name: "C", Pattern: struct{}{}})
	is(t, ev["event"], "C", err)
	ev, err = m.NextEvent(ctx)
	is(t, ev["event"], "A", err)
	short, cancel := context.WithTimeoutCause(ctx, 0, errors.New("enough"))
	defer cancel()
	ev, err = m.EventWait(short, "D", nil) // it need not be waited for
	is(t, ev["event"], "D", err)
	_, err = m.EventsWait(short, machine.EventMatch{Name: "D"}, machine.EventMatch{Name: "A"}, machine.EventMatch{Name: "D", Pattern: 1})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "wait for D or A: context deadline exceeded: enough; there are 1 other events, the last of them B") {
		t.Errorf("%v", err)
	}
	if _, err := m.EventWait(ctx, "A", func() {}); err == nil || !strings.Contains(err.Error(), "the pattern for A") {
		t.Errorf("a pattern that is none: %v", err)
	}
	m.ClearEvents()
	if _, err = m.NextEvent(short); err == nil || !strings.Contains(err.Error(), "no other events") {
		t.Errorf("%v", err)
	}

	// Calls that wait for different events do not disturb each other.
	got := make(chan string)
	for i := range 8 {
		go func() {
			ev, err := m.EventWait(ctx, fmt.Sprint("E", i), nil)
			if err != nil {
				t.Error(err)
			}
			got <- fmt.Sprint(ev["event"])
		}()
	}
	emit("E7", "E6", "X", "E5", "E4", "E3", "E2", "E1", "E0")
	seen := map[string]bool{}
	for range 8 {
		seen[<-got] = true
	}
	is(t, len(seen), 8, nil)
	is(t, names(m.Events()), "Xtrue", nil)

	// Events stay in the queue until the next launch.
	emit("LAST")
	must(t, m.Shutdown(ctx))
	ev, err = m.NextEvent(ctx)
	is(t, ev["event"], "LAST", err)
	_, err = m.EventWait(ctx, "SHUTDOWN", nil)
	must(t, err)
	if _, err := m.NextEvent(ctx); !errors.Is(err, machine.ErrNotRunning) {
		t.Errorf("after Shutdown: %v", err)
	}
	must(t, m.Launch(ctx))
	is(t, len(m.Events()), 0, nil)
}

// recorder is a TB that another test can end and inspect.
type recorder struct {
	testing.TB
	failed   bool
	lines    []string
	cleanups []func()
}

func (r *recorder) Helper()                      {}
func (r *recorder) Cleanup(f func())             { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Failed() bool                 { return r.failed }
func (r *recorder) Logf(f string, args ...any)   { r.lines = append(r.lines, fmt.Sprintf(f, args...)) }
func (r *recorder) Errorf(f string, args ...any) { r.failed = true; r.Logf(f, args...) }
func (r *recorder) end() string                  { r.cleanups[0](); return strings.Join(r.lines, "\n") }

func TestForTest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode  string
		test  func(*machine.Machine)
		fails bool
		words []string
	}{
		{mode: "qmp", test: func(*machine.Machine) {}},
		{mode: "qmp", test: func(m *machine.Machine) { must(t, m.Shutdown(t.Context())) }},
		{mode: "exit7", test: func(*machine.Machine) {}, fails: true, words: []string{"exit code 7"}},
		{mode: "exit7", test: func(m *machine.Machine) { _ = m.Shutdown(t.Context()) }},
		{
			mode: "qmp", test: func(m *machine.Machine) { _, _ = m.QMP(t.Context(), "crash", nil) },
			fails: true, words: []string{"ended by itself", "end of its log:\nassertion failed"},
		},
	} {
		r := &recorder{TB: t}
		m := newFake(r, tt.mode, machine.Options{QuitTimeout: time.Minute})
		must(t, m.Launch(t.Context()))
		tt.test(m)
		text := r.end()
		is(t, r.failed, tt.fails, nil)
		for _, words := range tt.words {
			if !strings.Contains(text, words) {
				t.Errorf("%s: no %q in: %s", tt.mode, words, text)
			}
		}
		is(t, m.Running(), false, nil)
	}
}
