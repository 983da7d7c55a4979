//go:build unix

// A test of rule E4 with many calls that are canceled at random.
// The code that it holds: call.go, calls.go and write.go.
package async_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/anybytes"
)

// Calls are canceled at random moments, a hundred thousand of them with oob and
// as many without. Each reply carries its caller's token. No command arrives
// twice, and no command arrives whose error says that it was not sent. When the
// server has answered, nothing is left.
// Holds E4.
func TestStressRandomCancellations(t *testing.T) {
	total := 100_000
	if testing.Short() {
		total = 8_000
	}
	transports := map[string]func() (net.Conn, net.Conn){
		"pipe": func() (net.Conn, net.Conn) { return qmptest.Pipe() },
		// The socket takes little, so that writes wait and can be interrupted.
		"socket": func() (net.Conn, net.Conn) {
			client, server := socketPair(t)
			client.SetWriteBuffer(4096)
			return client, server
		},
	}
	for transport, open := range transports {
		for _, capability := range []string{"", "oob"} {
			t.Run(transport+"/capabilities="+capability, func(t *testing.T) {
				client, conn := open()
				server := newTokenServer(conn, capability)
				go server.serve()
				c := newClient(t, nil)
				if err := c.Attach(t.Context(), client); err != nil {
					t.Fatal(err)
				}
				stress(t, c, server, total/len(transports), capability == "oob", transport == "socket")
			})
		}
	}
}

func stress(t *testing.T, c *async.Client, server *tokenServer, total int, oob, files bool) {
	const workers = 16
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var answered, sent, unsent int
	var mu sync.Mutex // guards the variables below
	safe := make(map[string]bool)
	filler := strings.Repeat("x", 8<<10)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			for i := range total / workers {
				name := fmt.Sprintf("%d-%d", w, i)
				cmd := async.Command{Name: name}
				if r.IntN(4) == 0 {
					cmd.Args = map[string]any{"filler": filler[:r.IntN(len(filler))]}
				}
				cmd.OOB = oob && r.IntN(4) == 0
				if r.IntN(8) == 0 {
					cmd.ID = name
				}
				if files && r.IntN(32) == 0 {
					cmd.Files = []*os.File{os.Stdin}
				}
				ctx, cancel := context.WithCancel(context.Background())
				switch r.IntN(4) {
				case 0: // never
				case 1:
					cancel()
				case 2:
					spins := r.IntN(100)
					go func() {
						for range spins {
							runtime.Gosched()
						}
						cancel()
					}()
				case 3:
					ctx, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(3000))*time.Microsecond)
				}
				reply, err := c.Do(ctx, cmd)
				ended := ctx.Err()
				cancel()
				if err == nil {
					v, valueErr := reply.Value()
					if got := token(v); valueErr != nil || got != name {
						t.Errorf("%s got the reply %s (%v)", name, reply.Raw(), valueErr)
						return
					}
					mu.Lock()
					answered++
					mu.Unlock()
					continue
				}
				e, ok := errors.AsType[*async.ExecInterruptedError](err)
				if !ok || ended == nil || !errors.Is(err, ended) {
					t.Errorf("%s: got error %v (%T), want that its context ended (%v)", name, err, err, ended)
					return
				}
				mu.Lock()
				if e.SafeToRetry() {
					unsent++
					safe[name] = true
				} else {
					sent++
				}
				mu.Unlock()
			}
		})
	}
	all := make(chan struct{})
	go func() {
		wg.Wait()
		close(all)
	}()
	select {
	case <-all:
	case <-time.After(5 * patience): // many times what the run takes
		t.Fatalf("a call did not end:\n%s", anybytes.Stacks())
	}
	if t.Failed() {
		return
	}
	// The server answers in order: after the last reply, all others have come.
	execute(t, c, "last", `"last"`)
	wantNothingPending(t, c)
	wantState(t, c, async.Running)
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	seen, err := server.wait()
	if err != io.EOF {
		t.Errorf("the server read %v, want whole messages up to an EOF", err)
	}
	arrived := make(map[string]bool)
	for _, name := range seen {
		if arrived[name] {
			t.Errorf("%s arrived twice", name)
		}
		if safe[name] {
			t.Errorf("%s arrived, though its error said that it was safe to send again", name)
		}
		arrived[name] = true
	}
	if got := len(seen) - 2; got != answered+sent { // the handshake and the last command do not count
		t.Errorf("%d commands arrived, want the %d that were answered and the %d that were sent", got, answered, sent)
	}
	t.Logf("%d answered, %d canceled after they were sent, %d before", answered, sent, unsent)
}
