// Package jobs follows jobs of QEMU to their end: backup, mirror, commit, stream, the
// creation of images, snapshots.
//
//	j, err := jobs.Start(ctx, c, "job0", func(ctx context.Context) error {
//		return qapi.BlockdevBackup(ctx, c, &qapi.BlockdevBackupOptions{
//			JobID: new("job0"), Device: "disk", Target: "copy", Sync: qapi.MirrorSyncModeFull,
//		})
//	}, nil)
//	if err != nil {
//		return err
//	}
//	defer j.Close()
//	return j.Wait(ctx) // nil, or why the job failed
//
// c is an [*async.Client]. [Start] makes a listener before it starts the job, and
// [Attach] asks QEMU for a job that runs already. From then on the job is known by its
// events, and QEMU is asked again only where events do not tell enough: why a job
// failed, whether it waits for a command, and what happened while events were lost.
//
// A job in QEMU has many states, and some of them it leaves only by a command. What is
// done then is the job's [Policy]. By default, a job that was started with
// auto-finalize or auto-dismiss false is finalized and dismissed, and a mirror that is
// ready is left so. [Complete] also completes that. With [Manual], the program executes
// all commands itself:
//
//	if _, err := j.WaitFor(ctx, qapi.JobStatusReady); err != nil {
//		return err
//	}
//	if err := j.Complete(ctx); err != nil {
//		return err
//	}
//	return j.Wait(ctx)
//
// [Job.States] and [Job.Watch] are loops over the states and over the progress of a job,
// with its rate and the time that is left. [Migration] is the same for migrations.
//
// # Lost connections
//
// If the client connects again by itself ([async.Reconnect]), a call that follows a job
// waits for the new connection, asks QEMU for the job, and goes on. So it does if the
// program itself has connected the client again. A command whose reply was lost is
// repeated only if the job still waits for it. If the job ended meanwhile, its result is
// known only if QEMU still has the job: start it with auto-dismiss false to be sure.
// If QEMU was restarted, or has removed the job, the error matches [ErrGone].
//
// Without [async.Reconnect], the end of the connection is the end of the call. The
// commands that the program executes itself, such as [Job.Cancel], do not wait for a
// connection, unless Wait in [async.Reconnect] is set.
//
// # Errors
//
//   - [*Error]: the job has failed, was canceled ([ErrCanceled]), or has ended and it
//     cannot be known how ([ErrGone]).
//   - [*NotFoundError]: there is no such job.
//   - [*WaitError]: the call has ended before the job. It says what the job waits for.
//   - [ErrEnded]: a command for a job that has ended. It was not sent.
//
// # Traps
//
//   - Close a Job when it is no longer needed. Until then its listener keeps events, at
//     most 200.
//   - A Job has no goroutine. The commands of its Policy are executed only while a call
//     of Wait, WaitFor, States or Watch runs.
//   - QEMU removes a job that dismisses itself at the moment in which it ends. Attach
//     does not find it after that, and nobody can tell how it ended. Start does not
//     have this problem.
//   - Use an id only once, at least while connections may be lost. If a job ends while
//     nobody receives its events, and another job with its id is started, they cannot
//     always be told apart.
//   - If a job is known only from a query, a job that was canceled cannot always be told
//     from one that failed: both are then told apart by QEMU's text "Operation
//     canceled".
package jobs
