//go:build unix

package qmpsync_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	qmpsync "github.com/goqmp/qmp/sync"
)

type arguments = map[string]any

// wantQuit executes quit, and requires the event SHUTDOWN, the end of the connection
// and the end of the process after it.
func wantQuit(t *testing.T, c *qmpsync.Client, vm *qemutest.Process) {
	t.Helper()
	if value, err := c.Execute("quit", nil); string(value) != "{}" || err != nil {
		t.Errorf("quit: %s, %v", value, err)
	}
	if _, err := c.WaitEvent(qemutest.Patience, "SHUTDOWN"); err != nil {
		t.Errorf("SHUTDOWN: %v", err)
	}
	if ev, err := c.Events().Next(qemutest.Patience); !errors.Is(err, io.EOF) {
		t.Errorf("after SHUTDOWN: event %s, error %v; want io.EOF", ev.Name, err)
	}
	if err := c.Disconnect(); !errors.Is(err, io.EOF) {
		t.Errorf("Disconnect: %v, want io.EOF", err)
	}
	if err := vm.Wait(t); err != nil {
		t.Errorf("QEMU ended with %v", err)
	}
}

func TestConnect_QEMU(t *testing.T) {
	t.Parallel()
	vm := qemutest.Machine(t, "-qmp", "unix:qmp,server=on")
	c, err := qmpsync.Dial(vm.Path("qmp"), &qmpsync.Options{
		ConnectLimit: qemutest.Patience,
		CommandLimit: qemutest.Patience,
		Async:        async.Options{Backoff: async.Every(qemutest.DialEvery)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })

	status, err := qmpsync.Call[struct{ Running bool }](c, "query-status", nil)
	if !status.Running || err != nil {
		t.Errorf("query-status: %+v, %v", status, err)
	}
	_, err = c.Execute("device_del", arguments{"id": "nonesuch"})
	if refused, ok := errors.AsType[*async.ExecuteError](err); !ok || refused.Class != "DeviceNotFound" {
		t.Errorf("device_del: %v", err)
	}
	// Every version allows migrate-pause out of band. Without a migration it refuses it.
	_, err = c.ExecuteOOB("migrate-pause", nil)
	if refused, ok := errors.AsType[*async.ExecuteError](err); !ok || refused.Class != "GenericError" {
		t.Errorf("migrate-pause out of band: %v", err)
	}
	for cmd, event := range map[string]string{"stop": "STOP", "system_reset": "RESET"} {
		if _, err := c.Execute(cmd, nil); err != nil {
			t.Errorf("%s: %v", cmd, err)
		}
		if _, err := c.WaitEvent(qemutest.Patience, event); err != nil {
			t.Errorf("%s: %v", event, err)
		}
	}

	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reply, err := c.Do(async.Command{Name: "getfd", Args: arguments{"fdname": "null"}, Files: []*os.File{file}})
	if err != nil || reply.Err() != nil {
		t.Errorf("getfd: %v, %v", err, reply.Err())
	}
	wantQuit(t, c, vm)
}

func TestAccept_QEMU(t *testing.T) {
	t.Parallel()
	path := filepath.Join(qemutest.Dir(t), "qmp")
	c := qmpsync.New(&qmpsync.Options{CommandLimit: qemutest.Patience})
	t.Cleanup(func() { c.Close() })
	if err := c.Listen(path); err != nil {
		t.Fatal(err)
	}
	vm := qemutest.Machine(t, "-qmp", "unix:"+path)
	if err := c.Accept(qemutest.Patience); err != nil {
		t.Fatal(err)
	}
	wantQuit(t, c, vm)
}

// A command to a QEMU that has been stopped ends at its limit, and the client notices
// when QEMU is killed after that.
func TestStopped_QEMU(t *testing.T) {
	t.Parallel()
	vm := qemutest.Machine(t, "-qmp", "unix:qmp,server=on")
	c, err := qmpsync.Dial(vm.Path("qmp"), &qmpsync.Options{
		ConnectLimit: qemutest.Patience,
		Async:        async.Options{Backoff: async.Every(qemutest.DialEvery)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	vm.Freeze(t)
	const limit = 50 * time.Millisecond
	c.SetTimeout(limit)
	_, err = c.Execute("query-status", nil)
	wantTimeout(t, err, limit)
	vm.Kill()
	if _, err := c.Events().Next(qemutest.Patience); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the end of a killed QEMU: %v", err)
	}
	if err := c.Disconnect(); err == nil {
		t.Error("Disconnect does not say how the connection ended")
	}
}
