//go:build unix

package cli

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/goqmp/qmp/async/qmptest"
)

// frozen returns an agent that refuses to thaw. freeze is called when it freezes.
func frozen(t *testing.T, freeze func()) *qmptest.Server {
	vm := qmptest.Start(t, &qmptest.Options{NoGreeting: true, ManyClients: true})
	vm.Handle("guest-fsfreeze-freeze", func(context.Context, *qmptest.Command) (any, error) {
		freeze()
		return 1, nil
	})
	vm.Handle("guest-fsfreeze-thaw", func(context.Context, *qmptest.Command) (any, error) {
		return nil, errors.New("no thaw")
	})
	return vm
}

// The exit status of a program does not hide that the guest is left frozen.
func TestFrozenGuestIsToldOf(t *testing.T) {
	vm := frozen(t, func() {})
	want(t, run("", "agent", "freeze", vm.Addr(), "--", "sh", "-c", "exit 7"), 7, "", "may still be frozen")
}

// A signal does not hide it, either.
func TestFrozenGuestIsToldOfAfterASignal(t *testing.T) {
	vm := frozen(t, func() { syscall.Kill(os.Getpid(), syscall.SIGTERM) })
	r := run("", "agent", "freeze", vm.Addr(), "--", "sleep", "60")
	if r.status != 128+15 || !strings.Contains(r.stderr, "may still be frozen") || strings.Contains(r.stderr, "ended by signal") {
		t.Errorf("%+v", r)
	}
}
