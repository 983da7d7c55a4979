package jobs

import (
	"context"
	"fmt"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/qapi"
)

// A Policy decides what is done with a job that may wait for a command: it is ready,
// pending or concluded, or an I/O error has stopped it (see [Info].IOError). The Policy
// returns the command, such as [qapi.JobVerbFinalize], or "" to leave the job as it is.
//
// It is called once for each time that the job comes to such a state, and once more if
// the connection was lost before QEMU has answered its command. The call of [Job.Wait],
// [Job.WaitFor], [Job.States] or [Job.Watch] that follows the job at that moment calls
// it, in its goroutine and with its context. It may do anything before it returns,
// such as freezing a guest before the job is finalized. If it returns an error, that
// call returns the error in a [*WaitError], and the next call asks the Policy again.
//
// If QEMU refuses the command and the job is still in that state, the call that
// follows the job returns the refusal in a [*WaitError].
type Policy func(ctx context.Context, job Info) (qapi.JobVerb, error)

// Auto is the default [Policy]. It finalizes a job that is pending and dismisses a job
// that is concluded. It leaves a job that is ready, or that an I/O error has stopped.
func Auto(_ context.Context, job Info) (qapi.JobVerb, error) {
	switch job.Status {
	case qapi.JobStatusPending:
		return qapi.JobVerbFinalize, nil
	case qapi.JobStatusConcluded:
		return qapi.JobVerbDismiss, nil
	}
	return "", nil
}

// Complete is [Auto], and also completes a job that is ready, such as a mirror.
func Complete(ctx context.Context, job Info) (qapi.JobVerb, error) {
	if job.Status == qapi.JobStatusReady {
		return qapi.JobVerbComplete, nil
	}
	return Auto(ctx, job)
}

// Manual is the [Policy] that leaves the job in every state. The program executes the
// commands itself, with the methods of [Job].
func Manual(context.Context, Info) (qapi.JobVerb, error) { return "", nil }

// execute executes the command of a verb for a job.
func execute(ctx context.Context, c async.Caller, verb qapi.JobVerb, id string) error {
	switch verb {
	case qapi.JobVerbCancel:
		return qapi.JobCancel(ctx, c, &qapi.JobCancelArguments{ID: id})
	case qapi.JobVerbPause:
		return qapi.JobPause(ctx, c, &qapi.JobPauseArguments{ID: id})
	case qapi.JobVerbResume:
		return qapi.JobResume(ctx, c, &qapi.JobResumeArguments{ID: id})
	case qapi.JobVerbComplete:
		return qapi.JobComplete(ctx, c, &qapi.JobCompleteArguments{ID: id})
	case qapi.JobVerbFinalize:
		return qapi.JobFinalize(ctx, c, &qapi.JobFinalizeArguments{ID: id})
	case qapi.JobVerbDismiss:
		return qapi.JobDismiss(ctx, c, &qapi.JobDismissArguments{ID: id})
	}
	return fmt.Errorf("the policy returned %q, which is not a command for a job (cancel, pause, resume, complete, finalize, dismiss)", verb)
}
