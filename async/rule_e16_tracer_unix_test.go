//go:build unix

// Tests of rule E16 (hooks see every message): what a Tracer sees, and Done and
// Err.
// The code that they hold: tracer.go, stage.go and done.go.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A trace is what a Tracer has seen, one line for each call.
type trace struct {
	mu    sync.Mutex
	lines []string
}

func (tr *trace) add(format string, args ...any) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.lines = append(tr.lines, fmt.Sprintf(format, args...))
}

func (tr *trace) read() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.lines)
}

func (tr *trace) tracer() *async.Tracer {
	message := func(what string) func(async.TraceMessage) {
		return func(m async.TraceMessage) {
			if m.Time.IsZero() {
				tr.add("%d: a message without a time", m.Session)
			}
			tr.add("%d: %s %s files=%d", m.Session, what, m.Masked(), m.Files)
		}
	}
	return &async.Tracer{
		Connected: func(c async.TraceConnected) { tr.add("%d: connected to %s", c.Session, c.Address) },
		Sent:      message("sent"),
		Unsent:    message("unsent"),
		Received:  message("received"),
		Ended:     func(e async.TraceEnded) { tr.add("%d: ended: %v", e.Session, e.Err) },
	}
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// Two connections, with a secret, an event, a reply that is replaced, and each
// kind of end.
func TestE16TracerSeesEverything(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, slices.Concat(
			[]qmptest.Step{
				qmptest.Send(`{"QMP":{"version":{},"capabilities":[]}}`), qmptest.Expect("qmp_capabilities"), qmptest.Send(`{"return":{}}`),
				qmptest.Expect("set_password"), qmptest.Send(`{"event":"E"}`), qmptest.Return(`1`), qmptest.ExpectEOF(),
			},
			[]qmptest.Step{qmptest.Accept(), qmptest.Send(`{"QMP":{"version":{},"capabilities":[]}}`), qmptest.HangUp()},
			[]qmptest.Step{qmptest.Accept(), qmptest.Send(`{"QMP":{"version":{},"capabilities":[]}}`), qmptest.Expect("qmp_capabilities"), qmptest.Send(`{"return":{}}`), qmptest.HangUp()},
		)...)
		var first, second trace
		c := newClient(t, &async.Options{
			Dialer: p.Dial, Tracers: []*async.Tracer{first.tracer(), nil, second.tracer(), {}},
			OnReceive: func(m json.RawMessage) json.RawMessage { // a Tracer sees the message as it came
				return json.RawMessage(strings.Replace(string(m), `"return": 1`, `"return": 2`, 1))
			},
		})
		connect(t, c)
		value, err := c.Execute(t.Context(), "set_password", map[string]any{"password": "secret"})
		wantValue(t, "set_password", value, err, "2")
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		before := len(first.read()) // nothing is called after that
		wantIs(t, "Connect", c.Connect(t.Context(), "test"), io.EOF)
		if err := c.Connect(t.Context(), "test"); err == nil {
			synctest.Wait()
			wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
		}
		got := first.read()
		wantLines(t, got[:before],
			"1: connected to test",
			`1: received {"QMP":{"version":{},"capabilities":[]}} files=0`,
			`1: sent {"execute":"qmp_capabilities","arguments":{},"id":1} files=0`,
			`1: received {"return":{}} files=0`,
			`1: sent {"execute":"set_password","arguments":{"password":"***"},"id":2} files=0`,
			`1: received {"event":"E"} files=0`,
			`1: received {"return": 1, "id": 2} files=0`,
			"1: ended: <nil>")
		if got[before] != "2: connected to test" || !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, "2: ended: EOF") }) || got[len(got)-1] != "3: ended: EOF" {
			t.Errorf("the second and third connection: got\n\t%s", strings.Join(got[before:], "\n\t"))
		}
		wantLines(t, second.read(), got...)
	})
}

// A message that was withdrawn before its first byte was not sent, and the
// Tracer is told so.
func TestE16TracerSeesWhatWasNotSent(t *testing.T) {
	t.Parallel()
	near, _ := socketPair(t)
	near.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	for full := false; !full; { // the peer does not read, so the pipe fills up
		_, err := near.Write(make([]byte, 1<<16))
		full = err != nil
	}
	near.SetWriteDeadline(time.Time{})
	var seen trace
	c := newClient(t, &async.Options{SkipGreeting: true, SkipNegotiation: true, Tracers: []*async.Tracer{seen.tracer()}})
	wantNil(t, "Attach", c.Attach(t.Context(), near))
	ctx, cancel := context.WithCancel(t.Context())
	call := start(ctx, c, async.Command{Name: "x"})
	for len(seen.read()) < 2 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	wantInterrupted(t, "x", (<-call).err, false, context.Canceled)
	wantNil(t, "Close", c.Close())
	wantLines(t, seen.read(), "1: connected to ", `1: sent {"execute":"x","id":1} files=0`, `1: unsent {"execute":"x","id":1} files=0`, "1: ended: <nil>")
}

// Calls are canceled at random. The peer has read each message that the Tracer
// was shown as sent, and Ended comes last.
func TestE16TracerUnderCancellations(t *testing.T) {
	t.Parallel()
	for round := range 20 {
		near, far := realPair(t, round%2 == 0)
		var mu sync.Mutex
		shown, ended := 0, 0
		c := newClient(t, &async.Options{SkipGreeting: true, SkipNegotiation: true, Tracers: []*async.Tracer{{
			Sent: func(async.TraceMessage) {
				mu.Lock()
				defer mu.Unlock()
				shown++
				if ended > 0 {
					t.Error("a message after Ended")
				}
			},
			Unsent: func(async.TraceMessage) {
				mu.Lock()
				defer mu.Unlock()
				shown--
			},
			Ended: func(async.TraceEnded) {
				mu.Lock()
				defer mu.Unlock()
				ended++
			},
		}}})
		wantNil(t, "Attach", c.Attach(t.Context(), near))
		read := make(chan int)
		go func() {
			dec := json.NewDecoder(far)
			n := 0
			for {
				var v json.RawMessage
				if err := dec.Decode(&v); err != nil {
					if err == io.ErrUnexpectedEOF {
						n++ // the one that Close cut off
					}
					read <- n
					return
				}
				n++
			}
		}()
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for j := range 50 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration((i+j)%5)*20*time.Microsecond)
					c.Execute(ctx, "x", map[string]any{"x": strings.Repeat("x", 2000)})
					cancel()
				}
			})
		}
		wg.Wait()
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		if got := <-read; got != shown || ended != 1 {
			t.Errorf("%d messages were shown as sent, %d were read; Ended was called %d times", shown, got, ended)
		}
		far.Close()
	}
}

func TestE16TracerSeesDescriptors(t *testing.T) {
	t.Parallel()
	near, far := socketPair(t)
	go io.Copy(io.Discard, far)
	var seen trace
	c := newClient(t, &async.Options{SkipGreeting: true, SkipNegotiation: true, Tracers: []*async.Tracer{seen.tracer()}})
	wantNil(t, "Attach", c.Attach(t.Context(), near))
	wantNil(t, "SendFiles", c.SendFiles(t.Context(), os.Stdin, os.Stdout))
	ctx, cancel := context.WithCancel(t.Context())
	canceled := start(ctx, c, async.Command{Name: "getfd", Files: []*os.File{os.Stdin}})
	for len(seen.read()) < 3 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-canceled
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	wantLines(t, seen.read(), "1: connected to ", "1: sent   files=2", `1: sent {"execute":"getfd","id":1} files=1`, "1: ended: <nil>")
}

func TestE1DoneAndErr(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, slices.Concat(
			connected("", qmptest.ExpectEOF(), qmptest.Accept()),
			connected("", qmptest.Pause(time.Second), qmptest.HangUp(), qmptest.Accept(), qmptest.HangUp()),
		)...)
		c := newClient(t, &async.Options{Dialer: p.Dial})
		is := func(what string, done <-chan struct{}, want error) {
			t.Helper()
			synctest.Wait()
			select {
			case <-done:
				if err := c.Err(); want == nil || !errors.Is(err, want) {
					t.Errorf("%s: it is done, and Err says %v; want %v", what, err, want)
				}
			default:
				if err := c.Err(); want != nil || err != nil {
					t.Errorf("%s: it is not done, and Err says %v; want %v", what, err, want)
				}
			}
		}
		<-c.Done()
		wantAs[*async.StateError](t, "Err before the first connection", c.Err())

		connect(t, c)
		first := c.Done()
		is("connected", first, nil)
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		is("disconnected", first, async.ErrClosed)

		connect(t, c)
		second := c.Done()
		is("connected again", second, nil)
		<-second
		is("lost", second, io.EOF)
		wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
		is("collected", second, io.EOF)

		err := c.Connect(t.Context(), "")
		wantAs[*async.ConnectError](t, "Connect", err)
		is("no connection", c.Done(), err)
		if first == second || second == c.Done() {
			t.Error("two connections share a channel")
		}
	})
}
