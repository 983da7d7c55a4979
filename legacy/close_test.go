package legacy_test

import (
	"errors"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/legacy"
)

// Close is silent about an end that nobody has met, and about no other.
func TestCloseSaysWhatWasMet(t *testing.T) {
	nothing := func(*legacy.QEMUMonitorProtocol) {}
	for _, tt := range []struct {
		name string
		end  qmptest.Step // a second after the connection came about
		meet func(q *legacy.QEMUMonitorProtocol)
		want error // nil: silent
	}{
		{"end of file, nobody asked", qmptest.HangUp(), nothing, nil},
		{"reset, nobody asked", qmptest.Reset(), nothing, nil},
		{"no event, not waited for", qmptest.HangUp(), func(q *legacy.QEMUMonitorProtocol) {
			q.PullEvent(legacy.NoWait)
			q.GetEvents(legacy.NoWait)
			q.ClearEvents()
		}, nil},
		{"calls of the floor below", qmptest.HangUp(), func(q *legacy.QEMUMonitorProtocol) { q.Sync().Execute("x", nil) }, nil},
		{"Cmd", qmptest.HangUp(), func(q *legacy.QEMUMonitorProtocol) { q.Cmd("x", nil) }, io.EOF},
		{"CmdObj", qmptest.Reset(), func(q *legacy.QEMUMonitorProtocol) { q.CmdObj(object{"execute": "x"}) }, syscall.ECONNRESET},
		{"Command", qmptest.HangUp(), func(q *legacy.QEMUMonitorProtocol) { q.Command("x", nil) }, io.EOF},
		{"Command without a name", qmptest.HangUp(), func(q *legacy.QEMUMonitorProtocol) { q.Command("", nil) }, io.EOF},
		{"PullEvent", qmptest.HangUp(), func(q *legacy.QEMUMonitorProtocol) { q.PullEvent(legacy.For(time.Second)) }, io.EOF},
		{"GetEvents", qmptest.Reset(), func(q *legacy.QEMUMonitorProtocol) { q.GetEvents(legacy.Forever) }, syscall.ECONNRESET},
		{"Connect", qmptest.HangUp(), func(q *legacy.QEMUMonitorProtocol) { q.Connect(true) }, io.EOF},
		{"garbage, nobody asked", qmptest.Send("x\n"), nothing, new(async.MessageError)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := scripted(t, nil, join(handshake(qmptest.Pause(time.Second), tt.end),
					handshake(qmptest.Pause(time.Second), qmptest.HangUp()))...)
				connect(t, q)
				time.Sleep(time.Minute)
				tt.meet(q)
				err := q.Close()
				_, protocol := tt.want.(*async.MessageError)
				switch _, broken := errors.AsType[*async.MessageError](err); {
				case protocol:
					if !broken {
						t.Errorf("Close: got %v, want an async.MessageError", err)
					}
				case tt.want == nil:
					wantNoError(t, err)
				case !errors.Is(err, tt.want):
					t.Errorf("Close: got %v, want %v", err, tt.want)
				}
				wantNoError(t, q.Close())

				// What was met of one connection says nothing of the next.
				connect(t, q)
				time.Sleep(time.Minute)
				wantNoError(t, q.Close())
			})
		})
	}
}

// An event that is taken off the queue after the end is one way to meet it.
func TestCloseAfterAnEventOfAnEndedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := connected(t, qmptest.Pause(time.Second), qmptest.Event("E", ""), qmptest.HangUp())
		time.Sleep(time.Minute)
		if ev, err := q.PullEvent(legacy.NoWait); err != nil || ev["event"] != "E" {
			t.Errorf("PullEvent: got %v, %v", ev, err)
		}
		if err := q.Close(); !errors.Is(err, io.EOF) {
			t.Errorf("Close: got %v, want io.EOF", err)
		}
	})
}

// The old module sends a command without a name, and so does this one.
func TestCommandWithoutAName(t *testing.T) {
	q := connected(t,
		qmptest.ExpectRaw(`{"execute":"","id":2}`), qmptest.Return(`1`),
		qmptest.ExpectRaw(`{"execute":"","arguments":{"a":1},"id":"mine"}`), qmptest.Return(`2`),
		qmptest.ExpectRaw(`{"execute":"","arguments":{},"id":3}`), qmptest.Return(`3`))
	if reply, err := q.Cmd("", nil); err != nil || reply["return"] != int64(1) {
		t.Errorf("Cmd: got %v, %v", reply, err)
	}
	if reply, err := q.Cmd("", object{"a": 1}, "mine"); err != nil || reply["return"] != int64(2) || reply["id"] != "mine" {
		t.Errorf("Cmd with an id: got %v, %v", reply, err)
	}
	if value, err := q.Command("", nil); err != nil || value != int64(3) {
		t.Errorf("Command: got %v, %v", value, err)
	}
}
