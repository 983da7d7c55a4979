package group

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/goqmp/qmp/async"
)

// A Group has machines under names: its members. C is their type: *async.Client,
// *machine.Machine, or async.Caller for members of several types. The zero Group has no
// members and is ready for use. All methods may be called concurrently. A Group must not
// be copied.
type Group[C async.Caller] struct {
	mu        sync.Mutex // guards the fields below; may be locked before locks of clients and listeners, and never after them
	members   map[string]*member[C]
	names     map[any]string // the name of each member, by its identity
	listeners map[*EventListener]struct{}
}

// A member is a machine, from its Add to its Remove.
type member[C async.Caller] struct {
	name   string
	caller C
	ctx    context.Context // ends when the member leaves
	leave  context.CancelFunc
}

// Add adds a machine under a name. From now on it takes part in commands, and listeners
// hear its events. It need not be connected.
//
// The error is an [*Error]. It matches [ErrMember] if the name is taken, or if the same
// machine is a member under another name: it would get each command twice. To replace a
// machine, Remove it first. An empty name and a nil machine are errors, too.
func (g *Group[C]) Add(name string, machine C) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.refuse(name, machine); err != nil {
		return &Error{Member: name, Err: err}
	}
	m := &member[C]{name: name, caller: machine}
	m.ctx, m.leave = context.WithCancel(context.Background())
	if g.members == nil {
		g.members = make(map[string]*member[C])
		g.names = make(map[any]string)
	}
	g.members[name] = m
	if id := identity(machine); id != nil {
		g.names[id] = name
	}
	for l := range g.listeners {
		l.join(name, machine)
	}
	return nil
}

// refuse returns why a machine cannot join, or nil. mu is held.
func (g *Group[C]) refuse(name string, machine C) error {
	v := reflect.ValueOf(machine)
	switch {
	case name == "":
		return errors.New("the name of a member must not be empty")
	case !v.IsValid(), v.Kind() == reflect.Pointer && v.IsNil():
		return errors.New("the machine must not be nil")
	case g.members[name] != nil:
		return fmt.Errorf("this name is %w; Remove that machine first", ErrMember)
	}
	if id := identity(machine); id != nil {
		if other, ok := g.names[id]; ok {
			return fmt.Errorf("this machine is %w, under the name %s", ErrMember, other)
		}
	}
	return nil
}

// identity returns what two values have in common if they are the same machine: its
// client, if that is known, or else the value itself. It returns nil if values of that
// type cannot be compared.
func identity(machine any) any {
	if m, ok := machine.(hasClient); ok {
		if c := m.Client(); c != nil {
			return c
		}
	}
	if !reflect.ValueOf(machine).Comparable() {
		return nil
	}
	return machine
}

// Remove removes the member with that name, and returns it. ok is false if there is none.
// It does not wait, and does not disconnect: close the member if you do not need it any
// more.
//
// A call for the member that has begun is canceled: its context ends, with the cause
// [ErrLeft]. If its turn has not begun, it does not begin. Either way the error for the
// member matches ErrLeft, unless the function returns something else. A listener still
// has the events that came before, and after them a notice that matches ErrLeft.
func (g *Group[C]) Remove(name string) (machine C, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.members[name]
	if m == nil {
		return machine, false
	}
	delete(g.members, name)
	delete(g.names, identity(m.caller))
	for l := range g.listeners {
		l.leave(name)
	}
	m.leave()
	return m.caller, true
}

// Get returns the member with that name. ok is false if there is none.
func (g *Group[C]) Get(name string) (machine C, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.members[name]
	if m == nil {
		return machine, false
	}
	return m.caller, true
}

// Len returns how many members there are.
func (g *Group[C]) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.members)
}

// Names returns the names of all members, sorted.
func (g *Group[C]) Names() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Keys(g.members))
}

// All returns an iterator over the members and their names. It yields those that are
// members when the iteration begins, sorted by name.
func (g *Group[C]) All() iter.Seq2[string, C] {
	return func(yield func(string, C) bool) {
		for _, m := range g.sorted() {
			if !yield(m.name, m.caller) {
				return
			}
		}
	}
}

// sorted returns the members, sorted by name.
func (g *Group[C]) sorted() []*member[C] {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*member[C], 0, len(g.members))
	for _, name := range slices.Sorted(maps.Keys(g.members)) {
		all = append(all, g.members[name])
	}
	return all
}
