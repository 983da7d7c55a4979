package main

import (
	"context"
	"sync"

	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/qapi"
)

// simulated is a storage daemon for computers without one. It accepts the commands of
// this program, and has no data.
type simulated struct {
	*qmptest.Server

	mu      sync.Mutex // guards the fields below
	jobs    []qapi.JobInfo
	exports []qapi.BlockExportInfo
}

func newSimulated() (*simulated, error) {
	server, err := qmptest.NewServer(nil)
	if err != nil {
		return nil, err
	}
	s := &simulated{Server: server}
	for _, name := range []string{"blockdev-add", "blockdev-del", "blockdev-snapshot", "nbd-server-start"} {
		s.Handle(name, func(context.Context, *qmptest.Command) (any, error) { return nil, nil })
	}
	for name, kind := range map[string]qapi.JobType{
		"blockdev-create": qapi.JobTypeCreate, "blockdev-backup": qapi.JobTypeBackup,
		"block-stream": qapi.JobTypeStream, "blockdev-mirror": qapi.JobTypeMirror,
	} {
		s.Handle(name, func(_ context.Context, cmd *qmptest.Command) (any, error) {
			var args struct{ JobID string }
			if err := cmd.Decode(&args); err != nil {
				return nil, err
			}
			return nil, s.startJob(args.JobID, kind)
		})
	}
	s.Handle("transaction", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		var args qapi.TransactionArguments
		if err := cmd.Decode(&args); err != nil {
			return nil, err
		}
		for _, action := range args.Actions {
			if backup := action.BlockdevBackup; backup != nil {
				return nil, s.startJob(*backup.Data.JobID, qapi.JobTypeBackup)
			}
		}
		return nil, nil
	})
	s.Handle("query-jobs", func(context.Context, *qmptest.Command) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return append([]qapi.JobInfo{}, s.jobs...), nil
	})
	s.Handle("job-dismiss", func(_ context.Context, cmd *qmptest.Command) (any, error) { return nil, s.dismiss(cmd) })
	s.Handle("block-export-add", func(_ context.Context, cmd *qmptest.Command) (any, error) { return nil, s.export(cmd) })
	s.Handle("query-block-exports", func(context.Context, *qmptest.Command) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return append([]qapi.BlockExportInfo{}, s.exports...), nil
	})
	return s, nil
}

// startJob makes a job that has ended when the command is answered.
func (s *simulated) startJob(id string, kind qapi.JobType) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs = append(s.jobs, qapi.JobInfo{ID: id, Type: kind, Status: qapi.JobStatusConcluded})
	return s.tell(id, qapi.JobStatusCreated, qapi.JobStatusRunning, qapi.JobStatusConcluded)
}

// tell sends the events of a job that goes through these states.
func (s *simulated) tell(id string, states ...qapi.JobStatus) error {
	for _, state := range states {
		if err := s.Emit("JOB_STATUS_CHANGE", qapi.JobStatusChangeEvent{ID: id, Status: state}); err != nil {
			return err
		}
	}
	return nil
}

func (s *simulated) dismiss(cmd *qmptest.Command) error {
	var args qapi.JobDismissArguments
	if err := cmd.Decode(&args); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, job := range s.jobs {
		if job.ID == args.ID {
			s.jobs = append(s.jobs[:i], s.jobs[i+1:]...)
			return s.tell(job.ID, qapi.JobStatusNull)
		}
	}
	return &qmptest.Error{Class: "GenericError", Desc: "Job not found"}
}

func (s *simulated) export(cmd *qmptest.Command) error {
	var info qapi.BlockExportInfo
	if err := cmd.Decode(&info); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exports = append(s.exports, info)
	return nil
}
