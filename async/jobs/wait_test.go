package jobs_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/qapi"
)

// Wait returns how a job ended, whenever the job ended, and executes the commands that
// the job needs.
func TestWait(t *testing.T) {
	for name, tt := range map[string]struct {
		job  simJob
		opts *jobs.Options
		run  func(s *sim) // what happens to the job, a second after Wait was called, and also before
		want string       // "" or a part of the error
		sent []string
	}{
		"success":          {backupJob("j"), nil, func(s *sim) { s.finish("j", "") }, "", nil},
		"failure":          {backupJob("j"), nil, func(s *sim) { s.finish("j", "No space left on device") }, "qmp: job j (backup) failed: No space left on device", nil},
		"pending":          {simJob{info: qapi.JobInfo{ID: "j", Type: "backup"}, dismiss: true, block: true}, nil, func(s *sim) { s.finish("j", "") }, "", []string{"job-finalize"}},
		"concluded":        {createJob("j"), nil, func(s *sim) { s.finish("j", "") }, "", []string{"job-dismiss"}},
		"concluded, error": {createJob("j"), nil, func(s *sim) { s.finish("j", "no") }, "qmp: job j (create) failed: no", []string{"job-dismiss"}},
		"both":             {simJob{info: qapi.JobInfo{ID: "j", Type: "amend"}}, nil, func(s *sim) { s.finish("j", "") }, "", []string{"job-finalize", "job-dismiss"}},
		"left concluded":   {createJob("j"), &jobs.Options{Policy: jobs.Manual}, func(s *sim) { s.finish("j", "no") }, "failed: no", nil},
		"ready": {backupJob("j"), &jobs.Options{Policy: jobs.Complete}, func(s *sim) {
			s.ready("j")
			time.Sleep(time.Second)
			s.do("j", func(j *simJob) {
				if !j.completing {
					s.t.Error("the job was not completed")
				}
			})
			s.finish("j", "")
		}, "", []string{"job-complete"}},
		"canceled": {backupJob("j"), nil, func(s *sim) {
			s.do("j", func(j *simJob) { j.wasCanceled = true; s.fail(j, "Operation canceled") })
		}, "qmp: job j (backup) was canceled", nil},
		"canceled, no block job": {createJob("j"), nil, func(s *sim) {
			s.do("j", func(j *simJob) { j.wasCanceled = true; s.fail(j, "Operation canceled") })
		}, "qmp: job j (create) was canceled", []string{"job-dismiss"}},
		"unknown states": {backupJob("j"), nil, func(s *sim) {
			s.do("j", func(j *simJob) { s.enter(j, "brooding") })
			s.finish("j", "")
		}, "", nil},
		"dismissed by another client": {createJob("j"), nil, func(s *sim) {
			s.do("j", func(j *simJob) { j.dismiss = true })
			s.finish("j", "")
		}, "", nil},
		"failed and dismissed by another client": {createJob("j"), nil, func(s *sim) {
			s.do("j", func(j *simJob) { j.dismiss = true })
			s.finish("j", "no")
		}, "failed; QEMU dropped the reason before it could be asked", nil},
	} {
		for _, before := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", before Wait"}[before], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, c := newSim(t)
					j := s.started(c, tt.job, tt.opts)
					if before && tt.opts == nil {
						tt.run(s)
						s.sync(c)
					} else {
						go func() {
							time.Sleep(time.Second)
							tt.run(s)
						}()
					}
					err := j.Wait(t.Context())
					switch {
					case tt.want == "" && err != nil:
						t.Errorf("Wait: %v", err)
					case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
						t.Errorf("Wait returned %v, want %s", err, tt.want)
					}
					if want := strings.Contains(tt.want, "canceled"); errors.Is(err, jobs.ErrCanceled) != want {
						t.Errorf("it matches ErrCanceled: %t", !want)
					}
					if again := j.Wait(t.Context()); (again == nil) != (err == nil) {
						t.Errorf("the second Wait returned %v", again)
					}
					if sent := s.executed(); !slices.Equal(sent, tt.sent) {
						t.Errorf("sent %v, want %v", sent, tt.sent)
					}
				})
			})
		}
	}
}

// Attach finds a job in every state.
func TestAttach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newSim(t)
		ctx := t.Context()
		_, err := jobs.Attach(ctx, c, "j", nil)
		if missing, ok := errors.AsType[*jobs.NotFoundError](err); !ok || missing.ID != "j" {
			t.Errorf("Attach to no job: %v", err)
		}
		for _, status := range []qapi.JobStatus{"created", "running", "paused", "ready", "standby", "waiting", "pending", "brooding"} {
			s.create(backupJob("j"))
			s.do("j", func(j *simJob) { s.enter(j, status) })
			s.sync(c)
			j, err := jobs.Attach(ctx, c, "j", nil)
			if err != nil {
				t.Fatal(err)
			}
			if info := j.Info(); info.Status != status || info.Type != "backup" || info.Total != 100 {
				t.Errorf("%+v", info)
			}
			s.finish("j", "")
			if err := j.Wait(ctx); err != nil {
				t.Errorf("%s: %v", status, err)
			}
		}
		s.create(createJob("j"))
		s.finish("j", "no")
		j, err := jobs.Attach(ctx, c, "j", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Wait(ctx); err == nil || !strings.Contains(err.Error(), "failed: no") {
			t.Errorf("a job that had failed: %v", err)
		}
	})
}

// A wait ends with its context and with the connection, and says what the job waits for.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newSim(t)
		j := s.started(c, backupJob("j"), nil)
		s.ready("j")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		err := j.Wait(ctx)
		const want = "qmp: job j (backup): waited for its end; it is ready at 100 of 100, and waits for job-complete or job-cancel: context deadline exceeded"
		if err == nil || err.Error() != want || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v, want %s", time.Since(start), err, want)
		}
		go func() {
			time.Sleep(time.Second)
			s.Close()
		}()
		err = j.Wait(t.Context())
		waited, ok := errors.AsType[*jobs.WaitError](err)
		if !ok || !strings.Contains(waited.Situation, "ready") {
			t.Errorf("the connection ended: %v", err)
		}
		if _, ok := errors.AsType[*async.StateError](err); !ok {
			t.Errorf("the connection ended: %v", err)
		}
		j.Close()
		if err := j.Wait(t.Context()); err == nil {
			t.Error("no error after Close")
		}
	})
}
