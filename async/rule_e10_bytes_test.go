// Tests of rule E10 (any bytes are safe): cuts, garbage, invalid UTF-8, and
// exact integers.
// The code that they hold: receive.go and session.go.
package async_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// everything returns the script of a session with a bit of everything.
// wantEverything checks what a client gets from it.
func everything(steps ...qmptest.Step) []qmptest.Step {
	return append(steps,
		qmptest.Event("EARLY", `{"a":"\\\"}{"}`),
		qmptest.Greet("oob"),
		qmptest.Expect("qmp_capabilities"),
		qmptest.Event("BETWEEN", ""),
		qmptest.Return(`{}`),
		qmptest.Expect("good"), qmptest.Event("LATE", `{"deep":[{"a":[]},[[],{}]],"text":"\u00e9\ud83d\ude00"}`), qmptest.Return(`{"n":18446744073709551615,"list":[1,2.5e3,null,true,"\r\n"]}`),
		qmptest.Expect("bad"), qmptest.ReturnError("DeviceNotFound", "Device 'x' not found"),
		qmptest.Expect("empty"), qmptest.Return(`[]`),
	)
}

func wantEverything(t *testing.T, p *qmptest.Player) {
	t.Helper()
	c := newClient(t, &async.Options{Dialer: p.Dial})
	l := c.NewListener(nil)
	connect(t, c)
	var got struct {
		N    uint64 `json:"n"`
		List []any  `json:"list"`
	}
	got, err := async.Call[struct {
		N    uint64 `json:"n"`
		List []any  `json:"list"`
	}](t.Context(), c, "good", nil)
	if err != nil || got.N != 1<<64-1 || len(got.List) != 5 || got.List[4] != "\r\n" {
		t.Errorf("good: got %+v and error %v", got, err)
	}
	_, err = c.Execute(t.Context(), "bad", nil)
	if e := wantAs[*async.ExecuteError](t, "bad", err); e.Class != "DeviceNotFound" || e.Desc != "Device 'x' not found" || e.Command != "bad" {
		t.Errorf("bad: got %+v", *e)
	}
	wantText(t, "bad", err, "qmp: bad: Device 'x' not found (DeviceNotFound)")
	if v, err := async.Call[[]int](t.Context(), c, "empty", nil); err != nil || v == nil || len(v) != 0 {
		t.Errorf("empty: got %v and error %v", v, err)
	}
	wantNames(t, "the listener", drained(t, l), "EARLY BETWEEN LATE")
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
}

// Messages may be cut and joined anywhere, may end in CRLF, LF or nothing, and
// may stretch over many lines.
func TestE10CutAndJoined(t *testing.T) {
	t.Parallel()
	for _, end := range []qmptest.LineEnd{qmptest.CRLF, qmptest.LF, qmptest.NoLineEnd} {
		for _, pretty := range []bool{false, true} {
			for _, every := range []int{0, 1, 2, 3, 5, 7, 11, 16, 64} {
				t.Run(fmt.Sprintf("%v/pretty=%v/split=%d", end, pretty, every), func(t *testing.T) {
					t.Parallel()
					bubble(t, func(t *testing.T) {
						wantEverything(t, qmptest.Play(t, &qmptest.ScriptOptions{Network: qmptest.Memory, LineEnd: end, Pretty: pretty},
							everything(qmptest.SplitEvery(every))...))
					})
				})
			}
		}
	}
}

// The stream is cut in two places, at every pair of bytes.
func TestE10CutAtEachByte(t *testing.T) {
	t.Parallel()
	for first := range len(stream) {
		bubble(t, func(t *testing.T) {
			var steps []qmptest.Step
			last := min(len(stream)-1, first+9)
			for second := first; second < last; second++ {
				steps = append(steps, qmptest.Expect("x"), qmptest.SplitAt(first, second),
					qmptest.Send(strings.Replace(stream, `"id": 2`, fmt.Sprintf(`"id": %d`, 2+second-first), 1)))
			}
			c := dial(t, memory(t, connected("", steps...)...), nil)
			for range last - first {
				execute(t, c, "x", "[-1.5e3, null]")
			}
		})
	}
}

// quoted reports whether text ends in the middle of a JSON string.
func quoted(text string) bool {
	text = strings.ReplaceAll(strings.ReplaceAll(text, `\\`, ""), `\"`, "")
	return strings.Count(text, `"`)%2 == 1
}

// Garbage at any byte ends the connection with a MessageError. The replies
// before it count.
func TestE10GarbageAtEachByte(t *testing.T) {
	t.Parallel()
	for _, garbage := range []string{"\x00", "\x7f", "}"} {
		for k := range len(stream) + 1 {
			if garbage != "\x00" && quoted(stream[:k]) {
				continue // there it would be part of a text
			}
			bubble(t, func(t *testing.T) {
				bytes := stream[:k] + garbage + stream[k:]
				p := memory(t, connected("", qmptest.Expect("x"), qmptest.Send(bytes), qmptest.ExpectEOF())...)
				c := dial(t, p, nil)
				v, err := c.Execute(t.Context(), "x", nil)
				what := fmt.Sprintf("%q at %d", garbage, k)
				if strings.Contains(stream[:k]+garbage, `"id": 2}`) {
					wantValue(t, what, v, err, "[-1.5e3, null]")
					w := c.WatchRunstate()
					defer w.Close()
					if c.Runstate() == async.Running {
						awaitState(t, w, async.Disconnecting)
					}
				} else {
					wantInterrupted(t, what, err, true)
				}
				err = c.Disconnect(t.Context())
				e := wantAs[*async.MessageError](t, what, err)
				if garbage == "\x00" && e.Reason != async.NotJSON {
					t.Errorf("%s: got Reason %q, want %q", what, e.Reason, async.NotJSON)
				}
				wantAs[async.ProtocolError](t, what, err)
			})
		}
	}
}

// Invalid UTF-8 inside a text becomes U+FFFD where the text is decoded. Raw
// JSON keeps it.
func TestE10InvalidUTF8(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("",
		qmptest.Expect("x"), qmptest.Send("{\"return\":\"a\xffb\\ud800\",\"id\":2}"),
		qmptest.Expect("x"), qmptest.Send("{\"return\":\"a\xffb\",\"id\":3}"),
		qmptest.Expect("x"), qmptest.Send("{\"event\":\"E\xff\"}{\"return\":{},\"id\":4}"))...)
	c := dial(t, p, nil)
	l := c.NewListener(nil)
	if v, err := async.Call[string](t.Context(), c, "x", nil); err != nil || v != "a\ufffdb\ufffd" {
		t.Errorf("Call: got %q and error %v", v, err)
	}
	v, err := c.Execute(t.Context(), "x", nil)
	wantValue(t, "Execute", v, err, "\"a\xffb\"")
	execute(t, c, "x", "{}")
	wantNames(t, "the listener", drained(t, l), "E\ufffd")
}

// Integers are exact, whatever they are decoded into.
func TestE10IntegersAreExact(t *testing.T) {
	t.Parallel()
	const list = `[9007199254740993,9223372036854775807,18446744073709551615,-9223372036854775808]`
	p := memory(t, connected("", qmptest.Expect("x", `{"n":`+list+`}`), qmptest.Send(`{"id":2,"return":`+list+`}`),
		qmptest.Expect("y", `{"n":9007199254740993}`), qmptest.Return(`{"n":9223372036854775807}`))...)
	c := dial(t, p, nil)
	v, err := c.Execute(t.Context(), "x", map[string]any{"n": []any{int64(9007199254740993), int64(1<<63 - 1), uint64(1<<64 - 1), int64(-1 << 63)}})
	wantValue(t, "x", v, err, list)
	type number struct {
		N int64 `json:"n"`
	}
	if v, err := async.Call[number](t.Context(), c, "y", number{1<<53 + 1}); err != nil || v.N != 1<<63-1 {
		t.Errorf("Call: got %v and error %v", v, err)
	}
}

// A connection whose Read returns no bytes and no error, again and again, does
// not keep the engine busy for ever.
func TestE10ReaderWithoutProgress(t *testing.T) {
	t.Parallel()
	p := memory(t, qmptest.Greet(), qmptest.ExpectEOF())
	c := newClient(t, &async.Options{Dialer: rig(p, stuck)})
	wantIs(t, "Connect", c.Connect(t.Context(), ""), io.ErrNoProgress)
}
