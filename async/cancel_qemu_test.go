//go:build unix

// Tests of rule E4 with a real QEMU: calls that are given up.
// The code that they hold: call.go, calls.go and write.go.
package async_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// A stopped QEMU answers nothing. Some callers give up. Later their replies
// come and are dropped, and the other call gets its own reply.
func TestE4LateRepliesAreDropped_QEMU(t *testing.T) {
	t.Parallel()
	for name, noOOB := range map[string]bool{"oob": false, "no oob": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := &async.Options{NoOOB: noOOB}
			w := watchWire(opts)
			vm, c := startReal(t, opts)
			vm.Freeze(t)
			ctx, cancel := context.WithCancelCause(qemutest.Context(t))
			var calls []<-chan result
			for i := range 5 {
				calls = append(calls, start(ctx, c, async.Command{Name: fmt.Sprintf("late-%d", i)}))
				w.await(t, i+1)
			}
			kept := start(qemutest.Context(t), c, async.Command{Name: "kept"})
			w.await(t, 6) // a later command was sent, so the other five have been written
			cause := errors.New("a cause of the caller's own")
			cancel(cause)
			for _, done := range calls {
				wantInterrupted(t, "a command to a stopped QEMU", await(t, "a canceled command", done).err, true, context.Canceled, cause)
			}
			wantPending(t, "a command to a stopped QEMU", kept)
			vm.Thaw(t)
			wantToken(t, await(t, "the one that was not canceled", kept).err, "kept")
			wantAlive(t, c)
			msgs := w.replies()
			for i := range 5 {
				if want := fmt.Sprintf("late-%d ", i); !strings.Contains(msgs[2+i], want) {
					t.Errorf("message %d is %s, want the late reply %s", 2+i, msgs[2+i], want)
				}
			}
			wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		})
	}
}

// A message of which a part was written is finished, although its call gives
// up. The next message, of which nothing was written, is withdrawn.
func TestE4PartlyWrittenIsFinished_QEMU(t *testing.T) {
	t.Parallel()
	opts := &async.Options{}
	vm := qemutest.Machine(t, "-qmp", onUnix)
	opts.Dialer = func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", vm.Path("qmp"))
		if err == nil {
			err = conn.(*net.UnixConn).SetWriteBuffer(4 << 10) // small, so that it is full soon
		}
		return conn, err
	}
	w := watchWire(opts)
	c := dialReal(t, "a socket with a small buffer", opts)
	vm.Freeze(t)

	long := strings.Repeat("x", 40<<10)
	ctx, cancel := context.WithCancel(qemutest.Context(t))
	partly := start(ctx, c, async.Command{Name: long})
	awaitUnread(t, c)
	next := start(ctx, c, async.Command{Name: "withdrawn"})
	shortCtx, stop := context.WithTimeout(ctx, 20*time.Millisecond)
	defer stop()
	_, err := c.Execute(shortCtx, "withdrawn-too", nil)
	wantInterrupted(t, "a command after the long one", err, false, context.DeadlineExceeded)
	cancel()
	wantInterrupted(t, "the long command", await(t, "the long command", partly).err, true, context.Canceled)
	wantInterrupted(t, "the next command", await(t, "the next command", next).err, false, context.Canceled)
	vm.Thaw(t)
	wantAlive(t, c)
	if got := w.commands(); len(got) != 2 || got[0] != long {
		t.Errorf("%d commands were sent, want the long one and the last", len(got))
	}
	msgs := w.replies()
	if !strings.Contains(msgs[2], long) {
		t.Errorf("after the handshake came %.100q, want the reply to the long command", msgs[2])
	}
}

// Many callers use one connection, and some of them give up. A caller that gets
// a reply gets its own, and every command is counted.
func TestE4CancelledAtRandom_QEMU(t *testing.T) {
	t.Parallel()
	for name, noOOB := range map[string]bool{"oob": false, "no oob": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, c := startReal(t, &async.Options{NoOOB: noOOB})
			const callers, commands = 8, 500
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			var answered, withdrawn, late atomic.Int64
			whole := qemutest.Context(t)
			var wg sync.WaitGroup
			for caller := range callers {
				rnd := rand.New(rand.NewPCG(seed, uint64(caller)))
				wg.Go(func() {
					for i := range commands {
						ctx, cancel := whole, context.CancelFunc(func() {})
						if rnd.IntN(3) == 0 {
							ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.IntN(3000))*time.Microsecond)
						}
						token := fmt.Sprintf("t%d-%d", caller, i)
						var err error
						switch rnd.IntN(8) {
						case 0:
							err = printToken(ctx, c, 1<<24|uint32(caller)<<16|uint32(i))
						case 1:
							if !noOOB {
								token = "query-status"
								_, err = c.ExecuteOOB(ctx, token, nil) // QEMU refuses it with an error of its own
								break
							}
							fallthrough
						default:
							_, err = c.Execute(ctx, token, nil)
						}
						cancel()
						var refused *async.ExecuteError
						var broken *async.ExecInterruptedError
						switch {
						case err == nil:
							answered.Add(1)
						case errors.As(err, &refused) && strings.Contains(refused.Desc, token):
							answered.Add(1)
						case errors.As(err, &broken) && ctx.Err() != nil && broken.Sent:
							late.Add(1)
						case errors.As(err, &broken) && ctx.Err() != nil:
							withdrawn.Add(1)
						default:
							t.Errorf("%s: %v", token, err)
						}
					}
				})
			}
			wg.Wait()
			t.Logf("%d answered, %d given up before and %d after they were sent", answered.Load(), withdrawn.Load(), late.Load())
			if sum := answered.Load() + withdrawn.Load() + late.Load(); sum != callers*commands {
				t.Errorf("%d calls ended in one of the expected ways, want %d", sum, callers*commands)
			}
			if answered.Load() < callers*commands/2 || withdrawn.Load()+late.Load() == 0 {
				t.Error("this run had too few replies or cancellations to show anything")
			}
			// No place in the window was lost: sixteen more commands are answered.
			var all []<-chan result
			for i := range 16 {
				all = append(all, start(qemutest.Context(t), c, async.Command{Name: fmt.Sprintf("after-%d", i)}))
			}
			for i, done := range all {
				wantToken(t, await(t, "a command after all of these", done).err, fmt.Sprintf("after-%d", i))
			}
			wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		})
	}
}

// printToken makes QEMU print a number, and returns what is wrong with the
// answer.
func printToken(ctx context.Context, c *async.Client, n uint32) error {
	got, err := async.Call[string](ctx, c, "human-monitor-command", arguments{"command-line": fmt.Sprintf("print %d", n)})
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%#x\r\n", n); got != want {
		return fmt.Errorf("printed %q, want %q", got, want)
	}
	return nil
}
