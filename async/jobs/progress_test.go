package jobs_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/qapi"
)

// progressed sets how far a job is.
func (s *sim) progressed(id string, current, total int64) {
	s.do(id, func(j *simJob) { j.info.CurrentProgress, j.info.TotalProgress = current, total })
}

// describe writes a progress on one line.
func describe(p jobs.Progress) string {
	eta := "?"
	if left, ok := p.ETA(); ok {
		eta = left.String()
	}
	return fmt.Sprintf("%s %d/%d %.0f%% %.1f/s %s", p.Status, p.Current, p.Total, 100*p.Fraction(), p.Rate, eta)
}

// The rate and the remaining time follow from what QEMU reports and from the clock.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newSim(t)
		j := s.started(c, backupJob("j"), nil)
		for i, step := range []struct {
			after          time.Duration
			current, total int64
			do             func(context.Context) error
			want           string
		}{
			{0, 0, 0, nil, "running 0/0 0% 0.0/s ?"}, // the total is not known yet
			{time.Second, 10, 100, nil, "running 10/100 10% 10.0/s 9s"},
			{time.Second, 20, 100, nil, "running 20/100 20% 10.0/s 8s"},
			{0, 20, 100, nil, "running 20/100 20% 10.0/s 8s"},
			{2 * time.Second, 20, 100, nil, "running 20/100 20% 5.0/s 16s"},       // it waits
			{time.Second, 30, 400, nil, "running 30/400 8% 6.0/s 1m1.666666666s"}, // the total grows
			{time.Second, 5, 400, nil, "running 5/400 1% 0.0/s ?"},                // it begins again
			{time.Second, 15, 400, nil, "running 15/400 4% 10.0/s 38.5s"},         //
			{time.Second, 16, 400, j.Pause, "paused 16/400 4% 0.0/s ?"},           //
			{time.Hour, 16, 400, nil, "paused 16/400 4% 0.0/s ?"},                 //
			{time.Second, 16, 400, j.Resume, "running 16/400 4% 0.0/s ?"},         // one measurement
			{time.Second, 26, 400, nil, "running 26/400 6% 10.0/s 37.4s"},         // the pause does not count
			{time.Second, 400, 400, nil, "running 400/400 100% 192.0/s 0s"},       //
			{time.Second, 500, 400, nil, "running 500/400 100% 161.3/s 0s"},       // more than the total
			{time.Second, -5, 400, nil, "running -5/400 0% 0.0/s ?"},              //
			{time.Second, math.MaxInt64, -1, nil, "running 9223372036854775807/-1 0% 9223372036854775808.0/s ?"},
		} {
			time.Sleep(step.after)
			s.progressed("j", step.current, step.total)
			if step.do != nil {
				if err := step.do(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			p, err := j.Progress(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(p); got != step.want {
				t.Errorf("step %d: got %s, want %s", i, got, step.want)
			}
		}
		s.progressed("j", 3, 4)
		s.finish("j", "")
		if p, err := j.Progress(t.Context()); err != jobs.ErrEnded || p.Current < 0 {
			t.Errorf("after the end: %v, %v", p, err)
		}
		if err := j.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if p, err := j.Progress(t.Context()); err != jobs.ErrEnded || describe(p) != "null 4/4 100% 0.0/s 0s" {
			t.Errorf("after Wait: %s, %v", describe(p), err)
		}
	})
}

// Watch yields the progress at each interval, and at the end, and executes what the job
// needs.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newSim(t)
		j := s.started(c, simJob{info: qapi.JobInfo{ID: "j", Type: "backup", TotalProgress: 100}, block: true}, nil)
		go func() {
			for i := range 10 {
				time.Sleep(time.Second)
				s.progressed("j", int64(10*(i+1)), 100)
			}
			s.finish("j", "")
		}()
		var lines []string
		start := time.Now()
		for p, err := range j.Watch(t.Context(), 4400*time.Millisecond) {
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fmt.Sprint(time.Since(start), " ", describe(p)))
		}
		want := []string{
			"0s running 0/100 0% 0.0/s ?",
			"4.4s running 40/100 40% 9.1/s 6.6s",
			"8.8s running 80/100 80% 9.1/s 2.2s",
			"10s null 100/100 100% 0.0/s 0s",
		}
		if fmt.Sprint(lines) != fmt.Sprint(want) {
			t.Errorf("got\n%v\nwant\n%v", lines, want)
		}
		if err := j.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A Policy may take longer than the interval of Watch.
func TestWatchWithASlowPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newSim(t)
		calls := 0
		j := s.started(c, simJob{info: qapi.JobInfo{ID: "j", Type: "backup", TotalProgress: 100}, dismiss: true, block: true},
			&jobs.Options{Policy: func(ctx context.Context, job jobs.Info) (qapi.JobVerb, error) {
				calls++
				select {
				case <-time.After(time.Minute):
				case <-ctx.Done():
					t.Error("the policy's context has ended")
				}
				return jobs.Auto(ctx, job)
			}})
		s.finish("j", "")
		for _, err := range j.Watch(t.Context(), time.Second) {
			if err != nil {
				t.Error(err)
			}
		}
		if calls != 1 {
			t.Errorf("the policy was called %d times", calls)
		}
	})
}

// Watch ends with its context.
func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newSim(t)
		j := s.started(c, backupJob("j"), nil)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		n, last := 0, error(nil)
		for _, err := range j.Watch(ctx, 2*time.Second) {
			n++
			last = err
		}
		if n != 4 || last == nil {
			t.Errorf("%d times, and then %v", n, last)
		}
		for _, err := range j.Watch(ctx, 2*time.Second) {
			if err == nil {
				t.Error("no error")
			}
		}
	})
}
