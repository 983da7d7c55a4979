// Tests of rule E5 (an unread listener holds nothing up): a program reads many
// listeners without a goroutine for each.
// The code that they hold: listener.go.
package async_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A reader that calls TryNext only after Notify gets everything that a reader gets
// that waits in Next: each event, the number of dropped ones, and the end.
func TestE5NotifySaysWhenToRead(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int][]string{
		0: {"E0", "E1", "E2", "EOF"},
		2: {"lost 1", "E1", "E2", "EOF"},
	} {
		bubble(t, func(t *testing.T) {
			p := memory(t, connected("", qmptest.Expect("x"), events(3), qmptest.HangUp())...)
			c := newClient(t, &async.Options{Dialer: p.Dial})
			changes := make(chan struct{}, 100)
			l := c.NewListener(&async.ListenerOptions{
				Limit:  limit,
				Notify: func() { changes <- struct{}{} },
			})
			connect(t, c)
			if len(changes) != 0 {
				t.Errorf("%d calls of Notify before the first event", len(changes))
			}
			c.Execute(t.Context(), "x", nil)
			synctest.Wait()
			if len(changes) < 4 {
				t.Errorf("%d calls of Notify for three events and an end, want one for each", len(changes))
			}

			var got []string
			for range len(changes) {
				<-changes
				ev, ok, err := l.TryNext()
				var lost *async.OverflowError
				var ended *async.ExecInterruptedError
				switch {
				case errors.As(err, &lost):
					got = append(got, fmt.Sprint("lost ", lost.Lost))
				case errors.As(err, &ended):
					got = append(got, ended.Err.Error())
				case ok:
					got = append(got, ev.Name)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("limit %d: read %q, want %q", limit, got, want)
			}
			l.Close()
			if len(changes) == 0 {
				t.Error("Close did not call Notify")
			}
		})
	}
}

// Close is one change, however many readers wait.
func TestE5NotifyOnceForManyReaders(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("", qmptest.ExpectEOF())...)
		calls := make(chan struct{}, 100)
		c := dial(t, p, nil)
		l := c.NewListener(&async.ListenerOptions{Notify: func() { calls <- struct{}{} }})
		for range 50 {
			go l.Next(t.Context())
		}
		synctest.Wait()
		l.Close()
		if n := len(calls); n != 1 {
			t.Errorf("Close called Notify %d times, want once", n)
		}
		synctest.Wait()
	})
}

// An event that the listener does not queue is not a reason to call Notify.
func TestE5NotifyIsForWhatIsQueued(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("", qmptest.Expect("x"), events(3), qmptest.Return(`{}`))...)
		c := dial(t, p, nil)
		calls := make(chan struct{}, 100)
		c.NewListener(&async.ListenerOptions{Notify: func() { calls <- struct{}{} }}, "OTHER")
		c.NewListener(&async.ListenerOptions{
			Notify: func() { calls <- struct{}{} },
			Filter: func(async.Event) bool { return false },
		})
		execute(t, c, "x", "{}")
		if len(calls) != 0 {
			t.Errorf("Notify was called %d times, and nothing was queued", len(calls))
		}
	})
}
