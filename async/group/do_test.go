package group_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/group"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/hashicorp/go-multierror"
)

type name struct{ Name string }

// Each member has a result or an error under its name.
func TestCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "vm1", "vm2", "vm3", "vm4")
		vms["vm2"].Handle("query-name", func(context.Context, *qmptest.Command) (any, error) {
			return nil, errors.New("out of names")
		})
		vms["vm3"].Close()
		synctest.Wait()

		names, err := group.Call[name](t.Context(), g, nil, "query-name", nil)
		want := map[string]name{"vm1": {"vm1"}, "vm4": {"vm4"}}
		if !maps.Equal(names, want) {
			t.Errorf("results %v, want %v", names, want)
		}
		all, ok := errors.AsType[*multierror.Error](err)
		if !ok || len(all.Errors) != 2 {
			t.Fatalf("error %v, want a multierror of two", err)
		}
		byName := group.Errors(err)
		if refused, ok := errors.AsType[*async.ExecuteError](byName["vm2"]); !ok || refused.Desc != "out of names" {
			t.Errorf("vm2: error %v, want what the server said", byName["vm2"])
		}
		if state, ok := errors.AsType[*async.StateError](byName["vm3"]); !ok || !async.HungUp(state) {
			t.Errorf("vm3: error %v, want a StateError whose cause is the end", byName["vm3"])
		}
		wantText(t, err, "2 of 4 members failed: vm2: qmp: query-name: out of names (GenericError); vm3: ")
		if len(byName) != 2 || len(group.Errors(nil)) != 0 || len(group.Errors(errors.New("other"))) != 0 {
			t.Errorf("Errors: %v", byName)
		}
		if got := group.Errors(byName["vm2"]); len(got) != 1 || got["vm2"] == nil {
			t.Errorf("Errors of the error of one member: %v", got)
		}
	})
}

func TestDoAndEach(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "vm1", "vm2")
		values, err := group.Do(t.Context(), g, nil, func(ctx context.Context, c async.Caller) (string, error) {
			v, err := async.Call[name](ctx, c, "query-name", nil)
			return v.Name, err
		})
		if want := map[string]string{"vm1": "vm1", "vm2": "vm2"}; err != nil || !maps.Equal(values, want) {
			t.Errorf("Do: %v, %v, want %v", values, err, want)
		}
		err = g.Each(t.Context(), nil, func(_ context.Context, name string, c *async.Client) error {
			if vms[name].client != c {
				t.Errorf("%s comes with another client", name)
			}
			if name == "vm2" {
				return errors.New("no")
			}
			return nil
		})
		wantText(t, err, "1 of 2 members failed: vm2: no")
	})
}

func TestNoMembers(t *testing.T) {
	t.Parallel()
	var g clients
	values, err := group.Call[any](t.Context(), &g, nil, "query-name", nil)
	if values == nil || len(values) != 0 || err != nil {
		t.Errorf("%v, %v, want an empty map and no error", values, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Each(ended, nil, nil); err != nil {
		t.Errorf("with a context that has ended: %v", err)
	}
}

// Which members take part, and in which order.
func TestSelection(t *testing.T) {
	t.Parallel()
	var g clients
	for _, name := range []string{"web2", "web1", "db1", "db2"} {
		add(t, &g, name, async.New(nil))
	}
	web := func(name string) bool { return name[:3] == "web" }
	for _, tt := range []struct {
		what    string
		opts    *group.Options
		want    []string
		unknown []string
	}{
		{"all", nil, []string{"db1", "db2", "web1", "web2"}, nil},
		{"Select", &group.Options{Select: web}, []string{"web1", "web2"}, nil},
		{"Members", &group.Options{Members: []string{"web2", "db1"}}, []string{"web2", "db1"}, nil},
		{"twice", &group.Options{Members: []string{"web2", "db1", "web2"}}, []string{"web2", "db1"}, nil},
		{"both", &group.Options{Members: []string{"web2", "db1"}, Select: web}, []string{"web2"}, nil},
		{"none", &group.Options{Members: []string{}}, nil, nil},
		{"unknown", &group.Options{Members: []string{"db3", "db1", "db4"}}, []string{"db1"}, []string{"db3", "db4"}},
	} {
		if tt.opts == nil {
			tt.opts = &group.Options{}
		}
		tt.opts.Concurrency = 1
		var got []string
		err := g.Each(t.Context(), tt.opts, func(_ context.Context, name string, _ *async.Client) error {
			got = append(got, name)
			return nil
		})
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q took part, want %q", tt.what, got, tt.want)
		}
		if missing := slices.Sorted(maps.Keys(group.Errors(err))); !slices.Equal(missing, tt.unknown) {
			t.Errorf("%s: errors for %q, want for %q", tt.what, missing, tt.unknown)
		}
		for _, name := range tt.unknown {
			wantError(t, err, name, true, group.ErrNotMember)
		}
	}
}

// At most Concurrency members take part at a time, and as many if there are enough.
func TestConcurrency(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const members = 100
		var g clients
		for i := range members {
			add(t, &g, fmt.Sprintf("vm%03d", i), async.New(nil))
		}
		for set, want := range map[int]int32{0: group.DefaultConcurrency, 1: 1, 7: 7, members: members, 1000: members, -1: members} {
			var now, most atomic.Int32
			began := time.Now()
			err := g.Each(t.Context(), &group.Options{Concurrency: set}, func(context.Context, string, *async.Client) error {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(time.Second) // the bubble's: all that may begin do so before it has passed
				now.Add(-1)
				return nil
			})
			if err != nil || most.Load() != want {
				t.Errorf("Concurrency %d: at most %d at a time, error %v, want %d", set, most.Load(), err, want)
			}
			if took, want := time.Since(began), time.Second*time.Duration((members+want-1)/want); took != want {
				t.Errorf("Concurrency %d: it took %v, want %v", set, took, want)
			}
		}
	})
}

// A machine that does not answer costs its own time limit, and nobody else's result.
// Holds E4.
func TestTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "vm1", "vm2", "vm3")
		vms["vm1"].Handle("query-name", wait)
		began := time.Now()
		names, err := group.Call[name](t.Context(), g, &group.Options{Concurrency: 1, Timeout: 5 * time.Second}, "query-name", nil)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("it took %v, want 5s", took)
		}
		if len(names) != 2 {
			t.Errorf("results %v, want those of the other two", names)
		}
		e := wantError(t, err, "vm1", false, context.DeadlineExceeded)
		if limit, ok := errors.AsType[*async.TimeoutError](e); !ok || limit.Limit != 5*time.Second {
			t.Errorf("error %v, want a TimeoutError of 5s in it", e)
		}
		if interrupted, ok := errors.AsType[*async.ExecInterruptedError](e); !ok || interrupted.SafeToRetry() {
			t.Errorf("error %v, want one that says that the command was sent", e)
		}
		wantText(t, e, "vm1: ", "the turn of vm1: time limit of 5s reached (group.Options.Timeout)")
	})
}

// If the context ends midway, the caller has the results so far. The other errors say
// whether the turn had begun. Holds E4.
func TestCanceledMidway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "vm1", "vm2", "vm3", "vm4")
		vms["vm2"].Handle("query-name", wait)
		vms["vm3"].Handle("query-name", wait)
		why := errors.New("the operator said so")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		names, err := group.Call[name](ctx, g, &group.Options{Concurrency: 2}, "query-name", nil)
		if want := map[string]name{"vm1": {"vm1"}}; !maps.Equal(names, want) {
			t.Errorf("results %v, want %v", names, want)
		}
		for member, notBegun := range map[string]bool{"vm2": false, "vm3": false, "vm4": true} {
			wantError(t, err, member, notBegun, context.Canceled)
			wantError(t, err, member, notBegun, why)
		}
		if vms["vm4"].client == nil || len(vms["vm4"].Received()) != 1 {
			t.Errorf("vm4 got %v, want only the negotiation", vms["vm4"].Received())
		}
		wantText(t, err, "3 of 4 members failed: ", "vm4: not begun: context canceled: the operator said so")
	})
}

// A member that leaves ends its own turn, and no other. Holds E4.
func TestLeaveWithACommandInFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "vm1", "vm2", "vm3")
		vms["vm1"].Handle("query-name", wait)
		time.AfterFunc(time.Second, func() {
			g.Remove("vm3") // its turn comes later
			g.Remove("vm1")
		})
		names, err := group.Call[name](t.Context(), g, &group.Options{Concurrency: 1}, "query-name", nil)
		if want := map[string]name{"vm2": {"vm2"}}; !maps.Equal(names, want) {
			t.Errorf("results %v, want %v", names, want)
		}
		wantError(t, err, "vm1", false, group.ErrLeft)
		wantError(t, err, "vm3", true, group.ErrLeft)
		if got := g.Names(); !slices.Equal(got, []string{"vm2"}) {
			t.Errorf("the group has %q, want vm2", got)
		}
		// The machine that has left is still connected, and its owner's to use.
		if _, err := vms["vm3"].client.Execute(t.Context(), "query-status", nil); err != nil {
			t.Errorf("a command of a machine that has left: %v", err)
		}
	})
}

// A function that returns only its context's Err has an error that says why, too.
func TestCauseIsInTheError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var g clients
		for _, name := range []string{"vm1", "vm2"} {
			add(t, &g, name, async.New(nil))
		}
		time.AfterFunc(time.Second, func() { g.Remove("vm1") })
		err := g.Each(t.Context(), &group.Options{Timeout: time.Minute}, func(ctx context.Context, _ string, _ *async.Client) error {
			<-ctx.Done()
			return ctx.Err()
		})
		wantError(t, err, "vm1", false, group.ErrLeft)
		wantError(t, err, "vm1", false, context.Canceled)
		e := wantError(t, err, "vm2", false, context.DeadlineExceeded)
		if _, ok := errors.AsType[*async.TimeoutError](e); !ok {
			t.Errorf("vm2: %v, want a TimeoutError in it", e)
		}
	})
}

// The function removes its own member: its result counts.
func TestFunctionRemovesItsMember(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, _ := joined(t, "vm1", "vm2")
		err := g.Each(t.Context(), nil, func(ctx context.Context, name string, c *async.Client) error {
			defer g.Remove(name)
			return c.Quit(ctx)
		})
		if err != nil || g.Len() != 0 {
			t.Errorf("%v, and %d members are left", err, g.Len())
		}
	})
}

// Members that join while a call lasts do not take part in it.
func TestJoinMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var g clients
		add(t, &g, "vm1", async.New(nil))
		for range 2 {
			before := g.Len()
			turns := 0
			for r := range group.Results(t.Context(), &g, &group.Options{Concurrency: 1}, func(context.Context, string, *async.Client) (int, error) { return 1, nil }) {
				turns += r.Value
				add(t, &g, fmt.Sprint("vm", 1+g.Len()), async.New(nil))
			}
			if turns != before {
				t.Errorf("%d members took part, want the %d of the beginning", turns, before)
			}
		}
	})
}

// A rolling upgrade: the loop looks at each result before the next turn begins, and the
// first failure ends it.
func TestResultsOneAfterAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var g clients
		for i := range 9 {
			add(t, &g, fmt.Sprint("vm", i), async.New(nil))
		}
		upgraded, looked := 0, 0
		for r := range group.Results(t.Context(), &g, &group.Options{Concurrency: 1}, func(_ context.Context, name string, _ *async.Client) (string, error) {
			if upgraded != looked {
				t.Errorf("the turn of %s began before the loop had looked at the last result", name)
			}
			upgraded++
			if name == "vm3" {
				return "", errors.New("no")
			}
			return name + " is new", nil
		}) {
			time.Sleep(time.Second)
			synctest.Wait()
			looked++
			if r.Err != nil {
				wantText(t, r.Err, "vm3: no")
				break
			}
			if r.Value != r.Member+" is new" {
				t.Errorf("%s: %q", r.Member, r.Value)
			}
		}
		if upgraded != 4 {
			t.Errorf("%d turns, want 4: the fourth failed", upgraded)
		}
	})
}

// Leaving the loop ends the calls that have begun, and waits for them.
func TestResultsBreak(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "vm1", "vm2", "vm3", "vm4")
		for _, name := range []string{"vm2", "vm3"} {
			vms[name].Handle("query-name", wait)
		}
		var ended, begun atomic.Int32
		for r := range group.Results(t.Context(), g, &group.Options{Concurrency: 3}, func(ctx context.Context, _ string, c *async.Client) (name, error) {
			begun.Add(1)
			defer ended.Add(1)
			return async.Call[name](ctx, c, "query-name", nil)
		}) {
			if r.Member != "vm1" || r.Err != nil {
				t.Errorf("the first result is %+v, want that of vm1", r)
			}
			break
		}
		if begun.Load() != 3 || ended.Load() != 3 {
			t.Errorf("%d turns have begun and %d ended when the loop was over, want 3 and 3", begun.Load(), ended.Load())
		}
		// A break at a turn that cannot begin.
		for range group.Results(t.Context(), g, &group.Options{Members: []string{"vm9", "vm1"}}, func(context.Context, string, *async.Client) (int, error) {
			t.Error("a turn has begun after the break")
			return 0, nil
		}) {
			break
		}
	})
}

// A function that ends its goroutine, as FailNow of a test does, fails its own turn.
func TestFunctionThatDoesNotReturn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var g clients
		for _, name := range []string{"vm1", "vm2", "vm3"} {
			add(t, &g, name, async.New(nil))
		}
		err := g.Each(t.Context(), &group.Options{Concurrency: 1}, func(_ context.Context, name string, _ *async.Client) error {
			if name == "vm2" {
				runtime.Goexit()
			}
			return nil
		})
		wantText(t, err, "1 of 3 members failed: vm2: the function ended its goroutine")
	})
}

// The text of very many errors can still be read.
func TestManyErrors(t *testing.T) {
	t.Parallel()
	var g clients
	for i := range 1000 {
		add(t, &g, fmt.Sprintf("vm%04d", i), async.New(nil))
	}
	_, err := group.Call[any](t.Context(), &g, nil, "query-status", nil)
	if len(group.Errors(err)) != 1000 {
		t.Errorf("%d errors, want 1000", len(group.Errors(err)))
	}
	wantText(t, err, "1000 of 1000 members failed: vm0000: ", "; vm0009: ", "; and 990 more")
	if len(err.Error()) > 2000 {
		t.Errorf("the text has %d bytes", len(err.Error()))
	}
	if _, ok := errors.AsType[*async.StateError](err); !ok {
		t.Error("errors.As finds no StateError in it")
	}
}

// Errors finds the errors of members wherever they are, but not those of another group
// that one of them wraps.
func TestErrors(t *testing.T) {
	t.Parallel()
	inner := &group.Error{Member: "inner", Err: errors.New("no")}
	a := &group.Error{Member: "a", Err: multierror.Append(nil, inner, errors.New("more"))}
	b := &group.Error{Member: "b", Err: inner}
	for what, tt := range map[string]struct {
		err  error
		want []string
	}{
		"nil":        {nil, nil},
		"another":    {io.EOF, nil},
		"one":        {a, []string{"a"}},
		"multierror": {multierror.Append(nil, a, b), []string{"a", "b"}},
		"wrapped":    {fmt.Errorf("stop all: %w", multierror.Append(nil, a, b)), []string{"a", "b"}},
		"joined":     {errors.Join(a, fmt.Errorf("and %w", b)), []string{"a", "b"}},
	} {
		if got := slices.Sorted(maps.Keys(group.Errors(tt.err))); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", what, got, tt.want)
		}
	}
}
