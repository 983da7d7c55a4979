package group

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
)

// DefaultConcurrency is how many members take part in a call at a time, unless
// Concurrency in [Options] says otherwise.
const DefaultConcurrency = 64

// Options say which members take part in a call, and how. A nil *Options, like the zero
// value, means all members, DefaultConcurrency of them at a time, without a time limit.
type Options struct {
	// Members are the names of the members that take part. Their turns begin in this
	// order. If a name is not that of a member, its error is ErrNotMember. A name that
	// comes twice counts once. Nil means all members, sorted by name; an empty slice
	// that is not nil means none.
	Members []string

	// Select chooses among these: only members for whose names it returns true take
	// part. Nil chooses all.
	Select func(name string) bool

	// Concurrency is how many members take part at a time. Zero means
	// DefaultConcurrency. A negative number means no limit.
	Concurrency int

	// Timeout limits the turn of each member, from its beginning. The context of the
	// function then ends with an *async.TimeoutError as its cause. Zero or less means
	// no limit but that of ctx.
	Timeout time.Duration
}

// A Result is what the turn of one member came to.
type Result[T any] struct {
	Member string
	Value  T     // what the function returned
	Err    error // nil, or an *Error
}

// errGoexit is the error of a function that does not return.
var errGoexit = errors.New("the function ended its goroutine and did not return (runtime.Goexit, or FailNow or Fatal of a test)")

// Do calls f for members of g, as opts says, and returns the results by name. f is a
// function of package qapi, such as qapi.QueryStatus, or any other. Do returns when the
// turn of every member is over.
//
// The members that take part are those of the moment when Do begins. Each of them has a
// result in the map or an error in err. If all succeed, err is nil. Otherwise it is
// a *multierror.Error with an [*Error] for each that failed, in the order of the turns;
// [Errors] returns them by name. The map is never nil.
//
// If ctx ends, the members whose turns have not begun fail with NotBegun. f has to
// return when its context ends, as all calls of this library do. A group without members
// is no error.
func Do[T any, C async.Caller](ctx context.Context, g *Group[C], opts *Options, f func(context.Context, async.Caller) (T, error)) (map[string]T, error) {
	turns := g.turns(opts)
	values := make(map[string]T, len(turns))
	err := collect(run(ctx, turns, opts, func(ctx context.Context, _ string, machine C) (T, error) {
		return f(ctx, machine)
	}), turns, func(name string, value T) { values[name] = value })
	return values, err
}

// Call executes a command on members of g, as [async.Call] does on one, and returns the
// results by name. It is [Do] otherwise.
func Call[T any, C async.Caller](ctx context.Context, g *Group[C], opts *Options, cmd string, args any) (map[string]T, error) {
	return Do(ctx, g, opts, func(ctx context.Context, c async.Caller) (T, error) {
		return async.Call[T](ctx, c, cmd, args)
	})
}

// Each calls f for members of g, as opts says, with the name of each. It is [Do]
// otherwise: a nil error means that f has returned nil for all of them.
func (g *Group[C]) Each(ctx context.Context, opts *Options, f func(ctx context.Context, name string, machine C) error) error {
	turns := g.turns(opts)
	return collect(run(ctx, turns, opts, func(ctx context.Context, name string, machine C) (struct{}, error) {
		return struct{}{}, f(ctx, name, machine)
	}), turns, func(string, struct{}) {})
}

// Results calls f for members of g, as opts says, and yields each result as it comes. It
// is [Do] otherwise. Leaving the loop early ends the context of the calls that have
// begun, and waits for them; no other turn begins.
//
// A turn is over when the body of the loop is done with its result. So with a Concurrency
// of 1 the next turn begins after the body has looked at the last result: that is how
// machines are upgraded one after another, until the first one fails.
func Results[T any, C async.Caller](ctx context.Context, g *Group[C], opts *Options, f func(ctx context.Context, name string, machine C) (T, error)) iter.Seq[Result[T]] {
	return func(yield func(Result[T]) bool) {
		run(ctx, g.turns(opts), opts, f)(yield)
	}
}

// A turn is one member's part in a call. member is nil if there is no such member.
type turn[C async.Caller] struct {
	name   string
	member *member[C]
}

// turns returns the turns that opts asks for, in order.
func (g *Group[C]) turns(opts *Options) []turn[C] {
	if opts == nil {
		opts = &Options{}
	}
	var turns []turn[C]
	add := func(name string, m *member[C]) {
		if opts.Select == nil || opts.Select(name) {
			turns = append(turns, turn[C]{name, m})
		}
	}
	sorted := g.sorted()
	if opts.Members == nil {
		for _, m := range sorted {
			add(m.name, m)
		}
		return turns
	}
	members := make(map[string]*member[C], len(sorted))
	for _, m := range sorted {
		members[m.name] = m
	}
	seen := make(map[string]bool, len(opts.Members))
	for _, name := range opts.Members {
		if !seen[name] {
			seen[name] = true
			add(name, members[name])
		}
	}
	return turns
}

// collect gives the values of results to keep, and returns the errors as one, in the
// order of turns.
func collect[T any, C async.Caller](results iter.Seq[Result[T]], turns []turn[C], keep func(string, T)) error {
	failed := make(map[string]error)
	for r := range results {
		if r.Err != nil {
			failed[r.Member] = r.Err
		} else {
			keep(r.Member, r.Value)
		}
	}
	errs := make([]error, 0, len(failed))
	for _, t := range turns {
		if err := failed[t.name]; err != nil {
			errs = append(errs, err)
		}
	}
	return joined(errs, len(turns))
}

// run plays turns, as many at a time as opts allows, and yields each result. Each turn has
// a goroutine while it lasts.
func run[T any, C async.Caller](ctx context.Context, turns []turn[C], opts *Options, f func(context.Context, string, C) (T, error)) iter.Seq[Result[T]] {
	limit, timeout := DefaultConcurrency, time.Duration(0)
	if opts != nil {
		timeout = opts.Timeout
		if opts.Concurrency != 0 {
			limit = opts.Concurrency
		}
	}
	if limit < 0 || limit > len(turns) {
		limit = len(turns)
	}
	return func(yield func(Result[T]) bool) {
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan Result[T], limit)
		busy := 0
		defer func() {
			cancel()
			for ; busy > 0; busy-- {
				<-done
			}
		}()
		next := turns
		for len(next) > 0 || busy > 0 {
			for len(next) > 0 && busy < limit {
				t := next[0]
				if err := t.refused(ctx); err != nil {
					next = next[1:]
					if !yield(Result[T]{Member: t.name, Err: &Error{Member: t.name, NotBegun: true, Err: err}}) {
						return
					}
					continue
				}
				next = next[1:]
				busy++
				go play(ctx, t, timeout, f, done)
			}
			if busy == 0 {
				return
			}
			r := <-done
			busy--
			if !yield(r) {
				return
			}
		}
	}
}

// refused returns why the turn cannot begin, or nil.
func (t turn[C]) refused(ctx context.Context) error {
	switch {
	case t.member == nil:
		return ErrNotMember
	case ctx.Err() != nil:
		return contexts.Err(ctx)
	case t.member.ctx.Err() != nil:
		return ErrLeft
	}
	return nil
}

// play calls f for one turn, and sends the result to done.
func play[T any, C async.Caller](ctx context.Context, t turn[C], timeout time.Duration, f func(context.Context, string, C) (T, error), done chan<- Result[T]) {
	r := Result[T]{Member: t.name}
	err := errGoexit
	defer func() {
		if err != nil {
			r.Err = &Error{Member: t.name, Err: err}
		}
		done <- r
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(t.member.ctx, func() { cancel(ErrLeft) })()
	if timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, timeout, &async.TimeoutError{
			Op: "the turn of " + t.name, Limit: timeout, Option: "group.Options.Timeout",
		})
		defer stop()
	}
	r.Value, err = f(ctx, t.name, t.member.caller)
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", err, cause) // f has returned ctx.Err() alone
	}
}
