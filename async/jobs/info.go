package jobs

import (
	"fmt"
	"strings"
	"time"

	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/qapi"
)

// Info is what is known of a job: what QEMU last said in a reply to query-jobs and in
// events.
type Info struct {
	ID     string
	Type   qapi.JobType   // "" until QEMU has told it
	Status qapi.JobStatus // a status that package qapi does not know is kept

	// Current and Total are the job's progress. The unit is the job's own: bytes for
	// backup, mirror, commit and stream. Total may change while the job runs, and is
	// 0 until the job has set it. They may be older than Status, as events about a
	// status have no progress.
	Current, Total int64

	Error    string   // why the job failed; "" if it did not, or if that is not known
	Canceled bool     // the job was canceled
	IOError  *IOError // the newest I/O error; nil if there was none, or if the job has run or has been ready since
}

// An IOError is an I/O error of a block job (the event BLOCK_JOB_ERROR).
type IOError struct {
	Operation qapi.IOOperationType  // read or write
	Action    qapi.BlockErrorAction // what the job did about it; after "stop" it is paused until it is resumed
	Time      time.Time             // by QEMU's clock
}

// A State is a status that a job has entered.
type State struct {
	Status qapi.JobStatus
	Time   time.Time // by QEMU's clock; the zero time if a query has told the status, and not an event
}

// atRest reports whether the job may wait for a command now: it is ready, pending or
// concluded, or an I/O error has stopped it.
func (i *Info) atRest() bool {
	switch i.Status {
	case qapi.JobStatusReady, qapi.JobStatusPending, qapi.JobStatusConcluded:
		return true
	case qapi.JobStatusPaused, qapi.JobStatusStandby:
		return i.stopped()
	}
	return false
}

// stopped reports whether the newest I/O error has stopped the job.
func (i *Info) stopped() bool {
	return i.IOError != nil && i.IOError.Action == qapi.BlockErrorActionStop
}

// name names the job in errors: `job0 (backup)`.
func (i *Info) name() string {
	if i.Type == "" {
		return harmless.Line(i.ID)
	}
	return harmless.Line(fmt.Sprintf("%s (%s)", i.ID, i.Type))
}

// situation says in which state the job is and what it waits for.
func (i *Info) situation() string {
	var b strings.Builder
	switch {
	case i.Status == "":
		return "nothing is known of it"
	case i.Status == qapi.JobStatusNull:
		return "it has ended"
	}
	fmt.Fprintf(&b, "it is %s", harmless.Line(string(i.Status)))
	if i.Total > 0 {
		fmt.Fprintf(&b, " at %d of %d", i.Current, i.Total)
	}
	switch i.Status {
	case qapi.JobStatusReady:
		b.WriteString(", and waits for job-complete or job-cancel")
	case qapi.JobStatusPending:
		b.WriteString(", and waits for job-finalize or job-cancel")
	case qapi.JobStatusConcluded:
		b.WriteString(", and waits for job-dismiss")
	case qapi.JobStatusPaused, qapi.JobStatusStandby:
		if i.stopped() {
			fmt.Fprintf(&b, " after an I/O error (%s)", harmless.Line(string(i.IOError.Operation)))
		}
		b.WriteString(", and waits for job-resume")
	case qapi.JobStatusWaiting:
		b.WriteString(", and waits for the other jobs of its transaction")
	}
	return b.String()
}
