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

// Close returns the end of a connection if the caller can know of that end, and is
// silent otherwise.
func TestCloseSaysWhatWasMet(t *testing.T) {
	nothing := func(*legacy.QEMUMonitorProtocol) {}
	for _, tt := range []struct {
		name string
		end  qmptest.Step // a second after the handshake
		meet func(q *legacy.QEMUMonitorProtocol)
		want error // nil: silent
	}{
		{"end of file, no call", qmptest.HangUp(), nothing, nil},
		{"reset, no call", qmptest.Reset(), nothing, nil},
		{"no event, not waited for", qmptest.HangUp(), func(q *legacy.QEMUMonitorProtocol) {
			q.PullEvent(legacy.NoWait)
			q.GetEvents(legacy.NoWait)
			q.ClearEvents()
		}, nil},
		{"calls through Sync", qmptest.HangUp(), func(q *legacy.QEMUMonitorProtocol) { q.Sync().Execute("x", nil) }, nil},
		{"Cmd", qmptest.HangUp(), func(q *legacy.QEMUMonitorProtocol) { q.Cmd("x", nil) }, io.EOF},
		{"CmdObj", qmptest.Reset(), func(q *legacy.QEMUMonitorProtocol) { q.CmdObj(object{"execute": "x"}) }, syscall.ECONNRESET},
		{"Command", qmptest.HangUp(), func(q *legacy.QEMUMonitorProtocol) { q.Command("x", nil) }, io.EOF},
		{"Command without a name", qmptest.HangUp(), func(q *legacy.QEMUMonitorProtocol) { q.Command("", nil) }, io.EOF},
		{"PullEvent", qmptest.HangUp(), func(q *legacy.QEMUMonitorProtocol) { q.PullEvent(legacy.For(time.Second)) }, io.EOF},
		{"GetEvents", qmptest.Reset(), func(q *legacy.QEMUMonitorProtocol) { q.GetEvents(legacy.Forever) }, syscall.ECONNRESET},
		{"Connect", qmptest.HangUp(), func(q *legacy.QEMUMonitorProtocol) { q.Connect(true) }, io.EOF},
		{"garbage, no call", qmptest.Send("x\n"), nothing, new(async.MessageError)},
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

				// What the caller saw of one connection does not count for the next.
				connect(t, q)
				time.Sleep(time.Minute)
				wantNoError(t, q.Close())
			})
		})
	}
}

// After an event has been taken from the queue of an ended connection, Close returns
// that end.
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
