//go:build unix

package legacy_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/legacy"
	qmpsync "github.com/goqmp/qmp/sync"
)

// started returns an object whose Connect tries again until a machine that was just
// started listens.
func started(t *testing.T, addr string) *legacy.QEMUMonitorProtocol {
	t.Helper()
	q, err := legacy.New(addr, &legacy.Options{Sync: qmpsync.Options{
		ConnectLimit: qemutest.Patience, Async: async.Options{Backoff: async.Every(qemutest.DialEvery)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// wantNamedEvent requires the next event to have this name.
func wantNamedEvent(t *testing.T, q *legacy.QEMUMonitorProtocol, name string) {
	t.Helper()
	ev, err := q.PullEvent(legacy.For(qemutest.Patience))
	if ev["event"] != name || err != nil {
		t.Errorf("event %v, %v; want %s", ev, err, name)
	}
}

// quit ends the machine, and requires the event SHUTDOWN, the end of the connection
// and the end of the process after it.
func quit(t *testing.T, q *legacy.QEMUMonitorProtocol, vm *qemutest.Process) {
	t.Helper()
	execute(t, q, "quit")
	wantNamedEvent(t, q, "SHUTDOWN")
	if _, err := q.PullEvent(legacy.For(qemutest.Patience)); !errors.Is(err, io.EOF) {
		t.Errorf("after the last event: %v, want io.EOF", err)
	}
	if err := q.Close(); !errors.Is(err, io.EOF) {
		t.Errorf("Close: %v, want io.EOF", err)
	}
	wantNoError(t, q.Close())
	wantNoError(t, vm.Wait(t))
}

func TestScript_QEMU(t *testing.T) {
	t.Parallel()
	vm := qemutest.Machine(t, "-qmp", "unix:qmp,server=on,wait=on")
	q := started(t, vm.Path("qmp"))
	connect(t, q)

	status, err := q.Command("query-status", nil)
	if m, _ := status.(object); m["status"] != "running" || err != nil {
		t.Errorf("query-status: %v, %v", status, err)
	}
	reply, err := q.Cmd("nonsense", nil, "mine")
	if failure, _ := reply["error"].(object); failure["class"] != "CommandNotFound" || reply["id"] != "mine" || err != nil {
		t.Errorf("nonsense by Cmd: %v, %v", reply, err)
	}
	_, err = q.Command("nonsense", nil)
	wantError[*async.ExecuteError](t, err)
	// QEMU refuses a command whose name is a number, with an error without an id.
	reply, err = q.CmdObj(object{"execute": 5})
	if reply["error"] == nil || reply["id"] != nil || err != nil {
		t.Errorf("a command whose name is a number: %v, %v", reply, err)
	}

	for _, cmd := range []string{"stop", "cont", "stop"} {
		_, err := q.Command(cmd, nil)
		wantNoError(t, err)
	}
	wantNamedEvent(t, q, "STOP")
	if evs, err := q.GetEvents(legacy.Forever); len(evs) != 2 || err != nil {
		t.Errorf("events %v, %v; want RESUME and STOP", evs, err)
	}

	// The same object works over the next connection.
	wantNoError(t, q.Close())
	connect(t, q)
	quit(t, q, vm)
}

func TestSendFDSCM_QEMU(t *testing.T) {
	t.Parallel()
	vm := qemutest.Machine(t, "-qmp", "unix:qmp,server=on,wait=on")
	q := started(t, vm.Path("qmp"))
	connect(t, q)
	name := filepath.Join(t.TempDir(), "f")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before := vm.Holds(t, name)
	wantNoError(t, q.SendFDSCM(f))
	_, err = q.Command("getfd", object{"fdname": "f"})
	wantNoError(t, err)
	if got := vm.Holds(t, name); got != before+1 {
		t.Errorf("QEMU holds %d descriptors of the file, want %d", got, before+1)
	}
	_, err = q.Command("closefd", object{"fdname": "f"})
	wantNoError(t, err)
	quit(t, q, vm)
}

// QEMU connects to the object, which listens.
func TestAccept_QEMU(t *testing.T) {
	t.Parallel()
	addr := filepath.Join(qemutest.Dir(t), "qmp")
	q, err := legacy.New(addr, &legacy.Options{Server: true})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	vm := qemutest.Machine(t, "-qmp", "unix:"+addr)
	greeting, err := q.Accept(legacy.For(qemutest.Patience))
	if greeting["QMP"] == nil || err != nil {
		t.Fatalf("Accept: %v, %v", greeting, err)
	}
	q.SetTimeout(legacy.For(time.Minute))
	execute(t, q, "query-status")
	quit(t, q, vm)
}
