package qmpsync_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	qmpsync "github.com/goqmp/qmp/sync"
)

// A command that is never answered ends at the default limit or at the one that the
// caller set. The error names the limit and the option or call that set it, and says
// that the command was sent.
func TestCommandLimit(t *testing.T) {
	for _, tt := range []struct {
		name   string
		opts   qmpsync.Options
		set    func(*qmpsync.Client)
		limit  time.Duration // 0 means no limit
		option string
	}{
		{name: "default", limit: 6 * time.Hour, option: "qmpsync.Options.CommandLimit"},
		{name: "option", opts: qmpsync.Options{CommandLimit: time.Minute}, limit: time.Minute, option: "qmpsync.Options.CommandLimit"},
		{name: "off", opts: qmpsync.Options{CommandLimit: -1}},
		{name: "SetTimeout", set: func(c *qmpsync.Client) { c.SetTimeout(time.Hour) }, limit: time.Hour, option: "SetTimeout"},
		{name: "SetTimeout off", set: func(c *qmpsync.Client) { c.SetTimeout(0) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				silent := make(chan struct{})
				server := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory})
				server.Handle("silent", func(ctx context.Context, _ *qmptest.Command) (any, error) {
					select {
					case <-silent:
					case <-ctx.Done():
					}
					return nil, nil
				})
				c := dialing(t, &tt.opts, server.Dial)
				if err := c.Connect("machine"); err != nil {
					t.Fatal(err)
				}
				if tt.set != nil {
					tt.set(c)
				}
				if tt.limit == 0 {
					const long = 1000 * time.Hour
					time.AfterFunc(long, func() { close(silent) })
					start := time.Now()
					if _, err := c.Execute("silent", nil); err != nil || time.Since(start) != long {
						t.Errorf("ended after %v: %v", time.Since(start), err)
					}
					return
				}
				start := time.Now()
				_, err := c.Execute("silent", nil)
				wantTimeout(t, err, tt.limit)
				if took := time.Since(start); took != tt.limit {
					t.Errorf("took %v, want %v", took, tt.limit)
				}
				var interrupted *async.ExecInterruptedError
				if !errors.As(err, &interrupted) || !interrupted.Sent {
					t.Errorf("%v: does not say that the command was sent", err)
				}
				for _, part := range []string{"silent: interrupted after it was sent", tt.limit.String(), tt.option} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%v: does not say %q", err, part)
					}
				}
			})
		})
	}
}

// Errors about the other limits name their option too.
func TestLimitsNameTheirOption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := scripted(t, nil, qmptest.Pause(time.Minute))
		err := c.Connect("script")
		if !strings.Contains(err.Error(), "qmpsync.Options.ConnectLimit") {
			t.Errorf("Connect: %v: does not name the option", err)
		}
		time.Sleep(time.Minute) // by then the script has ended
	})
}

// If WaitEvent ends without its event, its error says which events came instead and
// how many the queue had dropped.
func TestWaitEventTellsWhatCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := []qmptest.Step{qmptest.Expect("x")}
		for _, name := range []string{"WANTED", "A", "A", "B", "C"} {
			steps = append(steps, qmptest.Event(name, ""))
		}
		steps = append(steps, qmptest.Return(`{}`), qmptest.Pause(time.Minute), qmptest.Event("D", ""), qmptest.HangUp())
		c := connected(t, &qmpsync.Options{EventLimit: 3, Async: async.Options{Nickname: "vm1"}}, steps...)
		if _, err := c.Execute("x", nil); err != nil {
			t.Fatal(err)
		}

		_, err := c.WaitEvent(time.Second, "WANTED", "OTHER")
		wantTimeout(t, err, time.Second)
		var story *async.EventWaitError
		if !errors.As(err, &story) {
			t.Fatalf("%v is not an EventWaitError", err)
		}
		want := async.EventWaitError{
			Names: []string{"WANTED", "OTHER"}, Client: "vm1",
			Passed: 3, Last: []string{"A", "B", "C"}, Dropped: 2, Err: story.Err,
		}
		if !reflect.DeepEqual(*story, want) {
			t.Errorf("got %+v, want %+v", *story, want)
		}
		for _, part := range []string{"qmp vm1: no WANTED or OTHER came: ", "1s", "other events came: 3, the last of them A, B, C", "dropped unread, because the queue was full: 2"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v: does not say %q", err, part)
			}
		}

		// The next wait does not count the events of the last one.
		_, err = c.WaitEvent(time.Second)
		wantTimeout(t, err, time.Second)
		if got := err.Error(); !strings.Contains(got, "qmp vm1: no event came: ") || strings.Contains(got, "other events") || strings.Contains(got, "dropped") {
			t.Errorf("nothing came: %v", err)
		}
		_, err = c.WaitEvent(-1, "D")
		wantTimeout(t, err, 0)

		// The end of the connection, after other events.
		_, err = c.WaitEventFunc(time.Hour, func(async.Event) bool { return false })
		var ended *async.ExecInterruptedError
		if !errors.As(err, &ended) || !errors.As(err, &story) || story.Passed != 1 || story.Names != nil {
			t.Errorf("the end of the connection: %v (%+v)", err, story)
		}
		if !strings.Contains(err.Error(), "no event came that was wanted: ") {
			t.Errorf("%v", err)
		}
	})
}

// The error names the last eight of the events that WaitEvent has discarded.
func TestWaitEventNamesTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := []qmptest.Step{qmptest.Expect("x")}
		for i := range 20 {
			steps = append(steps, qmptest.Event(string(rune('A'+i)), ""))
		}
		c := connected(t, nil, append(steps, qmptest.Return(`{}`))...)
		if _, err := c.Execute("x", nil); err != nil {
			t.Fatal(err)
		}
		_, err := c.WaitEvent(time.Second, "WANTED")
		var story *async.EventWaitError
		if !errors.As(err, &story) || story.Passed != 20 || strings.Join(story.Last, "") != "MNOPQRST" {
			t.Errorf("%v (%+v)", err, story)
		}
	})
}
