package docs_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/async/record"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// This file has the Go code of recipes/replay.md that is not in examples/replay, and runs
// it with a real QEMU.

func recorded(ctx context.Context, addr, file string) error {
	rec, err := record.Create(file, nil)
	if err != nil {
		return err
	}
	vm, err := async.Dial(ctx, addr, &async.Options{
		Tracers: []*async.Tracer{rec.Tracer("vm1")},
	})
	if err != nil {
		return errors.Join(err, rec.Close())
	}
	err = unplug(ctx, vm)
	vm.Close()
	return errors.Join(err, rec.Close())
}

// unplug is the program that fails.
func unplug(ctx context.Context, vm *async.Client) error {
	_, err := vm.Execute(ctx, "device_del", map[string]any{"id": "nic7"})
	return err
}

func replayed(t *testing.T, file string) {
	synctest.Test(t, func(t *testing.T) {
		vm := qmptest.ReplayFile(t, nil, file)
		c := async.New(&async.Options{Dialer: vm.Dial})
		defer c.Close()
		if err := c.Connect(t.Context(), "vm1"); err != nil {
			t.Fatal(err)
		}
		err := unplug(t.Context(), c)
		if refused, ok := errors.AsType[*async.ExecuteError](err); !ok || refused.Class != "DeviceNotFound" {
			t.Errorf("got %v, want that the device is not found", err)
		}
	})
}

func stable(file string) (*record.Recorder, error) {
	return record.Create(file, &record.Options{
		Stable: true,
		Filter: func(e record.Entry) (record.Entry, bool) {
			event := strings.HasPrefix(string(e.Message), `{"timestamp"`)
			return e, !event
		},
	})
}

func TestRecipeReplay(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "r")
	var refused *async.ExecuteError
	if err := recorded(qemutest.Context(t), qemutest.Monitor(t), file); !errors.As(err, &refused) {
		t.Fatal(err)
	}
	replayed(t, file)

	rec, err := stable(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := rec.Close(); err != nil {
		t.Error(err)
	}
	if parsed, err := record.LoadFile(file); err != nil || !parsed.Header.Stable {
		t.Errorf("%+v, %v", parsed, err)
	}
}
