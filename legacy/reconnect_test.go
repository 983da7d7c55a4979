package legacy_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/legacy"
	qmpsync "github.com/goqmp/qmp/sync"
)

// again returns options for an object that connects again after a second.
func again(r async.Reconnect) *legacy.Options {
	return &legacy.Options{Sync: qmpsync.Options{Async: async.Options{Backoff: async.Every(time.Second), Reconnect: &r}}}
}

// An old script goes on when its QEMU is started again: events are read across the
// gap. Commands in the gap fail at once, or wait.
// Holds E14.
func TestScriptGoesOn(t *testing.T) {
	for _, wait := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			q := scripted(t, again(async.Reconnect{Wait: wait}), join(
				handshake(qmptest.Expect("x"), qmptest.Send(`{"event": "LAST"}`), qmptest.HangUp()),
				handshake(qmptest.Send(`{"event": "FIRST"}`), qmptest.Expect("y"), qmptest.Return(`{}`), qmptest.Expect("z"), qmptest.Return(`{}`)))...)
			connect(t, q)
			_, err := q.Cmd("x", nil)
			if lost := wantError[*async.ExecInterruptedError](t, err); !lost.Sent || !errors.Is(err, io.EOF) {
				t.Errorf("x: got %v, want the end of the connection", err)
			}
			if wait {
				execute(t, q, "y") // waits
			} else {
				_, err = q.Cmd("y", nil)
				wantState(t, err, async.Connecting, async.Running)
				if !async.HungUp(err) {
					t.Errorf("y in the gap: %v does not say that the server has hung up", err)
				}
			}
			wantPull(t, q, legacy.For(time.Minute), "LAST")
			wantPull(t, q, legacy.For(time.Minute), "FIRST")
			synctest.Wait()
			if !wait {
				execute(t, q, "y")
			}
			q.SetTimeout(legacy.For(time.Second))
			execute(t, q, "z")
			wantNoError(t, q.Close())
		})
	}
}

// With Wait a command in the gap waits no longer than its time limit. A read waits
// no longer than its own.
// Holds E14.
func TestWaitInTheGapIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := scripted(t, again(async.Reconnect{Wait: true}), handshake(qmptest.Expect("x"), qmptest.HangUp())...)
		connect(t, q)
		_, err := q.Cmd("x", nil)
		wantError[*async.ExecInterruptedError](t, err)
		begin := time.Now()
		q.SetTimeout(legacy.For(time.Second / 4))
		_, err = q.Cmd("y", nil)
		wantTimeout(t, err)
		if e := wantError[*async.ExecInterruptedError](t, err); e.Sent {
			t.Error("y: was sent, says the error")
		}
		_, err = q.PullEvent(legacy.For(time.Second / 4))
		wantTimeout(t, err)
		if took := time.Since(begin); took != time.Second/2 {
			t.Errorf("both took %v, want half a second", took)
		}
		if err := q.Close(); !errors.Is(err, io.EOF) {
			t.Errorf("Close in the gap: got %v, want io.EOF", err)
		}
	})
}

// What the caller saw of one connection does not count for the next one.
// Holds E14.
func TestCloseAfterConnectingAgain(t *testing.T) {
	for _, tt := range []struct {
		name string
		meet func(q *legacy.QEMUMonitorProtocol)
		want error
	}{
		{"no call", func(*legacy.QEMUMonitorProtocol) {}, nil},
		{"Cmd", func(q *legacy.QEMUMonitorProtocol) { q.Cmd("x", nil) }, io.EOF},
		{"PullEvent", func(q *legacy.QEMUMonitorProtocol) { q.PullEvent(legacy.NoWait) }, io.EOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := scripted(t, again(async.Reconnect{}), join(
					handshake(qmptest.Expect("x"), qmptest.HangUp()),
					handshake(qmptest.Event("E", ""), qmptest.Pause(time.Minute), qmptest.HangUp()))...)
				connect(t, q)
				q.Cmd("x", nil) // the caller sees the end of the first connection
				time.Sleep(time.Minute + time.Second + time.Second/2)
				synctest.Wait()
				tt.meet(q)
				if err := q.Close(); !errors.Is(err, tt.want) {
					t.Errorf("Close: got %v, want %v", err, tt.want)
				}
			})
		})
	}
}

// An open connection cannot be made again.
// Holds E14.
func TestConnCannotBeMadeAgain(t *testing.T) {
	client, server := qmptest.Pipe()
	defer client.Close()
	defer server.Close()
	opts := again(async.Reconnect{})
	opts.Conn = client
	_, err := legacy.New("", opts)
	wantError[*async.ConnectError](t, err)
}
