package notices

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/qapi"
)

// A job is a job of QEMU.
type job struct {
	tracker *jobs.Tracker
	meter   meter
	rate    float64
	last    qapi.JobStatus // the status at the last look
	shown   qapi.JobStatus // the last status that a notice was about
	told    bool           // a notice has told the result
	ioError bool           // a notice has told the I/O error that stops it
}

// jobEvent takes an event about a job.
func (b *Board) jobEvent(ev async.Event) []Notice {
	id := jobOf(ev)
	if id == "" {
		return nil
	}
	b.wish |= Jobs
	i := slices.IndexFunc(b.jobs, func(j *job) bool { return j.tracker.Info().ID == id })
	if i < 0 {
		if ev.Name != "JOB_STATUS_CHANGE" {
			return nil // QEMU is asked, and then the job is known if it still exists
		}
		b.jobs = append(b.jobs, &job{tracker: jobs.NewTracker(id)})
		i = len(b.jobs) - 1
	}
	j := b.jobs[i]
	j.tracker.Event(ev)
	notices := j.notices(false)
	b.sweep()
	return notices
}

// jobOf returns the id of the job that an event is about.
func jobOf(ev async.Event) string {
	var data struct {
		ID     string `json:"id"`
		Device string `json:"device"`
	}
	if json.Unmarshal(ev.Data, &data) != nil {
		return ""
	}
	return cmp.Or(data.ID, data.Device)
}

// A Question is the time at which query-jobs and query-migrate are sent.
type Question struct {
	counts map[string]int // of each job's events
	begun  int            // as in migration
}

// Ask returns the Question for [Board.SetJobs] and [Board.SetMigration]. Call it before
// QEMU is asked.
func (b *Board) Ask() Question {
	q := Question{counts: make(map[string]int), begun: b.migration.begun}
	for _, j := range b.jobs {
		q.counts[j.tracker.Info().ID] = j.tracker.Count()
	}
	return q
}

// SetJobs takes the reply to query-jobs, which came at that time. All events that came
// before the reply must have been taken.
func (b *Board) SetJobs(q Question, reply []qapi.JobInfo, at time.Time) []Notice {
	for _, info := range reply {
		if !slices.ContainsFunc(b.jobs, func(j *job) bool { return j.tracker.Info().ID == info.ID }) {
			b.jobs = append(b.jobs, &job{tracker: jobs.NewTracker(info.ID)})
		}
	}
	var notices []Notice
	for _, j := range b.jobs {
		count, asked := q.counts[j.tracker.Info().ID]
		if !asked {
			count = j.tracker.Count()
		}
		found := j.tracker.Query(reply, count)
		info := j.tracker.Info()
		switch info.Status {
		case qapi.JobStatusRunning, qapi.JobStatusReady:
			j.rate = j.meter.add(at, info.Current)
		default:
			j.meter, j.rate = meter{}, 0
		}
		notices = append(notices, j.notices(found)...)
	}
	b.sweep()
	return notices
}

// sweep forgets the jobs that do not exist any more.
func (b *Board) sweep() {
	b.jobs = slices.DeleteFunc(b.jobs, func(j *job) bool { return j.tracker.Ended() })
}

// notices returns what is new about the job and worth a notice. asked says that QEMU was
// asked, so that the reason of a failure is known.
func (j *job) notices(asked bool) []Notice {
	info := j.tracker.Info()
	name := jobName(info)
	before := j.last
	j.last = info.Status
	switch {
	case j.told:
		return nil
	case j.tracker.Ended() && before == qapi.JobStatusCreated:
		j.told = true // it never ran: QEMU has refused the command, and the error says why
		return nil
	case j.tracker.Ended(), j.tracker.Concluded() && asked:
		j.told = true
		text, bad := result(name, j.tracker.Err())
		if !j.tracker.Ended() {
			text += "; job-dismiss removes it"
		}
		return []Notice{{text, bad}}
	case info.IOError != nil && !j.ioError:
		j.ioError = true
		return []Notice{{name + " has a " + string(info.IOError.Operation) + " error; its action is " + string(info.IOError.Action), true}}
	case info.Status == j.shown:
		return nil
	case info.Status == qapi.JobStatusPending && !asked:
		return nil // most jobs finalize themselves at once; QEMU is asked whether this one waits
	}
	j.shown = info.Status
	if info.IOError == nil {
		j.ioError = false
	}
	switch info.Status {
	case qapi.JobStatusReady:
		return []Notice{{name + " is ready; job-complete ends it", false}}
	case qapi.JobStatusPending:
		return []Notice{{name + " waits for job-finalize", false}}
	}
	return nil
}

// result returns how a job has ended.
func result(name string, err error) (text string, bad bool) {
	var failed *jobs.Error
	switch {
	case err == nil:
		return name + " is done", false
	case errors.Is(err, jobs.ErrCanceled):
		return name + " was canceled", false
	case errors.Is(err, jobs.ErrGone):
		return name + " has ended; how is not known", false
	case errors.As(err, &failed) && failed.Job.Error != "":
		return name + " has failed: " + failed.Job.Error, true
	}
	return name + " has failed", true
}

// jobName returns how a notice calls a job.
func jobName(info jobs.Info) string {
	if info.Type == "" {
		return "job " + info.ID
	}
	return "job " + info.ID + " (" + string(info.Type) + ")"
}
