package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/qapi/qga"
)

// A command that the agent does not offer is not sent. The agent is asked again before
// that: what is disabled now may be enabled later.
func TestDisabledCommand(t *testing.T) {
	enabled := strings.ReplaceAll(info, `"enabled": false`, `"enabled": true`)
	frozen := strings.ReplaceAll(info, `"guest-exec", "enabled": true`, `"guest-exec", "enabled": false`)
	synctest.Test(t, func(t *testing.T) {
		a := dialScript(t,
			qmptest.Expect("guest-info"), qmptest.Return(info), qmptest.Expect("guest-fsfreeze-status"), qmptest.Return(`"thawed"`),
			qmptest.Expect("guest-info"), qmptest.Return(info),
			qmptest.Expect("guest-info"), qmptest.Return(enabled),
			qmptest.Expect("guest-get-osinfo"), qmptest.Return(`{"id": "debian"}`),
			qmptest.Expect("guest-exec"), qmptest.ReturnError("GenericError", "frozen"),
			qmptest.Expect("guest-info"), qmptest.Return(frozen), // because guest-nonsense is not offered
			qmptest.Expect("guest-info"), qmptest.Return(frozen), qmptest.Expect("guest-fsfreeze-status"), qmptest.Return(`"frozen"`),
			qmptest.Expect("guest-info"), qmptest.HangUp(),
		)
		ctx := t.Context()
		refused := func(command, want string) {
			t.Helper()
			_, err := a.Do(ctx, async.Command{Object: map[string]string{"execute": command}})
			if e, ok := errors.AsType[*agent.DisabledError](err); !ok || e.Command != command || !strings.Contains(e.Error(), want) {
				t.Errorf("got %v, want a DisabledError with %q", err, want)
			}
		}
		refused("guest-get-osinfo", "has disabled this command")
		refused("guest-nonsense", "does not have this command")
		if system, err := qga.GuestGetOsinfo(ctx, a); err != nil || *system.ID != "debian" {
			t.Error(err)
		}
		if err := a.Command(ctx, "true").Run(); err == nil || !strings.Contains(err.Error(), "frozen") {
			t.Errorf("the agent's own error: %v", err)
		}
		refused("guest-nonsense", "does not have this command")
		refused("guest-exec", "frozen the guest's file systems")
		if _, err := a.Do(ctx, async.Command{Name: "guest-nonsense"}); !async.HungUp(err) {
			t.Errorf("the agent hangs up: %v", err)
		}
	})
}

// An agent that refuses guest-info is taken to offer everything.
func TestNoGuestInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := agent.Dial(t.Context(), "", over(qmptest.ScriptMemory(t,
			synced("$sync"), qmptest.Expect("guest-info"), qmptest.ReturnError("CommandNotFound", "Command guest-info has been disabled"),
			qmptest.Expect("guest-nonsense"), qmptest.Return(`{}`),
		)))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if a.Commands() != nil || a.Version() != "" {
			t.Errorf("%v, %q", a.Commands(), a.Version())
		}
		if _, err := a.Do(t.Context(), async.Command{Name: "guest-nonsense"}); err != nil {
			t.Error(err)
		}
	})
}

// guest-shutdown has no reply if it succeeds.
func TestCommandWithoutReply(t *testing.T) {
	shutdown := async.Command{Name: "guest-shutdown"}
	for name, tt := range map[string]struct {
		steps []qmptest.Step
		took  time.Duration
		limit time.Duration // of the caller
		want  string        // in the error
	}{
		"no reply":         {[]qmptest.Step{qmptest.Stall()}, 5 * time.Second, time.Minute, ""},
		"the guest ends":   {[]qmptest.Step{qmptest.Pause(time.Second), qmptest.HangUp()}, time.Second, time.Minute, ""},
		"a reset":          {[]qmptest.Step{qmptest.Reset()}, 0, time.Minute, ""},
		"a reply":          {[]qmptest.Step{qmptest.Return(`{}`)}, 0, time.Minute, ""},
		"refused":          {[]qmptest.Step{qmptest.Pause(time.Second), qmptest.ReturnError("GenericError", "no such mode")}, time.Second, time.Minute, "no such mode"},
		"the caller's end": {[]qmptest.Step{qmptest.Stall()}, 2 * time.Second, 2 * time.Second, "deadline exceeded"},
		"garbage":          {[]qmptest.Step{qmptest.Send("garbage")}, 0, time.Minute, "not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := dialScript(t, append([]qmptest.Step{qmptest.Expect("guest-shutdown")}, tt.steps...)...)
				begin := time.Now()
				reply, err := a.Do(within(t, tt.limit), shutdown)
				if err == nil {
					err = reply.Err()
				}
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				if took := time.Since(begin); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		a := dialScript(t, qmptest.Expect("guest-shutdown"), qmptest.Stall())
		if err := qga.GuestShutdown(t.Context(), a, nil, 0); err != nil {
			t.Errorf("by qga: %v", err)
		}
	})
}

// After a caller has given up, nothing is sent before the agent answers.
func TestNothingIsSentToASilentAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var syncs []int64
		sync := qmptest.ExpectFunc("guest-sync", func(m qmptest.Message) error {
			var args struct{ ID int64 }
			if m.Name != "guest-sync" {
				return fmt.Errorf("not guest-sync")
			}
			err := json.Unmarshal(m.Arguments, &args)
			syncs = append(syncs, args.ID)
			return err
		})
		a := dialScript(t,
			qmptest.Expect("guest-exec"), qmptest.Mark("stopped"),
			sync, sync, sync, sync, // after 0, 1, 3 and 7 seconds
			qmptest.Reply(`{"return": {"pid": 1}, "id": 2}`), // late
			sync, answerSync(withID),
			qmptest.Expect("guest-ping"), qmptest.Return(`{}`),
			qmptest.Expect("guest-ping"), qmptest.Return(`{}`),
		)
		err := a.Command(within(t, time.Second), "true").Start()
		if e, ok := errors.AsType[*async.ExecInterruptedError](err); !ok || e.SafeToRetry() {
			t.Errorf("guest-exec: %v", err)
		}
		err = qga.GuestPing(within(t, 10*time.Second), a)
		if e, ok := errors.AsType[*async.ExecInterruptedError](err); !ok || !e.SafeToRetry() || !errors.Is(err, context.DeadlineExceeded) ||
			!strings.Contains(e.Error(), "has not answered an earlier command") {
			t.Errorf("guest-ping: %v", err)
		}
		for range 2 {
			if err := qga.GuestPing(t.Context(), a); err != nil {
				t.Errorf("guest-ping: %v", err)
			}
		}
		if len(syncs) != 5 {
			t.Errorf("%d times guest-sync", len(syncs))
		}
	})
}

// Many callers wait for the agent's answer to one guest-sync.
func TestManyWaitForASilentAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory, NoGreeting: true})
		awake := make(chan struct{})
		s.Handle("guest-get-time", func(context.Context, *qmptest.Command) (any, error) {
			<-awake
			return 1, nil
		})
		a, err := agent.Dial(t.Context(), "", over(s.Dial))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if _, err := qga.GuestGetTime(within(t, time.Second), a); err == nil {
			t.Error("no error")
		}
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				ctx := t.Context()
				if i < 5 {
					ctx = within(t, 500*time.Millisecond)
				}
				err := qga.GuestPing(ctx, a)
				if (err == nil) != (i >= 5) {
					t.Errorf("caller %d: %v", i, err)
				}
			})
		}
		time.Sleep(700 * time.Millisecond)
		close(awake)
		wg.Wait()
		pings, syncs := 0, 0
		for _, m := range s.Received() {
			switch m.Name {
			case "guest-ping":
				pings++
			case "guest-sync":
				syncs++
			}
		}
		if pings != 5 || syncs < 1 || syncs > 6 { // each of those that give up may have asked
			t.Errorf("%d times guest-ping, %d times guest-sync", pings, syncs)
		}
	})
}

// Agents before QEMU 3.0 refuse an id, and others may leave it out of the reply. They get
// one command at a time, without an id.
func TestAgentWithoutIDs(t *testing.T) {
	bare := func(name string, more ...string) qmptest.Step {
		return qmptest.ExpectFunc(name, func(m qmptest.Message) error {
			if m.ID != nil || m.Name != name {
				return fmt.Errorf("want %s without an id", name)
			}
			return nil
		})
	}
	for name, beginning := range map[string][]qmptest.Step{
		"QEMU 2.12":       {qmptest.Expect("guest-info"), qmptest.Send(`{"error": {"class": "GenericError", "desc": "QMP input member 'id' is unexpected"}}` + "\n"), bare("guest-info"), qmptest.Send(`{"return": ` + info + "}\n")},
		"QEMU 2.8":        {qmptest.Expect("guest-info"), qmptest.Send(`{"error": {"class": "GenericError", "desc": "QMP input object member 'id' is unexpected"}}` + "\n"), bare("guest-info"), qmptest.Send(`{"return": ` + info + "}\n")},
		"it ignores them": {qmptest.Expect("guest-info"), qmptest.Send(`{"return": ` + info + "}\n")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answered := make(chan struct{})
				steps := append([]qmptest.Step{synced("$sync")}, beginning...)
				steps = append(steps,
					bare("guest-ping"), qmptest.Pause(time.Second), qmptest.Do("", func(*qmptest.Peer) error { close(answered); return nil }), qmptest.Send(`{"return": {}}`),
					bare("guest-ping"), qmptest.Send(`{"return": {}}`),
					bare("guest-exec"), qmptest.Send(`{"error": {"class": "GenericError", "desc": "no such file"}}`),
					// Two replies come late: to a command, and to the first guest-sync after it.
					bare("guest-exec"), bare("guest-sync"), qmptest.Send(`{"return": {"pid": 1}}{"return": 17}`), answerSync(`{"return": $number}`),
					bare("guest-exec"), bare("guest-sync"), qmptest.Send(`{"error": {"class": "GenericError", "desc": "late"}}`), answerSync(`{"return": $number}`),
					bare("guest-ping"), qmptest.Send(`{"return": {}}`),
				)
				a, err := agent.Dial(t.Context(), "", over(qmptest.ScriptMemory(t, steps...)))
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				first := make(chan error)
				go func() { first <- qga.GuestPing(t.Context(), a) }()
				synctest.Wait()
				if err := qga.GuestPing(within(t, 100*time.Millisecond), a); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("it does not wait for its turn: %v", err)
				}
				if err := qga.GuestPing(t.Context(), a); err != nil {
					t.Error(err)
				}
				<-answered
				if err := <-first; err != nil {
					t.Error(err)
				}
				if err := a.Command(t.Context(), "x").Start(); err == nil || !strings.Contains(err.Error(), "no such file") {
					t.Errorf("an error reply: %v", err)
				}
				for range 2 {
					if err := a.Command(within(t, time.Second), "x").Start(); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("no reply: %v", err)
					}
				}
				if err := qga.GuestPing(t.Context(), a); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The caller's hooks see every message, with and without ids.
func TestHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent, received []string
		opts := over(qmptest.ScriptMemory(t, synced("$sync"), qmptest.Expect("guest-info"), qmptest.Send(`{"return": `+info+"}"),
			qmptest.Expect("guest-get-time"), qmptest.Send(`{"return": 5}`)))
		opts.Engine.OnSend = func(m json.RawMessage) json.RawMessage {
			sent = append(sent, string(m))
			return json.RawMessage(strings.Replace(string(m), "guest-ping", "guest-get-time", 1))
		}
		opts.Engine.OnReceive = func(m json.RawMessage) json.RawMessage {
			received = append(received, string(m))
			return nil
		}
		a, err := agent.Dial(t.Context(), "", opts)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if n, err := async.Call[int](t.Context(), a, "guest-ping", nil); n != 5 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		if len(sent) != 2 || sent[1] != `{"execute":"guest-ping","id":2}` || len(received) != 2 || received[1] != `{"return": 5,"id":2}` {
			t.Errorf("sent %q, received %q", sent, received)
		}
	})
}
