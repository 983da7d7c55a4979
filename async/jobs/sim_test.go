package jobs_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/qapi"
)

// A sim is a simulated QEMU with jobs. Its jobs behave as those of QEMU do: they send
// the same events in the same order, and accept the same commands. The test says what
// happens to them.
type sim struct {
	t testing.TB // nil in an Example
	*qmptest.Server

	mu      sync.Mutex // guards the fields below
	list    []*simJob
	queries int // how many query-jobs there were
}

type simJob struct {
	info        qapi.JobInfo
	finalize    bool // auto-finalize
	dismiss     bool // auto-dismiss
	block       bool // a block job, which has the older events
	completing  bool // job-complete was accepted
	wasCanceled bool
}

// newSim starts a sim and connects to it.
func newSim(t *testing.T) (*sim, *async.Client) {
	t.Helper()
	s := simulate(t, qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory}))
	c := async.New(&async.Options{Dialer: s.Dial})
	if err := c.Connect(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return s, c
}

// simulate gives jobs to a server.
func simulate(t testing.TB, server *qmptest.Server) *sim {
	s := &sim{t: t, Server: server}
	s.Handle("query-jobs", func(context.Context, *qmptest.Command) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.queries++
		infos := []qapi.JobInfo{}
		for _, j := range s.list {
			infos = append(infos, j.info)
		}
		return infos, nil
	})
	for verb, do := range map[string]func(*simJob){
		"pause": func(j *simJob) {
			s.enter(j, map[bool]qapi.JobStatus{true: "standby", false: "paused"}[j.info.Status == "ready"])
		},
		"resume": func(j *simJob) {
			s.enter(j, map[bool]qapi.JobStatus{true: "ready", false: "running"}[j.info.Status == "standby"])
		},
		"complete": func(j *simJob) { j.completing = true },
		"cancel":   func(j *simJob) { j.wasCanceled = true; s.fail(j, "Operation canceled") },
		"finalize": s.conclude,
		"dismiss":  s.remove,
	} {
		s.Handle("job-"+verb, func(_ context.Context, cmd *qmptest.Command) (any, error) {
			var args struct{ ID string }
			if err := cmd.Decode(&args); err != nil {
				return nil, err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			j := s.find(args.ID)
			if j == nil {
				return nil, fmt.Errorf("Job not found")
			}
			if !accepts[verb](j.info.Status) {
				return nil, fmt.Errorf("Job '%s' in state '%s' cannot accept command verb '%s'", args.ID, j.info.Status, verb)
			}
			do(j)
			return nil, nil
		})
	}
	return s
}

func oneOf(states ...qapi.JobStatus) func(qapi.JobStatus) bool {
	return func(s qapi.JobStatus) bool { return slices.Contains(states, s) }
}

// accepts has the states in which a job accepts a command.
var accepts = map[string]func(qapi.JobStatus) bool{
	"pause":    oneOf("created", "running", "ready"),
	"resume":   oneOf("paused", "standby"),
	"complete": oneOf("ready"),
	"cancel":   oneOf("created", "running", "paused", "ready", "standby", "waiting", "pending"),
	"finalize": oneOf("pending"),
	"dismiss":  oneOf("concluded"),
}

func (s *sim) find(id string) *simJob {
	for _, j := range s.list {
		if j.info.ID == id {
			return j
		}
	}
	return nil
}

func (s *sim) emit(name string, data map[string]any) {
	if err := s.Emit(name, data); err != nil {
		s.t.Error(err)
	}
}

func (s *sim) enter(j *simJob, status qapi.JobStatus) {
	j.info.Status = status
	s.emit("JOB_STATUS_CHANGE", map[string]any{"id": j.info.ID, "status": status})
}

// blockEvent sends one of the older events.
func (s *sim) blockEvent(name string, j *simJob, more map[string]any) {
	if !j.block {
		return
	}
	data := map[string]any{
		"device": j.info.ID, "type": j.info.Type, "len": j.info.TotalProgress, "offset": j.info.CurrentProgress, "speed": 0,
	}
	for k, v := range more {
		data[k] = v
	}
	s.emit(name, data)
}

// fail makes a job abort.
func (s *sim) fail(j *simJob, why string) {
	s.enter(j, "aborting")
	j.info.Error = &why
	if j.wasCanceled {
		s.blockEvent("BLOCK_JOB_CANCELLED", j, nil)
	} else {
		s.blockEvent("BLOCK_JOB_COMPLETED", j, map[string]any{"error": why})
	}
	s.concluded(j)
}

// conclude makes a job succeed.
func (s *sim) conclude(j *simJob) {
	s.blockEvent("BLOCK_JOB_COMPLETED", j, nil)
	s.concluded(j)
}

func (s *sim) concluded(j *simJob) {
	s.enter(j, "concluded")
	if j.dismiss {
		s.remove(j)
	}
}

func (s *sim) remove(j *simJob) {
	s.enter(j, "null")
	s.list = slices.DeleteFunc(s.list, func(o *simJob) bool { return o == j })
}

// What a test makes happen.

// start returns a function for jobs.Start, which starts jobs by a command.
func (s *sim) start(c async.Caller, list ...simJob) func(context.Context) error {
	s.Handle("start", func(context.Context, *qmptest.Command) (any, error) {
		for _, j := range list {
			s.create(j)
		}
		return nil, nil
	})
	return func(ctx context.Context) error {
		_, err := async.Call[any](ctx, c, "start", nil)
		return err
	}
}

// backupJob is a block job that finalizes and dismisses itself.
func backupJob(id string) simJob {
	return simJob{info: qapi.JobInfo{ID: id, Type: "backup", TotalProgress: 100}, finalize: true, dismiss: true, block: true}
}

// createJob is a job that is not a block job.
func createJob(id string) simJob {
	return simJob{info: qapi.JobInfo{ID: id, Type: "create", TotalProgress: 1}, finalize: true}
}

// create makes a job that runs.
func (s *sim) create(j simJob) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(j.info.ID) != nil {
		s.t.Errorf("there is already a job %s", j.info.ID)
	}
	s.list = append(s.list, &j)
	s.enter(&j, "created")
	s.enter(&j, "running")
}

// do calls f with a job.
func (s *sim) do(id string, f func(j *simJob)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.find(id))
}

// finish makes a job end its work. It succeeds if why is "".
func (s *sim) finish(id, why string) {
	s.do(id, func(j *simJob) {
		if why != "" {
			s.fail(j, why)
			return
		}
		j.info.CurrentProgress = j.info.TotalProgress
		s.enter(j, "waiting")
		s.enter(j, "pending")
		if j.finalize {
			s.conclude(j)
		} else {
			s.emit("BLOCK_JOB_PENDING", map[string]any{"type": j.info.Type, "id": id})
		}
	})
}

// ready makes a job ready.
func (s *sim) ready(id string) {
	s.do(id, func(j *simJob) {
		j.info.CurrentProgress = j.info.TotalProgress
		s.enter(j, "ready")
		s.blockEvent("BLOCK_JOB_READY", j, nil)
	})
}

// forget removes a job without any event.
func (s *sim) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(o *simJob) bool { return o.info.ID == id })
}

// sync waits until the client has received everything that was emitted.
func (s *sim) sync(c *async.Client) {
	s.t.Helper()
	if _, err := c.Execute(s.t.Context(), "query-version", nil); err != nil {
		s.t.Fatal(err)
	}
}

// executed returns the commands that the sim was sent, without the negotiation and queries.
func (s *sim) executed() []string {
	var names []string
	for _, m := range s.Received() {
		switch m.Name {
		case "qmp_capabilities", "query-version", "query-jobs", "start":
		default:
			names = append(names, m.Name)
		}
	}
	return names
}

// started starts a job and follows it.
func (s *sim) started(c *async.Client, j simJob, opts *jobs.Options) *jobs.Job {
	s.t.Helper()
	job, err := jobs.Start(s.t.Context(), c, j.info.ID, s.start(c, j), opts)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(job.Close)
	return job
}

// exampleMachine starts a sim for an Example, with the job "running". Its backups end
// immediately, its mirrors when they are completed.
func exampleMachine() (context.Context, *async.Client, *sim) {
	server, err := qmptest.NewServer(&qmptest.Options{Network: qmptest.Memory})
	if err != nil {
		panic(err)
	}
	s := simulate(nil, server)
	running := backupJob("running")
	running.info.CurrentProgress = 25
	s.create(running)
	type args struct {
		JobID                     string
		AutoFinalize, AutoDismiss *bool
	}
	for name, run := range map[string]func(args){
		"blockdev-backup": func(a args) {
			j := backupJob(a.JobID)
			j.finalize, j.dismiss = a.AutoFinalize == nil || *a.AutoFinalize, a.AutoDismiss == nil || *a.AutoDismiss
			s.create(j)
			s.finish(a.JobID, "")
		},
		"blockdev-mirror": func(a args) {
			s.create(backupJob(a.JobID))
			s.ready(a.JobID)
		},
	} {
		s.Handle(name, func(_ context.Context, cmd *qmptest.Command) (any, error) {
			var a args
			if err := cmd.Decode(&a); err != nil {
				return nil, err
			}
			run(a)
			return nil, nil
		})
	}
	s.Handle("job-complete", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		var a struct{ ID string }
		if err := cmd.Decode(&a); err != nil {
			return nil, err
		}
		s.finish(a.ID, "")
		return nil, nil
	})
	ctx := context.Background()
	c := async.New(&async.Options{Dialer: s.Dial})
	if err := c.Connect(ctx, ""); err != nil {
		panic(err)
	}
	return ctx, c, s
}

// statuses returns the states without their times.
func statuses(states []jobs.State) (list []qapi.JobStatus) {
	for _, s := range states {
		list = append(list, s.Status)
	}
	return list
}
