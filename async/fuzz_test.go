// The fuzz target for the whole engine (rule E10).
// The code that it holds: receive.go, session.go and calls.go.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/testing/anybytes"
)

// FuzzEngine feeds the whole engine any bytes in any pieces, while calls, a
// wait for events and a watch of the states are pending. The engine does not
// panic, every call ends with the stream, and nothing is left.
// Holds E10.
func FuzzEngine(f *testing.F) {
	whole := strings.Join(recorded, "")
	f.Add([]byte(whole), []byte(nil), byte(0))
	f.Add([]byte(whole), []byte{1}, byte(1))
	f.Add([]byte(recorded[2]+`{"error":{"class":"C","desc":"D"},"id":"mine"}{"return":[],"id":1}`), []byte{3, 1, 40}, byte(2))
	f.Add([]byte(`{"error":{"class":"GenericError","desc":"JSON parse error"}}`), []byte{7}, byte(6))
	f.Add([]byte(`{"return":{},"id":3}{"return":{},"id":3}{"return":1,"id":null}{"QMP":{}}`+"\r\n[]"), []byte{255}, byte(10))
	f.Add([]byte(stream), []byte{5, 5, 1}, byte(14))
	f.Fuzz(func(t *testing.T, data, split []byte, mode byte) {
		before := runtime.NumGoroutine()
		feed(t, data, split, mode)
		anybytes.NothingLeft(t, before)
	})
}

// feed runs one connection on which the server sends data. The bits of mode
// are: skip the greeting, skip the negotiation (with both, calls are pending
// before the first byte comes), end with a reset, decline oob.
func feed(t *testing.T, data, split []byte, mode byte) {
	ctx, cancel := context.WithTimeout(context.Background(), anybytes.Patience)
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
	say := func() { anybytes.Say(server, data, split, mode&4 != 0) }
	bare := opts.SkipGreeting && opts.SkipNegotiation
	if !bare {
		wg.Go(say)
	}
	if c.Attach(ctx, client) == nil {
		for _, cmd := range []async.Command{{Name: "x", TakesErrorWithoutID: true}, {Name: "x", ID: "mine"}, {Object: map[string]any{"execute": "x"}}} {
			wg.Go(func() {
				reply, err := c.Do(ctx, cmd)
				wantItsOwn(t, cmd, reply, err)
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
	wg.Wait() // every call ends with the stream
	if ctx.Err() != nil {
		t.Fatalf("a call did not end:\n%s", anybytes.Stacks())
	}
	c.Disconnect(ctx)
	if state := c.Runstate(); state != async.Idle {
		t.Errorf("after Disconnect the client is %v", state)
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

// wantItsOwn checks that a reply has its command's id, and that an error is one
// with which a call may end.
func wantItsOwn(t *testing.T, cmd async.Command, reply async.Reply, err error) {
	if err != nil {
		_, interrupted := errors.AsType[*async.ExecInterruptedError](err)
		_, state := errors.AsType[*async.StateError](err)
		if !interrupted && !state {
			t.Errorf("a call ended with %v (%T)", err, err)
		}
		return
	}
	m := proto.ParseMessage(reply.Raw())
	if mine := m.ID == proto.TextualID("mine"); mine != (cmd.ID == "mine") || m.ID.Kind == proto.NoID && !cmd.TakesErrorWithoutID {
		t.Errorf("the command with the id %q got %s", cmd.ID, reply.Raw())
	}
	var v any
	err = reply.Decode(&v)
	var refused *async.ExecuteError
	var bad *async.BadReplyError
	if failed := errors.As(err, &refused) || errors.As(err, &bad); failed != (reply.Err() != nil) {
		t.Errorf("Decode of %s: got error %v, and Err is %v", reply.Raw(), err, reply.Err())
	}
}
