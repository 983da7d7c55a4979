package async_test

import (
	"context"
	"encoding/json"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// The whole engine, fed any bytes in any pieces, with calls, a wait for events
// and a state watch pending: it does not panic, every call ends when the stream
// does, and nothing is left.
func FuzzEngine(f *testing.F) {
	whole := strings.Join(recorded, "")
	f.Add([]byte(whole), byte(0), byte(0))
	f.Add([]byte(whole), byte(1), byte(1))
	f.Add([]byte(recorded[2]+`{"error":{"class":"C","desc":"D"},"id":"mine"}{"return":[],"id":1}`), byte(3), byte(2))
	f.Add([]byte(`{"error":{"class":"GenericError","desc":"JSON parse error"}}`), byte(7), byte(6))
	f.Add([]byte(`{"return":{},"id":3}{"return":{},"id":3}{"return":1,"id":null}{"QMP":{}}`+"\r\n[]"), byte(255), byte(10))
	f.Add([]byte(stream), byte(5), byte(14))
	f.Fuzz(func(t *testing.T, data []byte, split, mode byte) {
		before := runtime.NumGoroutine()
		feed(t, data, int(split), mode)
		// Goroutines that have done their last may take a moment to go.
		for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("%d goroutines, were %d before:\n%s", runtime.NumGoroutine(), before, stacks())
			}
		}
	})
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// feed runs one connection whose server says data. The bits of mode are: skip
// the greeting, skip the negotiation (with both, calls are pending before the
// first byte comes), end with a reset, decline oob.
func feed(t *testing.T, data []byte, split int, mode byte) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, server := qmptest.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(io.Discard, server) })
	const calls = 3
	sends := make(chan struct{}, calls+1)
	opts := &async.Options{
		SkipGreeting: mode&1 != 0, SkipNegotiation: mode&2 != 0, NoOOB: mode&8 != 0, MaxMessage: 1 << 16,
		OnSend: func(_ json.RawMessage) json.RawMessage {
			sends <- struct{}{}
			return nil
		},
	}
	c := async.New(opts)
	w, l := c.WatchRunstate(), c.NewListener(nil)
	bounded := c.NewListener(&async.ListenerOptions{Limit: 2, History: 2})
	say := func() {
		for rest := data; len(rest) > 0; {
			n := min(max(split, 1), len(rest))
			if split == 0 {
				n = len(rest)
			}
			server.Write(rest[:n])
			rest = rest[n:]
		}
		if mode&4 != 0 {
			server.Reset()
		} else {
			server.Close()
		}
	}
	bare := opts.SkipGreeting && opts.SkipNegotiation
	if !bare {
		wg.Go(say)
	}
	if c.Attach(ctx, client) == nil {
		for _, cmd := range []async.Command{{Name: "x", TakesUnattributed: true}, {Name: "x", ID: "mine"}, {Object: map[string]any{"execute": "x"}}} {
			wg.Go(func() {
				reply, err := c.Do(ctx, cmd)
				if err == nil {
					var v any
					reply.Decode(&v)
				}
			})
		}
		wg.Go(func() {
			for _, err := range l.All(ctx) {
				if err != nil {
					return
				}
			}
		})
		if bare {
			for range calls {
				<-sends
			}
			wg.Go(say)
		}
	}
	wg.Wait() // all of them end with the stream
	if ctx.Err() != nil {
		t.Fatalf("somebody waited for ever:\n%s", stacks())
	}
	c.Disconnect(ctx)
	if state := c.Runstate(); state != async.Idle {
		t.Errorf("behind Disconnect the client is %v", state)
	}
	states := transitions(w)
	if len(states) == 0 || states[0] != "IDLE>CONNECTING" || states[len(states)-1] != "DISCONNECTING>IDLE" {
		t.Errorf("got transitions %v", states)
	}
	for {
		if _, ok, err := bounded.TryNext(); !ok && err == nil {
			break
		}
	}
	for _, ev := range bounded.History() {
		ev.Decode(new(any))
	}
}
