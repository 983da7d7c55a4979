package qmpsync_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	qmpsync "github.com/goqmp/qmp/sync"
)

// Connect gives up at its limit if the server does not greet, or greets too late.
func TestConnectLimit(t *testing.T) {
	tests := []struct {
		name  string
		limit time.Duration
		greet time.Duration // when the server greets
		want  time.Duration // the limit reached; 0 for success
	}{
		{"default", 0, time.Hour, 15 * time.Second},
		{"default, in time", 0, 14 * time.Second, 0},
		{"set", time.Second, time.Hour, time.Second},
		{"off", -1, time.Hour / 2, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				steps := []qmptest.Step{qmptest.Accept(), qmptest.Stall()}
				if tt.want == 0 {
					steps = append([]qmptest.Step{qmptest.Accept(), qmptest.Pause(tt.greet)}, handshake()...)
				}
				c := scripted(t, &qmpsync.Options{ConnectLimit: tt.limit}, steps...)
				start := time.Now()
				err := c.Connect("script")
				took := time.Since(start)
				if tt.want == 0 {
					if err != nil || took != tt.greet {
						t.Errorf("%v after %v", err, took)
					}
					return
				}
				if took != tt.want {
					t.Errorf("took %v, want %v", took, tt.want)
				}
				wantTimeout(t, err, tt.want)
				var noConn *async.ConnectError
				if !errors.As(err, &noConn) || noConn.Stage != async.StageSession {
					t.Errorf("%v: want an async.ConnectError about the session", err)
				}
				if !strings.Contains(err.Error(), "is another client connected?") {
					t.Errorf("%v: does not ask for another client", err)
				}
				wantRunstate(t, c, async.Idle)
			})
		})
	}
}

func TestConnectUnnegotiated(t *testing.T) {
	c := scripted(t, nil, append([]qmptest.Step{
		qmptest.Expect("a"), qmptest.Return(`1`), qmptest.ExpectEOF(), qmptest.Accept(),
	}, handshake(qmptest.Expect("b"), qmptest.Return(`2`))...)...)
	if err := c.ConnectUnnegotiated("script"); err != nil {
		t.Fatal(err)
	}
	if c.Greeting() != nil {
		t.Error("there is a greeting")
	}
	if value, err := c.Execute("a", nil); string(value) != "1" || err != nil {
		t.Errorf("a: %s, %v", value, err)
	}
	if err := c.Disconnect(); err != nil {
		t.Error(err)
	}
	// It held for that one connection.
	if err := c.Connect("script"); err != nil {
		t.Fatal(err)
	}
	if c.Greeting() == nil {
		t.Error("there is no greeting")
	}
	if value, err := c.Execute("b", nil); string(value) != "2" || err != nil {
		t.Errorf("b: %s, %v", value, err)
	}
}

// Without the handshake the limit still bounds the dialing.
func TestConnectUnnegotiatedIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialing(t, &qmpsync.Options{ConnectLimit: time.Second}, func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		start := time.Now()
		wantTimeout(t, c.ConnectUnnegotiated("x"), time.Second)
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %v, want a second", took)
		}
	})
}

func TestListenAndAccept(t *testing.T) {
	addr := filepath.Join(t.TempDir(), "s")
	c := qmpsync.New(nil)
	defer c.Close()
	wantState(t, c.Accept(0), async.Idle, async.Connecting)

	if err := c.Listen(addr); err != nil {
		t.Fatal(err)
	}
	wantRunstate(t, c, async.Connecting)
	if at := c.ListenAddr(); at == nil || at.String() != addr {
		t.Errorf("listens at %v, want %s", at, addr)
	}
	wantState(t, c.Connect(addr), async.Connecting, async.Idle)
	wantState(t, c.Listen(addr), async.Connecting, async.Idle)
	wantTimeout(t, c.Accept(-1), 0)
	wantRunstate(t, c, async.Connecting)

	qmptest.ScriptDial(t, addr, handshake(qmptest.Expect("x"), qmptest.Return(`{}`))...)
	if err := c.Accept(0); err != nil {
		t.Fatal(err)
	}
	if c.ListenAddr() != nil {
		t.Error("still listens")
	}
	if _, err := c.Execute("x", nil); err != nil {
		t.Error(err)
	}
	wantState(t, c.Accept(0), async.Running, async.Connecting)
	if err := c.Disconnect(); err != nil {
		t.Error(err)
	}

	// Nobody comes.
	if err := c.Listen(addr); err != nil {
		t.Fatal(err)
	}
	for c.Runstate() != async.Idle { // if the limit expires before Accept begins, the client still listens
		wantTimeout(t, c.Accept(time.Millisecond), time.Millisecond)
	}
}

// Disconnect gives up at its limit if the peer does not read what is being written.
func TestCloseLimit(t *testing.T) {
	tests := []struct {
		name  string
		limit time.Duration
		close func(*qmpsync.Client) error
		want  time.Duration // the limit reached; 0 for none
	}{
		{"default", 0, (*qmpsync.Client).Disconnect, 5 * time.Second},
		{"set", time.Minute, (*qmpsync.Client).Disconnect, time.Minute},
		{"at once", 0, (*qmpsync.Client).Close, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := connected(t, &qmpsync.Options{CloseLimit: tt.limit}, qmptest.StopReading())
				c.SetTimeout(time.Second)
				_, err := c.Execute("big", map[string]any{"x": strings.Repeat("x", 1<<20)})
				wantTimeout(t, err, time.Second)

				start := time.Now()
				err = tt.close(c)
				if took := time.Since(start); took != tt.want {
					t.Errorf("took %v, want %v", took, tt.want)
				}
				if tt.want == 0 {
					if err != nil {
						t.Error(err)
					}
				} else {
					wantTimeout(t, err, tt.want)
				}
				wantRunstate(t, c, async.Idle)
			})
		})
	}
}

// Without a limit Disconnect waits until the peer has read the message.
func TestCloseLimitOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connected(t, &qmpsync.Options{CloseLimit: -1},
			qmptest.Pause(30*time.Minute), qmptest.Expect("big"))
		c.SetTimeout(time.Second)
		_, err := c.Execute("big", map[string]any{"x": strings.Repeat("x", 1<<20)})
		wantTimeout(t, err, time.Second)
		start := time.Now()
		if err := c.Disconnect(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < 29*time.Minute {
			t.Errorf("took %v: did not wait for the peer", took)
		}
	})
}
