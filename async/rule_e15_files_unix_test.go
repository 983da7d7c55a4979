//go:build unix

// Tests of rule E15 (descriptors travel with the command that needs them): no two
// commands get each other's files.
// The code that they hold: call.go, gate.go and files.go.
package async_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

func TestE15FilesArriveWithTheirCommand(t *testing.T) {
	t.Parallel()
	for _, noOOB := range []bool{false, true} {
		t.Run(fmt.Sprintf("NoOOB=%v", noOOB), func(t *testing.T) {
			t.Parallel()
			s := fileServer(t, nil)
			c := newClient(t, &async.Options{NoOOB: noOOB})
			wantNil(t, "Connect", c.Connect(t.Context(), s.Addr()))
			if !c.CanSendFiles() {
				t.Error("CanSendFiles over a unix socket: got false")
			}
			a, b := fileWith(t, "a"), fileWith(t, "b")
			for _, tt := range []struct {
				files []*os.File
				want  string
			}{
				{nil, `null`},
				{[]*os.File{a}, `["a"]`},
				{[]*os.File{b, a}, `["b", "a"]`},
				{[]*os.File{a, a, b}, `["a", "a", "b"]`},
				{nil, `null`},
			} {
				reply, err := c.Do(t.Context(), async.Command{Name: "add-fd", Files: tt.files})
				wantNil(t, "add-fd", err)
				value, err := reply.Value()
				wantValue(t, fmt.Sprintf("add-fd with %d files", len(tt.files)), value, err, tt.want)
			}
			// They still belong to the caller: open, and at the same offset.
			for _, f := range []*os.File{a, b} {
				text, err := io.ReadAll(f)
				if err != nil || len(text) != 1 {
					t.Errorf("reading %s after the call: got %q, %v, want its one byte", f.Name(), text, err)
				}
				wantNil(t, "closing a file after the call", f.Close())
			}
		})
	}
}

// A pipe is still non-blocking after it was sent: its deadlines work.
func TestE15FilesStayNonBlocking(t *testing.T) {
	t.Parallel()
	addr := play(t, qmptest.ScriptOptions{}, connected("", qmptest.ExpectWithFDs("add-fd", 1), qmptest.Return(`{}`), qmptest.ExpectFDs(1, " "))...).Addr()
	c := newClient(t, nil)
	wantNil(t, "Connect", c.Connect(t.Context(), addr))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	_, err = c.Do(t.Context(), async.Command{Name: "add-fd", Files: []*os.File{r}})
	wantNil(t, "add-fd", err)
	wantNil(t, "SendFiles", c.SendFiles(t.Context(), r))
	wantNil(t, "SetReadDeadline after the calls", r.SetReadDeadline(time.Unix(1, 0)))
	_, err = r.Read(make([]byte, 1))
	wantIs(t, "Read after the calls", err, os.ErrDeadlineExceeded)
}

// With oob enabled, two commands in flight would get each other's files. So
// never more than one with files is unanswered. Without oob they are pipelined.
func TestE15EachCallerGetsItsOwnFile(t *testing.T) {
	t.Parallel()
	for _, noOOB := range []bool{false, true} {
		t.Run(fmt.Sprintf("NoOOB=%v", noOOB), func(t *testing.T) {
			t.Parallel()
			const callers, rounds = 8, 12
			s := fileServer(t, nil)
			var mu sync.Mutex
			inFlight, most := make(map[string]bool), 0
			id := func(m json.RawMessage) string {
				var v struct{ ID json.RawMessage }
				json.Unmarshal(m, &v)
				return string(v.ID)
			}
			c := newClient(t, &async.Options{
				NoOOB: noOOB,
				OnSend: func(m json.RawMessage) json.RawMessage {
					mu.Lock()
					defer mu.Unlock()
					if bytes.Contains(m, []byte("add-fd")) {
						inFlight[id(m)] = true
						most = max(most, len(inFlight))
					}
					return nil
				},
				OnReceive: func(m json.RawMessage) json.RawMessage {
					mu.Lock()
					defer mu.Unlock()
					delete(inFlight, id(m))
					return nil
				},
			})
			wantNil(t, "Connect", c.Connect(t.Context(), s.Addr()))
			var wg sync.WaitGroup
			for i := range callers {
				text := fmt.Sprint("file of ", i)
				f := fileWith(t, text)
				wg.Go(func() {
					for range rounds {
						reply, err := c.Do(t.Context(), async.Command{Name: "add-fd", Files: []*os.File{f}})
						if err != nil {
							t.Errorf("add-fd: %v", err)
							return
						}
						value, err := reply.Value()
						wantValue(t, "add-fd", value, err, `["`+text+`"]`)
						if _, err := c.Execute(t.Context(), "query-status", nil); err != nil {
							t.Errorf("query-status: %v", err)
						}
					}
				})
			}
			wg.Wait()
			if !noOOB && most != 1 {
				t.Errorf("unanswered commands with files at a time: got %d, want 1", most)
			}
			wantNothingPending(t, c)
		})
	}
}

// A command with descriptors makes the next one with descriptors wait until it
// is answered, even if it was canceled. Commands without descriptors do not
// wait.
func TestE15ACancelledOneStillCounts(t *testing.T) {
	t.Parallel()
	for _, oob := range []bool{false, true} { // how the commands are executed
		t.Run(fmt.Sprintf("OOB=%v", oob), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				expect := func(name string) qmptest.Step {
					if oob {
						return qmptest.ExpectOOB(name)
					}
					return qmptest.Expect(name)
				}
				c := filesOverMemory(t, async.Options{}, func([]byte, []*os.File) {}, connected("oob",
					expect("first"),
					qmptest.Expect("without"), qmptest.Return(`{}`),
					qmptest.ExpectNothing(time.Minute),
					qmptest.Return(`"late"`, qmptest.Back(1)),
					expect("second"),
					qmptest.ExpectNothing(time.Minute),
					qmptest.Return(`"second"`),
					expect("third"), qmptest.Return(`"third"`))...)
				files := []*os.File{os.Stdin}
				ctx, cancel := context.WithCancel(t.Context())
				first := start(ctx, c, async.Command{Name: "first", Files: files, OOB: oob})
				synctest.Wait()
				second := start(t.Context(), c, async.Command{Name: "second", Files: files, OOB: oob})
				synctest.Wait()
				third := start(t.Context(), c, async.Command{Name: "third", Files: files, OOB: oob})
				synctest.Wait()
				impatient, stop := context.WithTimeout(t.Context(), time.Second)
				defer stop()
				gaveUp := start(impatient, c, async.Command{Name: "gives-up", Files: files, OOB: oob})
				synctest.Wait()
				cancel()
				wantInterrupted(t, "first", (<-first).err, true, context.Canceled)
				synctest.Wait()
				execute(t, c, "without", "{}")
				err := (<-gaveUp).err
				wantInterrupted(t, "gives-up", err, false, context.DeadlineExceeded)
				wantText(t, "gives-up", err, "the oldest (first)")
				got := <-second
				wantValue(t, "second", got.value, got.err, `"second"`)
				got = <-third
				wantValue(t, "third", got.value, got.err, `"third"`)
				wantNothingPending(t, c)
			})
		})
	}
}

// Without oob QEMU reads one command after another, so no command needs to
// wait.
func TestE15WithoutOOBFilesArePipelined(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := filesOverMemory(t, async.Options{}, func([]byte, []*os.File) {}, connected("",
			qmptest.Expect("add-fd"), qmptest.Expect("add-fd"), qmptest.Return(`1`, qmptest.Back(1)), qmptest.Return(`2`))...)
		cmd := async.Command{Name: "add-fd", Files: []*os.File{os.Stdin}}
		first := start(t.Context(), c, cmd)
		synctest.Wait()
		second := start(t.Context(), c, cmd)
		got := <-first
		wantValue(t, "first", got.value, got.err, `1`)
		got = <-second
		wantValue(t, "second", got.value, got.err, `2`)
	})
}

func TestE15SendFiles(t *testing.T) {
	t.Parallel()
	for _, capability := range []string{"", "oob"} {
		t.Run("capabilities="+capability, func(t *testing.T) {
			t.Parallel()
			p := play(t, qmptest.ScriptOptions{}, connected(capability,
				qmptest.ExpectFDs(1, " "), qmptest.ExpectFDs(3, " "),
				qmptest.ExpectWithFDs("after", 0), qmptest.Return(`{}`))...)
			c := newClient(t, nil)
			wantAs[*async.StateError](t, "SendFiles without a connection", c.SendFiles(t.Context(), os.Stdin))
			if c.CanSendFiles() {
				t.Error("CanSendFiles without a connection: got true")
			}
			wantNil(t, "Connect", c.Connect(t.Context(), p.Addr()))
			if e := wantAs[*async.MessageError](t, "SendFiles of none", c.SendFiles(t.Context())); e.Reason != async.Refused {
				t.Errorf("SendFiles of none: got Reason %q, want %q", e.Reason, async.Refused)
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			wantInterrupted(t, "SendFiles", c.SendFiles(ended, os.Stdin), false, context.Canceled)
			a := fileWith(t, "a")
			wantNil(t, "SendFiles", c.SendFiles(t.Context(), a))
			wantNil(t, "SendFiles of three", c.SendFiles(t.Context(), a, os.Stdin, a))
			wantNil(t, "closing a file after the call", a.Close())
			execute(t, c, "after", "{}")
			wantNothingPending(t, c)
		})
	}
}
