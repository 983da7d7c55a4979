package group_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/group"
)

// A machine joins once, under one name that no other machine has.
func TestAddTwice(t *testing.T) {
	t.Parallel()
	var g clients
	a, b := async.New(nil), async.New(nil)
	add(t, &g, "vm1", a)
	for what, err := range map[string]error{
		"the same again":                 g.Add("vm1", a),
		"another under the same name":    g.Add("vm1", b),
		"the same under another name":    g.Add("vm2", a),
		"without a name":                 g.Add("", b),
		"a nil machine":                  g.Add("vm2", nil),
		"a nil machine under taken name": g.Add("vm1", nil),
	} {
		e, ok := errors.AsType[*group.Error](err)
		if !ok {
			t.Errorf("%s: error %v, want a group.Error", what, err)
			continue
		}
		isMember := what != "without a name" && e.Err.Error() != "the machine must not be nil"
		if errors.Is(err, group.ErrMember) != isMember {
			t.Errorf("%s: %v: that it matches ErrMember is %t, want %t", what, err, !isMember, isMember)
		}
	}
	wantText(t, g.Add("vm1", b), "vm1: this name is already in the group; Remove that machine first")
	wantText(t, g.Add("vm2", a), "vm2: this machine is already in the group, under the name vm1")

	if got := g.Names(); !slices.Equal(got, []string{"vm1"}) {
		t.Errorf("the group has %q after refused calls of Add, want only vm1", got)
	}
	add(t, &g, "vm2", b)
	if c, ok := g.Remove("vm1"); c != a || !ok {
		t.Errorf("Remove: %v, %t, want the machine that joined", c, ok)
	}
	if c, ok := g.Remove("vm1"); c != nil || ok {
		t.Errorf("Remove of a name that has left: %v, %t", c, ok)
	}
	add(t, &g, "vm3", a) // under another name, now that it has left
	if _, ok := g.Get("vm1"); ok {
		t.Error("Get returns a machine that has left")
	}
	if c, ok := g.Get("vm3"); c != a || !ok {
		t.Errorf("Get: %v, %t", c, ok)
	}
	if g.Len() != 2 {
		t.Errorf("Len is %d, want 2", g.Len())
	}
}

// A nil of an interface type, and machines that cannot be compared.
func TestAddOtherTypes(t *testing.T) {
	t.Parallel()
	var g group.Group[async.Caller]
	if err := g.Add("vm1", nil); err == nil {
		t.Error("a nil Caller has joined")
	}
	if err := g.Add("vm1", (*async.Client)(nil)); err == nil {
		t.Error("a nil client has joined")
	}
	add(t, &g, "vm1", async.Caller(many{1}))
	add(t, &g, "vm2", async.Caller(many{1})) // nobody can say whether it is the same
	if _, ok := g.Remove("vm1"); !ok || g.Len() != 1 {
		t.Error("Remove of a machine that cannot be compared")
	}
	c := async.New(nil)
	add(t, &g, "a machine", async.Caller(hasClient{c}))
	if err := g.Add("its client", c); !errors.Is(err, group.ErrMember) {
		t.Errorf("the client of a member: %v, want ErrMember", err)
	}
	g.Remove("a machine")
	add(t, &g, "its client", async.Caller(c))
	add(t, &g, "vm1", async.Caller(one{1}))
	if err := g.Add("vm3", one{1}); !errors.Is(err, group.ErrMember) {
		t.Errorf("the same again: %v, want ErrMember", err)
	}
}

// one and many are machines that are not pointers. A slice cannot be compared.
type (
	one  [1]int
	many []int
)

func (one) Do(context.Context, async.Command) (async.Reply, error)  { return async.Reply{}, nil }
func (many) Do(context.Context, async.Command) (async.Reply, error) { return async.Reply{}, nil }

func TestAll(t *testing.T) {
	t.Parallel()
	var g clients
	for range g.All() {
		t.Error("a group without members yields one")
	}
	machines := make(map[string]*async.Client)
	for _, name := range []string{"c", "a", "b"} {
		machines[name] = async.New(nil)
		add(t, &g, name, machines[name])
	}
	var got []string
	for name, c := range g.All() {
		if machines[name] != c {
			t.Errorf("%s comes with another machine", name)
		}
		g.Remove("b") // the loop may change the group
		if got = append(got, name); name == "b" {
			break
		}
	}
	if !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("All yields %q, want the members of the beginning, sorted, until the loop ends", got)
	}
}
