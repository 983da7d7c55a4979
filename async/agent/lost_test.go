package agent_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/qapi/qga"
)

// The guest restarts while two commands wait. The questions that are sent meanwhile are
// lost, too.
func TestLostReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := dialScript(t,
			qmptest.Expect("guest-fsfreeze-status"), qmptest.Expect("guest-fsfreeze-status"),
			qmptest.Expect("guest-sync"), qmptest.Expect("guest-sync"), // after 10 s
			qmptest.Expect("guest-sync"), answerSync(withID), // after 20 s
			qmptest.Expect("guest-sync"), answerSync(withID),
			qmptest.Expect("guest-ping"), qmptest.Return(`{}`),
		)
		begin := time.Now()
		errs := make(chan error)
		for range 2 {
			go func() { errs <- second(qga.GuestFsfreezeStatus(t.Context(), a)) }()
		}
		for range 2 {
			err := <-errs
			e, ok := errors.AsType[*agent.LostReplyError](err)
			interrupted, sent := errors.AsType[*async.ExecInterruptedError](err)
			if !ok || e.Command != "guest-fsfreeze-status" || !sent || interrupted.SafeToRetry() {
				t.Errorf("got %v", err)
			}
		}
		if took := time.Since(begin); took != 20*time.Second {
			t.Errorf("it took %v", took)
		}
		if err := qga.GuestPing(t.Context(), a); err != nil {
			t.Error(err)
		}
	})
}

// A command that takes long is not lost: the agent answers in order.
func TestSlowReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory, NoGreeting: true})
		s.Handle("guest-get-time", func(context.Context, *qmptest.Command) (any, error) {
			time.Sleep(time.Hour)
			return 5, nil
		})
		a, err := agent.Dial(t.Context(), "", over(s.Dial))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if n, err := qga.GuestGetTime(t.Context(), a); n != 5 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		syncs := 0
		for _, m := range s.Received() {
			if m.Name == "guest-sync" {
				syncs++
			}
		}
		if syncs < 10 || syncs > 65 {
			t.Errorf("it asked %d times in an hour", syncs)
		}
	})
}

// An agent is silent for two days. The client does not collect questions: it gives up the
// oldest of them.
func TestQuestionsToASilentAgentAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory, NoGreeting: true})
		released := make(chan struct{})
		s.Handle("guest-get-time", func(context.Context, *qmptest.Command) (any, error) {
			<-released
			return 5, nil
		})
		a, err := agent.Dial(t.Context(), "", over(s.Dial))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		defer close(released)
		ctx, cancel := context.WithCancel(t.Context())
		answered := make(chan error, 1)
		go func() { answered <- second(qga.GuestGetTime(ctx, a)) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		before := runtime.NumGoroutine()
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		if after := runtime.NumGoroutine(); after > before+5 {
			t.Errorf("%d goroutines after an hour, %d after two days", before, after)
		}
		cancel()
		<-answered
	})
}

// The client does not ask if it must not, and if the agent cannot answer.
func TestLostReplyIsNotWatched(t *testing.T) {
	for name, tt := range map[string]struct {
		after time.Duration
		info  string
	}{
		"LostAfter":     {-1, info},
		"no guest-sync": {0, `{"version": "1", "supported_commands": [{"name": "guest-ping", "enabled": true, "success-response": true}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := over(qmptest.ScriptMemory(t, synced("$sync"), qmptest.Expect("guest-info"), qmptest.Return(tt.info),
					qmptest.Expect("guest-ping"), qmptest.ExpectNothing(time.Minute), qmptest.Expect("guest-ping"), qmptest.Return(`{}`)))
				opts.LostAfter = tt.after
				a, err := agent.Dial(t.Context(), "", opts)
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				go func() { _ = qga.GuestPing(within(t, 2*time.Minute), a) }()
				time.Sleep(90 * time.Second)
				if err := qga.GuestPing(t.Context(), a); err != nil {
					t.Error(err)
				}
				a.Close()
				synctest.Wait()
			})
		})
	}
}

// The agent restarts while Wait asks for the state of a process, and its reply is lost.
func TestWaitForLostProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := dialScript(t,
			qmptest.Expect("guest-exec"), qmptest.Return(`{"pid": 17}`),
			qmptest.Expect("guest-exec-status"), qmptest.Return(`{"exited": false}`),
			qmptest.Expect("guest-exec-status"), qmptest.Expect("guest-sync"), answerSync(withID),
			qmptest.Expect("guest-exec-status"), qmptest.ReturnError("GenericError", "PID ld does not exist"),
		)
		err := a.Command(t.Context(), "/bin/true").Run()
		e, ok := errors.AsType[*agent.LostProcessError](err)
		if !ok || e.PID != 17 || e.Path != "/bin/true" || !errors.As(e, new(*async.ExecuteError)) {
			t.Errorf("got %v", err)
		}
	})
}
