//go:build unix

// Tests of rule E4 (a call that gives up touches only itself) over unix
// sockets: calls that give up while their message is being written.
// The code that they hold: call.go, calls.go and write.go.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// cancelOnSend returns a hook that calls cancel when the command name is about
// to be written.
func cancelOnSend(name string, cancel func()) func(json.RawMessage) json.RawMessage {
	return func(msg json.RawMessage) json.RawMessage {
		if strings.Contains(string(msg), `"`+name+`"`) {
			cancel()
		}
		return nil
	}
}

// A call has begun its write, and the full socket has not taken a single byte.
// When the call gives up, none of its bytes are ever sent.
func TestE4WithdrawnBeforeItsFirstByte(t *testing.T) {
	t.Parallel()
	for _, capabilities := range []string{"", "oob"} {
		t.Run("capabilities="+capabilities, func(t *testing.T) {
			t.Parallel()
			why := errors.New("the user canceled")
			giveUp := func() {}
			c, conn, p := cramped(t, &async.Options{OnSend: cancelOnSend("victim", func() { giveUp() })},
				connected(capabilities, qmptest.AwaitMark("read on"), qmptest.Expect("after"), qmptest.Return(`{}`))...)
			fill(t, conn)
			// More often than the window has places: a withdrawn call gives its place back.
			for i := range 20 {
				cmd := async.Command{Name: "victim"}
				if i%2 == 0 {
					cmd.ID = "mine"
				}
				if i%3 == 0 {
					cmd.Files = []*os.File{os.Stdin}
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				giveUp = func() { cancel(why) }
				_, err := c.Do(ctx, cmd)
				cancel(nil)
				wantInterrupted(t, "victim", err, false, context.Canceled, why)
				wantText(t, "victim", err, "before it was sent")
				wantNothingPending(t, c)
			}
			wantState(t, c, async.Running)
			p.Mark("read on")
			execute(t, c, "after", "{}")
		})
	}
}

// SendFiles is withdrawn, too, when its context ends before the full socket has
// taken anything.
func TestE4WithdrawnFilesAreNotSent(t *testing.T) {
	t.Parallel()
	c, conn, p := cramped(t, nil, connected("", qmptest.AwaitMark("read on"), qmptest.ExpectWithFDs("after", 0), qmptest.Return(`{}`))...)
	fill(t, conn)
	ctx, cancel := context.WithCancel(t.Context())
	sent := do(func() error { return c.SendFiles(ctx, os.Stdin) })
	cancel()
	wantInterrupted(t, "SendFiles", <-sent, false, context.Canceled)
	p.Mark("read on")
	execute(t, c, "after", "{}")
}

// A message of which a part was written is finished, although its call is
// canceled. The next message is whole.
func TestE4PartlyWrittenIsFinished(t *testing.T) {
	t.Parallel()
	for _, capabilities := range []string{"", "oob"} {
		t.Run("capabilities="+capabilities, func(t *testing.T) {
			t.Parallel()
			const size = 256 << 10
			ctx, cancel := context.WithCancel(t.Context())
			c, _, p := cramped(t, &async.Options{OnSend: cancelOnSend("victim", cancel)},
				connected(capabilities,
					qmptest.AwaitMark("read on"),
					qmptest.ExpectFunc("the whole of it", func(m qmptest.Message) error {
						var args struct{ X string }
						if err := json.Unmarshal(m.Arguments, &args); err != nil {
							return err
						}
						if len(args.X) != size || strings.Trim(args.X, "x") != "" {
							return fmt.Errorf("got %d characters, want %d", len(args.X), size)
						}
						return nil
					}),
					qmptest.Expect("after"),
					qmptest.Return(`"late"`, qmptest.Back(1)), qmptest.Return(`"in time"`))...)
			_, err := c.Execute(ctx, "victim", map[string]any{"x": strings.Repeat("x", size)})
			wantInterrupted(t, "victim", err, true, context.Canceled)
			p.Mark("read on")
			execute(t, c, "after", `"in time"`)
			wantNothingPending(t, c)
		})
	}
}

// Whenever the context ends, no message is cut, and no byte of a withdrawn
// message is sent.
func TestE4CancelledAtAnyMoment(t *testing.T) {
	t.Parallel()
	const rounds = 300
	client, server := socketPair(t)
	if err := client.SetWriteBuffer(4096); err != nil {
		t.Fatal(err)
	}
	peer := newTokenServer(server, "oob")
	go peer.serve()
	c := newClient(t, nil)
	if err := c.Attach(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	unsent := make(map[string]bool)
	for i := range rounds {
		name := fmt.Sprintf("victim-%d", i)
		ctx, cancel := context.WithCancel(t.Context())
		call := start(ctx, c, async.Command{Name: name, Args: map[string]any{"x": strings.Repeat("x", i*97%20000)}})
		spin(i)
		cancel()
		if err := (<-call).err; err != nil {
			e := wantAs[*async.ExecInterruptedError](t, name, err)
			unsent[name] = e.SafeToRetry()
		}
	}
	execute(t, c, "last", `"last"`)
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	seen, err := peer.wait()
	if !errors.Is(err, io.EOF) {
		t.Errorf("the server read: %v, want whole messages up to the EOF", err)
	}
	for _, name := range seen {
		if unsent[name] {
			t.Errorf("%s arrived, though its error says that it was not sent", name)
		}
	}
}
