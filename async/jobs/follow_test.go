package jobs_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/qapi"
)

// Many calls follow one job. Each gets what it waits for, a call that gives up disturbs
// none of the others, and each command is executed once.
func TestManyFollowOneJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newSim(t)
		j := s.started(c, simJob{info: qapi.JobInfo{ID: "j", Type: "mirror", TotalProgress: 100}, block: true}, &jobs.Options{Policy: jobs.Complete})
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for range 5 {
			wg.Go(func() {
				if err := j.Wait(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("a call that gives up: %v", err)
				}
			})
		}
		synctest.Wait()
		for range 5 {
			wg.Go(func() {
				if err := j.Wait(t.Context()); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if state, err := j.WaitFor(t.Context(), "ready", "pending"); err != nil || state != "ready" {
					t.Errorf("WaitFor: %s, %v", state, err)
				}
			})
			wg.Go(func() {
				var seen []qapi.JobStatus
				for state, err := range j.States(t.Context()) {
					if err != nil {
						t.Error(err)
					}
					seen = append(seen, state.Status)
				}
				if want := []qapi.JobStatus{"created", "running", "ready", "waiting", "pending", "concluded", "null"}; !slices.Equal(seen, want) {
					t.Errorf("states %v, want %v", seen, want)
				}
			})
			wg.Go(func() {
				n := 0
				for _, err := range j.Watch(t.Context(), 700*time.Millisecond) {
					if err != nil {
						t.Error(err)
					}
					n++
				}
				if n < 4 {
					t.Errorf("progress was yielded %d times", n)
				}
			})
		}
		time.Sleep(time.Second)
		cancel()
		time.Sleep(time.Second)
		s.ready("j")
		time.Sleep(time.Second)
		s.finish("j", "")
		wg.Wait()
		if sent := s.executed(); !slices.Equal(sent, []string{"job-complete", "job-finalize", "job-dismiss"}) {
			t.Errorf("sent %v", sent)
		}
		if j.ID() != "j" || j.Info().Status != "null" {
			t.Errorf("%+v", j.Info())
		}
	})
}

// A loop over the states ends when its body does.
func TestStatesEndsWithItsBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newSim(t)
		j := s.started(c, backupJob("j"), nil)
		for state, err := range j.States(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if state.Status == "running" {
				break
			}
		}
		for p, err := range j.Watch(t.Context(), 0) {
			if err != nil || p.Status != "running" {
				t.Fatalf("%+v, %v", p, err)
			}
			break
		}
	})
}

// What a Policy returns and does decides what happens to the job.
func TestPolicy(t *testing.T) {
	pending := simJob{info: qapi.JobInfo{ID: "j", Type: "backup"}, dismiss: true, block: true}
	t.Run("error", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, c := newSim(t)
			cause := errors.New("not yet")
			calls := 0
			j := s.started(c, pending, &jobs.Options{Policy: func(_ context.Context, job jobs.Info) (qapi.JobVerb, error) {
				if job.ID != "j" || job.Status != "pending" {
					t.Errorf("called for %+v", job)
				}
				if calls++; calls < 3 {
					return "", cause
				}
				return qapi.JobVerbFinalize, nil
			}})
			s.finish("j", "")
			for range 2 {
				err := j.Wait(t.Context())
				if _, ok := errors.AsType[*jobs.WaitError](err); !ok || !errors.Is(err, cause) {
					t.Errorf("Wait: %v", err)
				}
			}
			if err := j.Wait(t.Context()); err != nil || calls != 3 {
				t.Errorf("after %d calls: %v", calls, err)
			}
		})
	})
	t.Run("unknown command", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, c := newSim(t)
			j := s.started(c, pending, &jobs.Options{Policy: func(context.Context, jobs.Info) (qapi.JobVerb, error) { return "set-speed", nil }})
			s.finish("j", "")
			if err := j.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), `"set-speed"`) {
				t.Errorf("Wait: %v", err)
			}
		})
	})
	t.Run("refused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, c := newSim(t)
			j := s.started(c, pending, &jobs.Options{Policy: func(context.Context, jobs.Info) (qapi.JobVerb, error) { return qapi.JobVerbComplete, nil }})
			s.finish("j", "")
			for range 2 {
				err := j.Wait(t.Context())
				if _, ok := errors.AsType[*async.ExecuteError](err); !ok || !strings.Contains(err.Error(), "cannot accept command verb 'complete'") {
					t.Errorf("Wait: %v", err)
				}
			}
			if sent := s.executed(); !slices.Equal(sent, []string{"job-complete", "job-complete"}) {
				t.Errorf("sent %v", sent)
			}
		})
	})
	t.Run("another client is faster", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, c := newSim(t)
			j := s.started(c, simJob{info: qapi.JobInfo{ID: "j", Type: "backup"}, block: true}, &jobs.Options{Policy: func(ctx context.Context, job jobs.Info) (qapi.JobVerb, error) {
				s.do("j", map[qapi.JobStatus]func(*simJob){"pending": s.conclude, "concluded": s.remove}[job.Status])
				return jobs.Auto(ctx, job)
			}})
			s.finish("j", "")
			if err := j.Wait(t.Context()); err != nil {
				t.Error(err)
			}
			if sent := s.executed(); !slices.Equal(sent, []string{"job-finalize", "job-dismiss"}) {
				t.Errorf("sent %v", sent)
			}
		})
	})
	t.Run("resume after an error", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, c := newSim(t)
			calls := 0
			j := s.started(c, backupJob("j"), &jobs.Options{Policy: func(_ context.Context, job jobs.Info) (qapi.JobVerb, error) {
				if calls++; calls == 1 && job.Status == "paused" && job.IOError != nil && job.IOError.Operation == "read" {
					return qapi.JobVerbResume, nil
				}
				return qapi.JobVerbCancel, nil
			}})
			for range 2 {
				s.do("j", func(j *simJob) {
					s.emit("BLOCK_JOB_ERROR", map[string]any{"device": "j", "operation": "read", "action": "stop"})
					s.enter(j, "paused")
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				err := j.Wait(ctx)
				cancel()
				if want := calls == 2; errors.Is(err, jobs.ErrCanceled) != want {
					t.Errorf("call %d: %v", calls, err)
				}
			}
		})
	})
	t.Run("left stopped", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, c := newSim(t)
			j := s.started(c, backupJob("j"), nil)
			s.do("j", func(j *simJob) {
				s.emit("BLOCK_JOB_ERROR", map[string]any{"device": "j", "operation": "write", "action": "stop"})
				s.enter(j, "paused")
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := j.Wait(ctx)
			if want := "it is paused at 0 of 100 after an I/O error (write), and waits for job-resume: context deadline exceeded"; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Wait: %v, want %s", err, want)
			}
		})
	})
}

// With the Manual policy the program executes every command. Another goroutine may
// follow the job meanwhile.
func TestByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newSim(t)
		j := s.started(c, simJob{info: qapi.JobInfo{ID: "j", Type: "mirror", TotalProgress: 1}, block: true}, &jobs.Options{Policy: jobs.Manual})
		ctx := t.Context()
		result := make(chan error, 1)
		go func() {
			for state, err := range j.States(ctx) {
				if err != nil || state.Status == "null" {
					result <- err
					return
				}
			}
			result <- errors.New("the loop ended when the job was concluded")
		}()
		for _, step := range []struct {
			do   func(context.Context) error
			want qapi.JobStatus
		}{
			{j.Pause, "paused"},
			{j.Resume, "running"},
			{func(context.Context) error { s.ready("j"); return nil }, "ready"},
			{j.Pause, "standby"},
			{j.Resume, "ready"},
			{j.Complete, "ready"},
			{func(context.Context) error { s.finish("j", ""); return nil }, "pending"},
			{j.Finalize, "concluded"},
		} {
			if err := step.do(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := j.WaitFor(ctx, step.want); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-result; err == nil || !strings.Contains(err.Error(), "concluded") {
			t.Errorf("the loop: %v", err)
		}
		if err := j.Wait(ctx); err != nil {
			t.Errorf("Wait for a job that is left concluded: %v", err)
		}
		if err := j.Dismiss(ctx); err != nil {
			t.Error(err)
		}
		if _, err := j.WaitFor(ctx, "null"); err == nil || !errors.Is(err, jobs.ErrEnded) {
			t.Logf("WaitFor after the end: %v", err)
		}
	})
}

// The error of a job that fails is known after Dismiss, also if Dismiss is the only call
// that asks QEMU.
func TestDismissAsksFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newSim(t)
		j := s.started(c, createJob("j"), &jobs.Options{Policy: jobs.Manual})
		s.finish("j", "the reason")
		if err := j.Dismiss(t.Context()); err != nil {
			t.Error(err)
		}
		if err := j.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "the reason") {
			t.Errorf("Wait: %v", err)
		}
		// No command goes to a newer job with the same id.
		s.create(createJob("j"))
		for _, command := range []func(context.Context) error{j.Cancel, j.Pause, j.Resume, j.Complete, j.Finalize, j.Dismiss} {
			if err := command(t.Context()); err != jobs.ErrEnded {
				t.Errorf("a command after the end: %v", err)
			}
		}
		if sent := s.executed(); !slices.Equal(sent, []string{"job-dismiss"}) {
			t.Errorf("sent %v", sent)
		}
		if _, err := j.WaitFor(t.Context(), "ready"); err == nil || !strings.Contains(err.Error(), "the reason") {
			t.Errorf("WaitFor: %v", err)
		}
	})
}

// Events may be lost, or come without the job. What is known then is told, and nothing
// else.
func TestLostEvents(t *testing.T) {
	flood := func(s *sim) {
		for range 210 {
			s.emit("BLOCK_JOB_READY", map[string]any{"device": "j", "type": "backup", "len": 100, "offset": 7, "speed": 0})
		}
	}
	for name, tt := range map[string]struct {
		run  func(s *sim)
		want string
	}{
		"it goes on":     {func(s *sim) { flood(s); go func() { time.Sleep(time.Second); s.finish("j", "") }() }, ""},
		"it has ended":   {func(s *sim) { s.finish("j", ""); flood(s) }, "is gone, and how it ended is not known; when it was last seen: it is running at 7 of 100"},
		"it has failed":  {func(s *sim) { flood(s); s.finish("j", "why") }, "failed: why"},
		"another one":    {func(s *sim) { flood(s); s.forget("j"); j := createJob("j"); s.create(j) }, "is gone"},
		"none":           {func(s *sim) { s.forget("j"); flood(s) }, "is gone"},
		"it waits":       {func(s *sim) { s.do("j", func(j *simJob) { j.finalize = false }); s.finish("j", ""); flood(s) }, ""},
		"it is finished": {func(s *sim) { s.do("j", func(j *simJob) { j.dismiss = false }); s.finish("j", "why"); flood(s) }, "failed: why"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := newSim(t)
				j := s.started(c, backupJob("j"), nil)
				tt.run(s)
				s.sync(c)
				err := j.Wait(t.Context())
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("Wait: %v, want %q", err, tt.want)
				}
				var last error
				for _, last = range j.States(t.Context()) {
				}
				if gone := strings.Contains(tt.want, "is gone"); errors.Is(err, jobs.ErrGone) != gone || errors.Is(last, jobs.ErrGone) != gone {
					t.Errorf("it matches ErrGone: %v, %v", err, last)
				}
				for _, last = range j.Watch(t.Context(), time.Second) {
				}
				if gone := strings.Contains(tt.want, "is gone"); errors.Is(last, jobs.ErrGone) != gone {
					t.Errorf("Watch: %v", last)
				}
			})
		})
	}
}

// Start returns the error of the command, and finds out whether the command has started
// the job.
func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newSim(t)
		ctx := t.Context()
		cause := errors.New("no")
		if _, err := jobs.Start(ctx, c, "j", func(context.Context) error { return cause }, nil); err != cause {
			t.Errorf("Start: %v", err)
		}
		_, err := jobs.Start(ctx, c, "j", func(context.Context) error { return nil }, nil)
		if missing, ok := errors.AsType[*jobs.NotFoundError](err); !ok || !missing.NotStarted || !strings.Contains(err.Error(), "has not started a job with the id j") {
			t.Errorf("Start: %v", err)
		}

		// Events of an earlier job with the same id do not count.
		s.create(createJob("j"))
		s.finish("j", "old")
		j, err := jobs.Start(ctx, c, "j", func(ctx context.Context) error {
			s.do("j", s.remove)
			return s.start(c, backupJob("j"))(ctx)
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		if info := j.Info(); info.Status != "running" {
			t.Errorf("%+v", info)
		}
		s.finish("j", "")
		if err := j.Wait(ctx); err != nil {
			t.Error(err)
		}

		// A job whose events do not come is found by asking.
		other := async.New(&async.Options{Dialer: s.Dial})
		j, err = jobs.Start(ctx, c, "k", func(context.Context) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.list = append(s.list, &simJob{info: qapi.JobInfo{ID: "k", Type: "backup", Status: "running"}})
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		j.Close()
		if err := other.Close(); err != nil {
			t.Error(err)
		}

		// A connection that ends is the error of every call.
		s.Close()
		if _, err := jobs.Attach(ctx, c, "k", nil); err == nil || isNotFound(err) {
			t.Errorf("Attach: %v", err)
		}
		if _, err := jobs.List(ctx, c); err == nil {
			t.Error("List succeeded")
		}
		if err := j.Dismiss(ctx); err == nil {
			t.Error("Dismiss succeeded")
		}
		if _, err := j.Progress(ctx); err == nil {
			t.Error("Progress succeeded")
		}
		for _, err := range j.Watch(ctx, time.Second) {
			if err == nil {
				t.Error("Watch succeeded")
			}
		}
		for _, err := range j.States(ctx) {
			_ = err
		}
	})
}

// Jobs of one command are started together.
func TestStartAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newSim(t)
		list, err := jobs.StartAll(t.Context(), c, []string{"a", "b"}, s.start(c, backupJob("b"), backupJob("a")), nil)
		if err != nil {
			t.Fatal(err)
		}
		s.finish("a", "")
		s.finish("b", "no")
		for i, want := range []bool{true, false} {
			defer list[i].Close()
			if err := list[i].Wait(t.Context()); (err == nil) != want {
				t.Errorf("%s: %v", list[i].ID(), err)
			}
		}
		if _, err := jobs.StartAll(t.Context(), c, []string{"c", "d"}, s.start(c, backupJob("c")), nil); !isNotFound(err) {
			t.Errorf("one of two: %v", err)
		}
		infos, err := jobs.List(t.Context(), c)
		if err != nil || len(infos) != 1 || infos[0].ID != "c" || infos[0].Status != "running" || infos[0].Total != 100 {
			t.Errorf("List: %+v, %v", infos, err)
		}
	})
}

// Close ends calls that wait.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newSim(t)
		j := s.started(c, backupJob("j"), nil)
		go func() {
			time.Sleep(time.Second)
			j.Close()
		}()
		if err := j.Wait(t.Context()); !errors.Is(err, async.ErrClosed) {
			t.Errorf("Wait: %v", err)
		}
	})
}

// A call that gives up while its command is executed disturbs nobody.
func TestGivenUpCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newSim(t)
		j := s.started(c, simJob{info: qapi.JobInfo{ID: "j", Type: "backup"}, dismiss: true, block: true}, nil)
		var calls atomic.Int32
		s.Handle("job-finalize", func(context.Context, *qmptest.Command) (any, error) {
			calls.Add(1)
			time.Sleep(time.Minute)
			s.do("j", s.conclude)
			return nil, nil
		})
		s.finish("j", "")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := j.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait: %v", err)
		}
		if err := j.Wait(t.Context()); err != nil || calls.Load() != 1 {
			t.Errorf("after %d calls: %v", calls.Load(), err)
		}
	})
}
