// Tests of rule E14 (reconnecting): everything at once, a Dialer that ignores its
// context, and the log.
// The code that they hold: reconnect.go, stage.go and waiting.go.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// flaky returns a Dialer of a server that hangs up at a random moment of each
// connection, or does not come.
func flaky(random *rand.Rand) func(context.Context) (net.Conn, error) {
	var mu sync.Mutex
	chance := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	return func(context.Context) (net.Conn, error) {
		if chance(4) == 0 {
			return nil, errNoServer
		}
		client, server := qmptest.Pipe()
		go func() {
			defer server.Close()
			if chance(8) == 0 {
				return
			}
			io.WriteString(server, `{"QMP": {"version": {}, "capabilities": []}}`)
			for in, lives := json.NewDecoder(server), 1+chance(20); lives > 0; lives-- {
				var cmd struct{ ID json.RawMessage }
				if err := in.Decode(&cmd); err != nil {
					return
				}
				io.WriteString(server, `{"event": "E"}`)
				if chance(8) > 0 {
					fmt.Fprintf(server, `{"return": {}, "id": %s}`, cmd.ID)
				}
				time.Sleep(time.Duration(chance(50)) * time.Millisecond)
			}
		}()
		return client, nil
	}
}

// Connect, Disconnect, Close, Quit, commands, reads and losses come all at once and in
// any order. Every call returns, every state is legal, and nothing is left.
func TestE14EverythingAtOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		bubble(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c := newClient(t, &async.Options{
				Dialer: flaky(rand.New(rand.NewPCG(seed, 0))), Backoff: async.Every(0),
				Reconnect: &async.Reconnect{
					Wait: seed%2 == 0, AttemptTimeout: time.Second, MaxAttempts: int(seed % 4 * 5),
					OnConnect: func(ctx context.Context, c async.Caller) error {
						if seed%3 != 0 {
							return nil
						}
						ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
						defer cancel()
						_, err := c.Do(ctx, async.Command{Name: "set-up"})
						if errors.Is(err, context.DeadlineExceeded) {
							return nil // this server does not reply
						}
						return err
					},
				},
			})
			l := c.NewListener(&async.ListenerOptions{Limit: 10})
			var wg sync.WaitGroup
			for worker := range uint64(8) {
				random := rand.New(rand.NewPCG(seed, 1+worker))
				wg.Go(func() {
					for ctx.Err() == nil {
						short, cancel := context.WithTimeout(ctx, time.Duration(random.IntN(300))*time.Millisecond)
						switch random.IntN(20) {
						case 0:
							c.Disconnect(short)
						case 1:
							c.Close()
						case 2:
							c.Quit(short)
						case 3, 4, 5:
							c.Connect(short, "")
						case 6, 7:
							l.Next(short)
						case 8:
							l.Drain()
						case 9:
							c.Err()
							c.Session()
							c.Greeting()
						default:
							c.Do(short, async.Command{Name: "x", OOB: random.IntN(4) == 0})
						}
						cancel()
						time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
					}
				})
			}
			wg.Wait()
			c.Close()
			time.Sleep(time.Second) // until the servers have seen that
			wantState(t, c, async.Idle)
			select {
			case <-c.Done():
			default:
				t.Error("Done is not closed")
			}
		})
	}
}

// A Dialer that ignores its context holds up Disconnect, and nothing else. The
// connection that it makes too late is closed or used, and not lost.
func TestE14DialerThatIgnoresItsContext(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, append(again(hangsUp), qmptest.Accept(), qmptest.ExpectEOF())...)
		dials := 0
		c := newClient(t, &async.Options{
			Backoff: async.Every(time.Second), Reconnect: &async.Reconnect{AttemptTimeout: time.Second},
			Dialer: func(context.Context) (net.Conn, error) {
				if dials++; dials == 2 {
					time.Sleep(30 * time.Minute)
				}
				return p.Dial(context.Background())
			},
		})
		connect(t, c)
		end(t, c)
		time.Sleep(time.Minute)
		_, err := c.Execute(t.Context(), "x", nil)
		wantAs[*async.StateError](t, "a call", err)
		wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
		wantState(t, c, async.Idle)
	})
}

// A loss is logged at warn while the client connects again, a new connection at info,
// and giving up at error, once.
func TestE14Log(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		log := &logbook{}
		c := newClient(t, &async.Options{
			Logger: log.logger(), Backoff: async.Every(time.Second), Reconnect: &async.Reconnect{MaxAttempts: 3},
			Dialer: dialling(memory(t, again(hangsUp, hangsUp)...), nil, errNoServer, nil, errNoServer),
		})
		connect(t, c)
		end(t, c)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		end(t, c)
		<-c.Done()
		synctest.Wait()
		wantAs[*async.GaveUpError](t, "Disconnect", c.Disconnect(t.Context()))
		var got []string
		for _, line := range log.lines(t) {
			if level, _, _ := strings.Cut(line, " "); level != "DEBUG" {
				got = append(got, line)
			}
		}
		want := []string{"WARN qmp: connection lost, connecting again", "INFO qmp: connected again", "WARN qmp: connection lost, connecting again", "ERROR qmp: connection ended"}
		if !slices.Equal(got, want) {
			t.Errorf("the log has %q, want %q", got, want)
		}
	})
}
