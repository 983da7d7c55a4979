package jobs

import (
	"context"

	"github.com/goqmp/qmp/qapi"
)

// Cancel cancels the job (job-cancel). The job gives up its work, and [Job.Wait] returns an error
// that matches [ErrCanceled]. That is so for a mirror that is ready, too: to end it
// with a complete copy and without switching to it, use [qapi.BlockJobCancel] with
// Force false, and then Wait.
//
// Cancel does not wait for the job's end. Like all methods here that execute a command, it returns
// [ErrEnded] if the job is known to have ended, since a newer job may have its id now.
// Other errors are those of the command.
func (j *Job) Cancel(ctx context.Context) error { return j.command(ctx, qapi.JobVerbCancel) }

// Complete makes a job that is ready do its last step (job-complete): a mirror switches
// to its target, the commit of an active layer to its base. It does not wait for the
// job's end. If the job is not ready, the error is an [*async.ExecuteError].
func (j *Job) Complete(ctx context.Context) error { return j.command(ctx, qapi.JobVerbComplete) }

// Pause makes the job pause (job-pause). The job first finishes the requests that are
// under way. Then it is in the state paused, or standby if it was ready: see
// [Job.WaitFor].
func (j *Job) Pause(ctx context.Context) error { return j.command(ctx, qapi.JobVerbPause) }

// Resume makes a job go on that Pause or an I/O error has stopped (job-resume).
func (j *Job) Resume(ctx context.Context) error { return j.command(ctx, qapi.JobVerbResume) }

// Finalize makes a job that is pending make its changes (job-finalize).
func (j *Job) Finalize(ctx context.Context) error { return j.command(ctx, qapi.JobVerbFinalize) }

// Dismiss makes QEMU forget a job that is concluded (job-dismiss). It first asks QEMU
// for the job's result, which [Job.Wait] returns also after that.
func (j *Job) Dismiss(ctx context.Context) error {
	if _, _, err := j.learn(ctx); err != nil {
		return err
	}
	return j.command(ctx, qapi.JobVerbDismiss)
}

func (j *Job) command(ctx context.Context, verb qapi.JobVerb) error {
	j.mu.Lock()
	ended := j.tracker.gone
	j.mu.Unlock()
	if ended {
		return ErrEnded
	}
	return execute(ctx, j.monitor, verb, j.id)
}
