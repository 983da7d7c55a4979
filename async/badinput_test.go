// Tests of servers that send garbage, or do not read.
// The code that they hold: receive.go, greeting.go, handshake.go and write.go.
package async_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A server that sends garbage in place of a greeting, each with its error.
func TestBadInputGreetings(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		sends    string
		reason   async.Reason
		received string
	}{
		"not JSON":          {sends: "HTTP/1.1 400 Bad Request\r\n", reason: async.NotJSON},
		"nothing but CRLF":  {sends: "\r\n\r\n", reason: ""},
		"binary":            {sends: "\x16\x03\x01\x02\x00", reason: async.NotJSON},
		"an array":          {sends: "[]", reason: async.NotObject},
		"a number":          {sends: "1", reason: async.NotObject},
		"a literal":         {sends: "null\n", reason: async.NotObject},
		"a text":            {sends: `"QMP"`, reason: async.NotObject},
		"too large":         {sends: `{"QMP":"` + strings.Repeat("x", 5000), reason: async.TooLarge},
		"too deep":          {sends: strings.Repeat(`{"QMP":`, 10_001), reason: async.TooDeep},
		"a command":         {sends: `{"execute":"x"}`, received: `{"execute":"x"}`},
		"a long other text": {sends: `{"a":"` + strings.Repeat("x", 500) + `"}`, received: `{"a":"` + strings.Repeat("x", 154) + "..."},
		"a list as version": {sends: `{"QMP":{"version":[],"capabilities":[]}}`, received: `{"QMP":{"version":[],"capabilities":[]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				max := 0
				if tt.reason == async.TooLarge {
					max = 4096
				}
				c := newClient(t, &async.Options{MaxMessage: max, Dialer: memory(t, qmptest.Send(tt.sends), qmptest.Stall()).Dial})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := c.Connect(ctx, "")
				e := wantAs[*async.GreetingError](t, "Connect", err)
				if e.Received != tt.received {
					t.Errorf("got Received %q, want %q", e.Received, tt.received)
				}
				if tt.reason != "" {
					if m := wantAs[*async.MessageError](t, "Connect", err); m.Reason != tt.reason {
						t.Errorf("got Reason %q, want %q", m.Reason, tt.reason)
					}
				}
				if name == "nothing but CRLF" {
					wantIs(t, "Connect", err, context.DeadlineExceeded)
				}
				wantText(t, "Connect", err, "greeting")
				if len(err.Error()) > 600 {
					t.Errorf("the error text has %d bytes, want less than 500", len(err.Error()))
				}
			})
		})
	}
}

// A server that never reads holds up only the callers that write, until their
// context ends. What it sends is still read.
func TestBadInputServerThatNeverReads(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := qmptest.Play(t, &qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: 100}, connected("",
			qmptest.Pause(time.Second), qmptest.Event("E", ""), qmptest.StopReading())...)
		c := dial(t, p, nil)
		l := c.NewListener(nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		writing := start(ctx, c, async.Command{Name: "x", Args: map[string]any{"x": strings.Repeat("x", 1000)}})
		waiting := start(ctx, c, async.Command{Name: "y"})
		if ev, err := l.Next(t.Context()); err != nil || ev.Name != "E" {
			t.Errorf("the listener: got %q and error %v, want E", ev.Name, err)
		}
		sent := 0
		for _, call := range []<-chan result{writing, waiting} {
			err := (<-call).err
			e := wantAs[*async.ExecInterruptedError](t, "the call", err)
			wantIs(t, "the call", err, context.DeadlineExceeded)
			if e.Sent {
				sent++
			}
		}
		if sent == 0 {
			t.Error("no call says that a part of it was sent")
		}
		begin := time.Now()
		ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		c.Disconnect(ctx)
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("Disconnect: took %v, want at most the 5s of its context", took)
		}
	})
}
