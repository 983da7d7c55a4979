//go:build unix

package machine_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/group"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// Machines in a group: they are launched together, a listener hears them from before
// their launch, over a death and a second launch, and they are shut down together.
func TestGroup(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	var vms group.Group[*machine.Machine]
	for i := range 3 {
		name := fmt.Sprint("vm", i)
		must(t, vms.Add(name, newQEMU(t, machine.Options{Name: name})))
	}
	events := vms.NewListener(nil, "STOP")
	defer events.Close()
	each := func(what string, f func(ctx context.Context, m *machine.Machine) error) {
		t.Helper()
		err := vms.Each(ctx, nil, func(ctx context.Context, _ string, m *machine.Machine) error { return f(ctx, m) })
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	stopAll := func() {
		t.Helper()
		for _, cmd := range []string{"cont", "stop"} { // the first for those that are stopped
			if _, err := group.Call[any](ctx, &vms, nil, cmd, nil); err != nil {
				t.Fatal(err)
			}
		}
		stopped := make(map[string]bool)
		for range vms.Len() {
			ev, ok, err := events.TryNext()
			if !ok || err != nil || ev.Name != "STOP" || stopped[ev.Member] {
				t.Fatalf("%s %s, %t, %v, want one STOP of each", ev.Member, ev.Name, ok, err)
			}
			stopped[ev.Member] = true
		}
	}
	each("launch", func(ctx context.Context, m *machine.Machine) error { return m.Launch(ctx) })
	stopAll()

	vm1, _ := vms.Get("vm1")
	must(t, syscall.Kill(vm1.Pid(), syscall.SIGKILL))
	_, err := events.Next(ctx)
	if notice, ok := errors.AsType[*group.Error](err); !ok || notice.Member != "vm1" || !async.HungUp(err) {
		t.Errorf("after the death of vm1: %v, want a notice with its name", err)
	}
	_, err = group.Call[any](ctx, &vms, nil, "query-status", nil)
	if ended, ok := errors.AsType[*machine.ProcessEndedError](err); !ok || ended.Machine != "vm1" || len(group.Errors(err)) != 1 {
		t.Errorf("a command after the death of vm1: %v, want its ProcessEndedError alone", err)
	}
	if err := vm1.Shutdown(ctx); err == nil {
		t.Error("Shutdown of a process that was killed returns no error")
	}
	must(t, vm1.Launch(ctx))
	stopAll()
	each("shut down", func(ctx context.Context, m *machine.Machine) error { return m.Shutdown(ctx) })
}
