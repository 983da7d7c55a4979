package qmpsync_test

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	qmpsync "github.com/goqmp/qmp/sync"
)

func TestCommands(t *testing.T) {
	server := qmptest.Start(t, nil)
	server.HandleOOB("migrate-pause", func(context.Context, *qmptest.Command) (any, error) { return nil, nil })
	c, err := qmpsync.Dial(server.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	if g := c.Greeting(); g == nil || g.Version.Major != qmptest.DefaultVersion.Major {
		t.Errorf("greeting %+v", g)
	}
	wantRunstate(t, c, async.Running)

	value, err := c.Execute("query-name", nil)
	if string(value) != "{}" || err != nil {
		t.Errorf("query-name: %s, %v", value, err)
	}
	value, err = c.ExecuteOOB("migrate-pause", nil)
	if string(value) != "{}" || err != nil {
		t.Errorf("migrate-pause: %s, %v", value, err)
	}
	status, err := qmpsync.Call[struct {
		Running bool `json:"running"`
	}](c, "query-status", nil)
	if !status.Running || err != nil {
		t.Errorf("query-status: %+v, %v", status, err)
	}
	if _, err := qmpsync.Call[int](c, "query-status", nil); err == nil {
		t.Error("query-status fits an int")
	}

	var refused *async.ExecuteError
	if _, err := c.Execute("nonsense", nil); !errors.As(err, &refused) || refused.Class != "CommandNotFound" {
		t.Errorf("nonsense by Execute: %v", err)
	}
	if _, err := qmpsync.Call[int](c, "nonsense", nil); !errors.As(err, &refused) {
		t.Errorf("nonsense by Call: %v", err)
	}
	reply, err := c.Do(async.Command{Name: "nonsense", ID: "mine"})
	if err != nil || !errors.As(reply.Err(), &refused) {
		t.Errorf("nonsense by Do: %s, %v", reply.Raw(), err)
	}

	if err := c.Disconnect(); err != nil {
		t.Error(err)
	}
	_, err = c.Execute("query-name", nil)
	wantState(t, err, async.Idle, async.Running)
	_, err = qmpsync.Call[int](c, "query-name", nil)
	wantState(t, err, async.Idle, async.Running)
	wantState(t, c.SendFiles(os.Stdin), async.Idle, async.Running)
}

func TestDialFails(t *testing.T) {
	var noConn *async.ConnectError
	if c, err := qmpsync.Dial(t.TempDir()+"/missing", nil); c != nil || !errors.As(err, &noConn) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such socket: %v, %v", c, err)
	}
	var noAddr *async.AddressError
	if c, err := qmpsync.Dial("", nil); c != nil || !errors.As(err, &noAddr) {
		t.Errorf("no address: %v, %v", c, err)
	}
}

// A command ends exactly at its time limit, by the clock of the synctest bubble.
func TestSetTimeout(t *testing.T) {
	tests := []struct {
		name  string
		limit time.Duration
		after time.Duration // when the call ends
		sent  bool
		ok    bool
	}{
		{name: "none", limit: 0, after: 5 * time.Minute, ok: true},
		{name: "in time", limit: 6 * time.Minute, after: 5 * time.Minute, ok: true},
		{name: "too slow", limit: time.Minute, after: time.Minute, sent: true},
		{name: "expired", limit: -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory})
				server.Handle("slow", func(ctx context.Context, _ *qmptest.Command) (any, error) {
					select {
					case <-time.After(5 * time.Minute):
					case <-ctx.Done():
					}
					return nil, nil
				})
				c := dialing(t, nil, server.Dial)
				if err := c.Connect("machine"); err != nil {
					t.Fatal(err)
				}
				c.SetTimeout(tt.limit)
				start := time.Now()
				_, err := c.Execute("slow", nil)
				if took := time.Since(start); took != tt.after {
					t.Errorf("took %v, want %v", took, tt.after)
				}
				if tt.ok {
					if err != nil {
						t.Error(err)
					}
					return
				}
				wantTimeout(t, err, max(tt.limit, 0))
				var interrupted *async.ExecInterruptedError
				if !errors.As(err, &interrupted) || interrupted.Sent != tt.sent || interrupted.SafeToRetry() == tt.sent {
					t.Errorf("%v: want an async.ExecInterruptedError with Sent %v", err, tt.sent)
				}
				if got := len(server.Received()); got != 1 && !tt.sent {
					t.Errorf("%d messages on the wire, want the handshake's only", got)
				}
				// The connection is still usable, and no other command gets the late reply.
				c.SetTimeout(0)
				value, err := c.Execute("query-name", nil)
				if string(value) != "{}" || err != nil {
					t.Errorf("query-name: %s, %v", value, err)
				}
			})
		})
	}
}

func TestInterruptedByDeath(t *testing.T) {
	c := connected(t, nil, qmptest.Expect("x"), qmptest.HangUp(),
		qmptest.Accept(), qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`),
		qmptest.Expect("y"), qmptest.Return(`1`))
	_, err := c.Execute("x", nil)
	var interrupted *async.ExecInterruptedError
	if !errors.As(err, &interrupted) || !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want an async.ExecInterruptedError around io.EOF", err)
	}
	_, err = c.Execute("x", nil)
	wantState(t, err, async.Disconnecting, async.Running)
	wantState(t, c.Connect("script"), async.Disconnecting, async.Idle)
	if err := c.Disconnect(); !errors.Is(err, io.EOF) {
		t.Errorf("first Disconnect: %v, want io.EOF", err)
	}
	if err := c.Disconnect(); err != nil {
		t.Errorf("second Disconnect: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close after the two Disconnects: %v", err)
	}
	if err := c.Connect("script"); err != nil {
		t.Fatal(err)
	}
	if value, err := c.Execute("y", nil); string(value) != "1" || err != nil {
		t.Errorf("y over the next connection: %s, %v", value, err)
	}
}

// A client of this package and the one of package async under it are the same client.
func TestUpAndDown(t *testing.T) {
	server := qmptest.Start(t, nil)
	c, err := qmpsync.Dial(server.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Async().Execute(t.Context(), "stop", nil); err != nil {
		t.Error(err)
	}
	up := qmpsync.Wrap(c.Async(), nil)
	defer up.Events().Close()
	if up.Async() != c.Async() {
		t.Error("Wrap and Async are not each other's inverse")
	}
	if _, err := up.Execute("cont", nil); err != nil {
		t.Error(err)
	}
	// The first client has all events, the second those that came after Wrap.
	for _, name := range []string{"STOP", "RESUME"} {
		if ev, ok, err := c.Events().TryNext(); ev.Name != name || !ok || err != nil {
			t.Errorf("event %q, %v, %v; want %s", ev.Name, ok, err, name)
		}
	}
	if ev, ok, err := up.Events().TryNext(); ev.Name != "RESUME" || !ok || err != nil {
		t.Errorf("event %q, %v, %v; want RESUME", ev.Name, ok, err)
	}
	if err := up.Disconnect(); err != nil {
		t.Error(err)
	}
	wantRunstate(t, c, async.Idle)
}

func TestSendFiles(t *testing.T) {
	conn := qmptest.ScriptConn(t, handshake(
		qmptest.ExpectFDs(1, " "), qmptest.Expect("getfd", `{"fdname":"f"}`), qmptest.Return(`{}`))...)
	c := qmpsync.New(nil)
	if err := c.Attach(conn); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := c.SendFiles(f); err != nil {
		t.Error(err)
	}
	if _, err := c.Execute("getfd", map[string]any{"fdname": "f"}); err != nil {
		t.Error(err)
	}
	c.SetTimeout(-1)
	wantTimeout(t, c.SendFiles(f), 0)
}

func TestQuit(t *testing.T) {
	server := qmptest.Start(t, nil)
	c, err := qmpsync.Dial(server.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(); err != nil {
		t.Error(err)
	}
	wantRunstate(t, c, async.Idle)
	if err := c.Close(); err != nil {
		t.Error(err)
	}

	c = connected(t, nil, qmptest.Expect("quit"), qmptest.Return("{}"), qmptest.Stall())
	c.SetTimeout(time.Millisecond)
	wantTimeout(t, c.Quit(), time.Millisecond)
}
