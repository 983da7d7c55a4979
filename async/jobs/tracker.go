package jobs

import (
	"bytes"
	"slices"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/qapi"
)

// eventNames has the events about jobs. JOB_STATUS_CHANGE announces each status. The
// others are of block jobs only, and have what JOB_STATUS_CHANGE lacks.
var eventNames = []string{
	"JOB_STATUS_CHANGE",
	"BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED", "BLOCK_JOB_ERROR", "BLOCK_JOB_READY", "BLOCK_JOB_PENDING",
}

// EventNames returns the names of all events about jobs, for a listener whose events
// go to a [Tracker].
func EventNames() []string { return slices.Clone(eventNames) }

// A Tracker puts together what events and replies to query-jobs say about one job. It
// does no I/O and has no goroutine. [Job] is built on it. Use a Tracker only if the
// program has a loop of its own that gets all events. Its methods must not be called
// concurrently.
//
// The id of a job can be used again after the job has ended. Until the first call of
// [Tracker.Query], the Tracker is about the newest job with the id: an event that says
// "created" makes it forget an earlier job. After that call it is about the job that it
// knows.
type Tracker struct {
	session uint64 // that of the last event; 0 if it had none
	info    Info
	past    history[State]
	bound   bool // the Tracker is about the job that it knows, and not about a newer one
	gap     bool // events may have been missed since the last Query
	gaps    int  // how many calls of Gap there have been
	sound   bool // no event was missed since the job was in a state that comes before its result

	concluded bool // the job is over: QEMU knows its result, and may have removed it
	gone      bool // the job does not exist any more
	aborted   bool // the job was aborting
	told      bool // the result is known: an event or a query has told it, or the job was not aborting before it was concluded
}

// NewTracker returns a Tracker for the job with that id.
func NewTracker(id string) *Tracker { return &Tracker{info: Info{ID: id}} }

// eventData has the members of all events about jobs.
type eventData struct {
	ID        string
	Device    string // the id in the older events, except BLOCK_JOB_PENDING
	Status    qapi.JobStatus
	Type      qapi.JobType
	Offset    *int64
	Len       *int64
	Error     *string
	Operation qapi.IOOperationType
	Action    qapi.BlockErrorAction
}

// eventOf returns the data of an event about the job with that id, or nil for other
// events, and for data that do not fit.
func eventOf(id string, ev async.Event) *eventData {
	// A program may follow many jobs, each of which looks at the events of all. So the
	// others are sorted out before they are decoded. An id may be written with escapes.
	if !bytes.Contains(ev.Data, []byte(id)) && bytes.IndexByte(ev.Data, '\\') < 0 {
		return nil
	}
	data := new(eventData)
	if !slices.Contains(eventNames, ev.Name) || ev.Decode(data) != nil || data.ID != id && data.Device != id {
		return nil
	}
	return data
}

// Event takes an event. It reports whether the event is about the job. Events have to
// be taken in the order in which they came. An event of another connection than the
// last one, by its Session, is also a [Tracker.Gap].
func (t *Tracker) Event(ev async.Event) bool {
	data := eventOf(t.info.ID, ev)
	if data == nil {
		return false
	}
	if ev.Session != t.session && t.session != 0 {
		t.Gap()
	}
	t.session = ev.Session
	if t.another(data.Type, data.Status) {
		if t.bound {
			t.end()
		} else {
			t.reset()
		}
	}
	if t.gone || data.Status == "" && ev.Name == "JOB_STATUS_CHANGE" {
		return false
	}
	if data.Type != "" {
		t.info.Type = data.Type
	}
	if data.Offset != nil && data.Len != nil {
		t.info.Current, t.info.Total = *data.Offset, *data.Len
	}
	switch ev.Name {
	case "JOB_STATUS_CHANGE":
		t.enter(data.Status, ev.Timestamp)
	case "BLOCK_JOB_COMPLETED":
		t.told = true
		t.fail(data.Error)
	case "BLOCK_JOB_CANCELLED":
		t.told, t.info.Canceled = true, true
	case "BLOCK_JOB_ERROR":
		t.info.IOError = &IOError{Operation: data.Operation, Action: data.Action, Time: ev.Timestamp}
	}
	return true
}

// canceled is QEMU's text for a job that was canceled, if nothing else tells that.
const canceled = "Operation canceled"

// fail notes why the job failed, if it did.
func (t *Tracker) fail(why *string) {
	switch {
	case why == nil:
	case *why == canceled:
		t.info.Canceled = true
	default:
		t.info.Error = *why
	}
}

// enter notes that the job is in a state. at is the zero time if a query told it.
func (t *Tracker) enter(status qapi.JobStatus, at time.Time) {
	t.info.Status = status
	t.past.add(State{Status: status, Time: at})
	t.sound = t.sound || undecided(status)
	switch status {
	case qapi.JobStatusRunning, qapi.JobStatusReady:
		t.info.IOError = nil
	case qapi.JobStatusAborting:
		t.aborted = true
	case qapi.JobStatusConcluded, qapi.JobStatusNull:
		t.concluded, t.gone = true, status == qapi.JobStatusNull
		t.told = t.told || t.sound && !t.aborted
	}
}

// another reports whether a type or a status cannot be that of the job that the Tracker
// knows. Then a newer job has its id. Both may be "".
func (t *Tracker) another(typ qapi.JobType, status qapi.JobStatus) bool {
	switch {
	case t.info.Type != "" && typ != "" && typ != t.info.Type:
		return true
	case status == qapi.JobStatusCreated && t.past.count > 0 && t.info.Status != qapi.JobStatusCreated:
		return true
	}
	return (t.aborted || t.concluded) && undecided(status)
}

// undecided reports whether a job in that state goes through "aborting" if it fails.
func undecided(status qapi.JobStatus) bool {
	switch status {
	case qapi.JobStatusCreated, qapi.JobStatusRunning, qapi.JobStatusPaused, qapi.JobStatusReady,
		qapi.JobStatusStandby, qapi.JobStatusWaiting, qapi.JobStatusPending:
		return true
	}
	return false
}

// Count returns a number for [Tracker.Query]. It grows with each state that the Tracker
// sees and with each [Tracker.Gap].
func (t *Tracker) Count() int { return t.past.count + t.gaps }

// Query takes the reply to query-jobs. Call [Tracker.Count] before the command is sent,
// give the Tracker all events and gaps that have come by the time of the reply, and then
// call Query with that count. If there were any, the reply may be older than they are.
// Query then takes from it only what cannot be outdated. It reports whether the job was
// in the reply, or has ended.
func (t *Tracker) Query(jobs []qapi.JobInfo, count int) bool {
	i := slices.IndexFunc(jobs, func(job qapi.JobInfo) bool { return job.ID == t.info.ID })
	current := t.Count() == count
	switch {
	case t.gone:
		t.bound = true
	case i < 0 && (!current || t.past.count == 0):
		return false // the events know more; or there is no such job
	case i < 0:
		t.bound = true
		t.end()
	case current && t.another(jobs[i].Type, jobs[i].Status) && t.bound:
		t.end()
	default:
		if current && t.another(jobs[i].Type, jobs[i].Status) {
			t.reset()
		}
		t.bound = true
		t.take(&jobs[i], current)
	}
	t.gap = t.gap && !current
	return true
}

// take takes what QEMU says about the job. If current, that is the present state.
func (t *Tracker) take(job *qapi.JobInfo, current bool) {
	if t.gone || !current && t.another(job.Type, job.Status) {
		return
	}
	t.info.Type = job.Type
	t.info.Current, t.info.Total = job.CurrentProgress, job.TotalProgress
	t.fail(job.Error)
	switch {
	case !current:
	case job.Status != t.info.Status:
		t.enter(job.Status, time.Time{})
	default:
		t.sound = t.sound || undecided(job.Status)
	}
	if job.Status == qapi.JobStatusConcluded {
		t.told = true
	}
}

// Gap notes that events may have been missed: a listener has dropped some, or the
// connection was lost. The next call should be one of [Tracker.Query].
func (t *Tracker) Gap() {
	t.gap, t.sound = true, false
	t.gaps++
}

// reset makes t forget an earlier job.
func (t *Tracker) reset() { *t = *NewTracker(t.info.ID) }

// end notes that the job does not exist any more, though no event said so.
func (t *Tracker) end() {
	t.gap, t.concluded, t.gone = false, true, true
}

// Info returns what is known of the job.
func (t *Tracker) Info() Info { return t.info }

// States returns the states that the job has entered, oldest first. It returns the
// last 1,000 of them.
func (t *Tracker) States() []State { return slices.Clone(t.past.states) }

// Concluded reports whether the job is over: it is concluded, or does not exist any
// more.
func (t *Tracker) Concluded() bool { return t.concluded }

// Ended reports whether the job does not exist any more.
func (t *Tracker) Ended() bool { return t.gone }

// Err returns nil if the job has succeeded, and also while it is not over. Otherwise it
// returns an [*Error], which matches [ErrGone] if the job has ended and it cannot be
// known how.
//
// If the job is concluded but still exists, a Query tells why it failed.
func (t *Tracker) Err() error {
	switch {
	case !t.concluded:
		return nil
	case t.info.Canceled || t.info.Error != "" || t.aborted:
		return &Error{Job: t.info}
	case t.told || !t.gone:
		return nil
	}
	return &Error{Job: t.info, Gone: true}
}
