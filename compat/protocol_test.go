package compat_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/compat"
	"github.com/goqmp/qmp/legacy"
	qmpsync "github.com/goqmp/qmp/sync"
)

type object = map[string]any

// handshake returns a script that begins with greeting and negotiation.
func handshake(steps ...qmptest.Step) []qmptest.Step {
	return append([]qmptest.Step{
		qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`),
	}, steps...)
}

// open returns an object that has connected to a server which negotiates and then
// follows the script, over an open socket.
func open(t *testing.T, steps ...qmptest.Step) *compat.QEMUMonitorProtocol {
	t.Helper()
	vm, err := compat.NewConn(qmptest.ScriptConn(t, handshake(steps...)...), nil)
	if err != nil {
		t.Fatal(err)
	}
	greeting, err := vm.Connect(true)
	if err != nil || greeting["QMP"] == nil {
		t.Fatalf("Connect: %v, %v", greeting, err)
	}
	if diff := cmp.Diff(greeting, vm.Greeting()); diff != "" {
		t.Error("Greeting (-want +got)", diff)
	}
	t.Cleanup(func() { vm.Close() })
	return vm
}

func TestNewNames(t *testing.T) {
	vm := open(t,
		qmptest.ExpectRaw(`{"execute":"a","id":2}`), qmptest.ReturnError("GenericError", "raw"),
		qmptest.ExpectRaw(`{"execute":"b","arguments":{"x":1},"id":3}`), qmptest.ReturnError("GenericError", "raised"),
		qmptest.ExpectRaw(`{"execute":"c","arguments":{},"id":4}`), qmptest.Return(`[1]`),
		qmptest.ExpectRaw(`{"execute":"d","id":"mine"}`), qmptest.Return(`{}`))

	got, err := vm.CmdRaw("a", nil)
	if diff := cmp.Diff(object{"error": object{"class": "GenericError", "desc": "raw"}}, got); diff != "" || err != nil {
		t.Errorf("CmdRaw: error %v, (-want +got) %s", err, diff)
	}
	_, err = vm.Cmd("b", object{"x": 1})
	var refused *async.ExecuteError
	if !errors.As(err, &refused) || refused.Class != "GenericError" || refused.Desc != "raised" {
		t.Errorf("Cmd: error %v, want an async.ExecuteError", err)
	}
	value, err := vm.Cmd("c", nil)
	if diff := cmp.Diff(any([]any{int64(1)}), value); diff != "" || err != nil {
		t.Errorf("Cmd: error %v, (-want +got) %s", err, diff)
	}
	got, err = vm.CmdObj(async.Members{{Name: "execute", Value: "d"}, {Name: "id", Value: "mine"}})
	if diff := cmp.Diff(object{"return": object{}, "id": "mine"}, got); diff != "" || err != nil {
		t.Errorf("CmdObj: error %v, (-want +got) %s", err, diff)
	}
}

func TestEvents(t *testing.T) {
	vm := open(t, qmptest.Expect("x"), qmptest.Send(`{"event": "A"} {"event": "B"}`), qmptest.Return(`{}`),
		qmptest.Expect("x"), qmptest.Send(`{"event": "C"}`), qmptest.Return(`{}`), qmptest.Expect("x"), qmptest.HangUp())
	if _, err := vm.Cmd("x", nil); err != nil {
		t.Fatal(err)
	}
	if ev, err := vm.PullEvent(legacy.NoWait); ev["event"] != "A" || err != nil {
		t.Errorf("PullEvent: %v, %v", ev, err)
	}
	if evs, err := vm.GetEvents(legacy.Forever); len(evs) != 1 || evs[0]["event"] != "B" || err != nil {
		t.Errorf("GetEvents: %v, %v", evs, err)
	}
	if _, err := vm.Cmd("x", nil); err != nil {
		t.Fatal(err)
	}
	vm.ClearEvents()
	if ev, err := vm.PullEvent(legacy.NoWait); ev != nil || err != nil {
		t.Errorf("PullEvent: %v, %v", ev, err)
	}
	if _, err := vm.CmdRaw("x", nil); !errors.Is(err, io.EOF) {
		t.Errorf("CmdRaw: %v, want io.EOF", err)
	}
	if err := vm.Close(); !errors.Is(err, io.EOF) {
		t.Errorf("Close: %v, want io.EOF", err)
	}
}

func TestSetTimeout(t *testing.T) {
	vm := open(t)
	vm.SetTimeout(legacy.For(0))
	if _, err := vm.Cmd("x", nil); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Cmd: %v, want os.ErrDeadlineExceeded", err)
	}
}

func TestSendFDSCM(t *testing.T) {
	vm := open(t, qmptest.ExpectFDs(1, " "), qmptest.Expect("getfd"), qmptest.Return(`{}`))
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := vm.SendFDSCM(f); err != nil {
		t.Error(err)
	}
	if _, err := vm.Cmd("getfd", object{"fdname": "f"}); err != nil {
		t.Error(err)
	}
}

func TestAccept(t *testing.T) {
	addr := filepath.Join(t.TempDir(), "s")
	vm, err := compat.New(addr, &legacy.Options{Server: true})
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	qmptest.ScriptDial(t, addr, handshake()...)
	if greeting, err := vm.Accept(legacy.Forever); err != nil || greeting["QMP"] == nil {
		t.Errorf("Accept: %v, %v", greeting, err)
	}
}

func TestNewFails(t *testing.T) {
	conn, peer := net.Pipe()
	defer conn.Close()
	defer peer.Close()
	if vm, err := compat.NewConn(conn, &legacy.Options{Server: true}); vm != nil || err == nil {
		t.Errorf("NewConn with Server: %v, %v; want an error", vm, err)
	}
	if addr, err := compat.ParseAddress("localhost:4444"); addr.Port != 4444 || err != nil {
		t.Errorf("ParseAddress: %v, %v", addr, err)
	}
}

// The methods Legacy, Sync and Async and the three Wraps are inverses of each other.
func TestUpAndDown(t *testing.T) {
	vm := open(t)
	old := vm.Legacy()
	client := old.Sync()
	engine := client.Async()
	if vm.Sync() != client {
		t.Error("Sync returns another client")
	}
	if compat.Wrap(old).Legacy() != old || legacy.Wrap(client).Sync() != client {
		t.Error("a Wrap is not the inverse of Legacy or Sync")
	}
	up := qmpsync.Wrap(engine, nil)
	defer up.Events().Close()
	if up.Async() != engine {
		t.Error("qmpsync.Wrap is not the inverse of Async")
	}
	if err := compat.Wrap(legacy.Wrap(up)).Close(); err != nil {
		t.Error(err)
	}
	if engine.Runstate() != async.Idle {
		t.Errorf("the engine is %v", engine.Runstate())
	}
}
