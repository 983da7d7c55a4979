package support_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/qapi/support"
)

// A command to which the server replies only if it refuses it neither waits for ever nor
// hides a refusal.
func TestExecuteUnanswered(t *testing.T) {
	t.Parallel()
	sent := qmptest.Expect("guest-shutdown")
	for name, tt := range map[string]struct {
		steps []qmptest.Step
		wait  time.Duration // 0: the default
		limit time.Duration // of the context; 0: none
		took  time.Duration
		check func(error) bool // nil: there is no error
	}{
		"no reply":              {steps: []qmptest.Step{sent, qmptest.Stall()}, took: support.RefusalWait},
		"no reply, longer wait": {steps: []qmptest.Step{sent, qmptest.Stall()}, wait: time.Minute, took: time.Minute},
		"a negative wait":       {steps: []qmptest.Step{sent, qmptest.Stall()}, wait: -1, took: support.RefusalWait},
		"the guest is gone":     {steps: []qmptest.Step{sent, qmptest.Pause(time.Second), qmptest.HangUp()}, took: time.Second},
		"a reset":               {steps: []qmptest.Step{sent, qmptest.Pause(time.Second), qmptest.Reset()}, took: time.Second},
		"a reply after all":     {steps: []qmptest.Step{sent, qmptest.Return(`{}`)}},
		"refused": {
			steps: []qmptest.Step{sent, qmptest.Pause(time.Second), qmptest.ReturnError("GenericError", "no")},
			took:  time.Second,
			check: func(err error) bool {
				refused, ok := errors.AsType[*async.ExecuteError](err)
				return ok && refused.Class == "GenericError" && refused.Desc == "no"
			},
		},
		"the caller gives up": {
			steps: []qmptest.Step{sent, qmptest.Stall()}, limit: time.Second, took: time.Second,
			check: func(err error) bool { return errors.Is(err, context.DeadlineExceeded) },
		},
		"garbage": {
			steps: []qmptest.Step{sent, qmptest.Send("x")},
			check: func(err error) bool {
				_, ok := errors.AsType[*async.MessageError](err)
				return ok
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := qmptest.Play(t, &qmptest.ScriptOptions{Network: qmptest.Memory}, tt.steps...)
				c := async.New(&async.Options{Dialer: p.Dial, SkipGreeting: true, SkipNegotiation: true})
				if err := c.Connect(t.Context(), ""); err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				ctx := t.Context()
				if tt.limit > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.limit)
					defer cancel()
				}
				start := time.Now()
				err := support.ExecuteUnanswered(ctx, c, "guest-shutdown", nil, tt.wait)
				if took := time.Since(start); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
				if tt.check == nil && err != nil || tt.check != nil && !tt.check(err) {
					t.Errorf("the error is %v", err)
				}
			})
		})
	}

	// What was not sent is an error.
	err := support.ExecuteUnanswered(t.Context(), async.New(nil), "guest-shutdown", nil, 0)
	if _, ok := errors.AsType[*async.StateError](err); !ok {
		t.Errorf("without a connection: %v", err)
	}
}
