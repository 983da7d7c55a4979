// Package script executes commands for scripts: it prints one value for each, and waits for
// events and jobs without missing those that come early.
//
//	run := script.New(client, script.Options{Printer: p, Events: []string{"STOP"}})
//	defer run.Close()
//	// connect the client
//	err := run.Do(ctx, script.Texts("-c", []string{"stop"}, false))
package script

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
)

// Options says what a Run does.
type Options struct {
	Printer *output.Printer

	// Get is the part that is printed: of the event or the job if the Run waits for one, and
	// otherwise of each result. Nil is the whole value.
	Get *output.Path

	// KeepGoing executes the commands after one that the server has refused, too. Refused
	// is called for each, and the error of the first one is that of the Run.
	KeepGoing bool
	Refused   func(error)

	// Unknown returns what helps a person who gave a command that the server does not have,
	// such as "did you mean query-status?", or "". It is called after the server has refused
	// the command. Nil is never.
	Unknown func(ctx context.Context, name string) string

	// Events has the names of events: the Run waits for the first event with one of these
	// names for which all of Matches hold, and prints it.
	Events  []string
	Matches []Match

	// Job is the id of a job that the Run waits for, or "". It was started before, or one of
	// the commands starts it. With Complete it is completed when it is ready. Progress is
	// called from time to time; it may be nil.
	Job      string
	Complete bool
	Progress func(jobs.Progress)
}

// A Run is one execution of a script.
type Run struct {
	monitor jobs.Monitor
	opts    Options
	events  *async.EventListener // nil if the Run waits for no event
}

// New returns a Run. It listens for events from now on, so call it before m connects.
func New(m jobs.Monitor, opts Options) *Run {
	r := &Run{monitor: m, opts: opts}
	if len(opts.Events) > 0 {
		r.events = m.NewListener(&async.ListenerOptions{Filter: func(ev async.Event) bool {
			for _, m := range opts.Matches {
				if !m.Holds(ev) {
					return false
				}
			}
			return true
		}}, opts.Events...)
	}
	return r
}

// Close ends the listener.
func (r *Run) Close() {
	if r.events != nil {
		r.events.Close()
	}
}

// Do executes steps, prints their results, and then waits as Options says. The error is a
// *SyntaxError, one of package async or jobs, or that of the Printer's Writer.
func (r *Run) Do(ctx context.Context, steps iter.Seq2[Step, error]) error {
	job, err := r.execute(ctx, steps)
	if err != nil {
		return err
	}
	if job != nil {
		defer job.Close()
		if err := r.finish(ctx, job); err != nil {
			return err
		}
	}
	if r.events == nil {
		return nil
	}
	ev, err := r.events.Next(ctx)
	if err != nil {
		return err
	}
	return r.print(ev.Raw())
}

// execute executes steps, and returns the job that the Run waits for, or nil.
func (r *Run) execute(ctx context.Context, steps iter.Seq2[Step, error]) (*jobs.Job, error) {
	if r.opts.Job == "" {
		return nil, r.commands(ctx, steps)
	}
	var opts jobs.Options
	if r.opts.Complete {
		opts.Policy = jobs.Complete
	}
	job, err := jobs.Attach(ctx, r.monitor, r.opts.Job, &opts)
	if _, ok := errors.AsType[*jobs.NotFoundError](err); ok {
		return jobs.Start(ctx, r.monitor, r.opts.Job, func(ctx context.Context) error { return r.commands(ctx, steps) }, &opts)
	}
	if err != nil {
		return nil, err
	}
	if err := r.commands(ctx, steps); err != nil {
		job.Close()
		return nil, err
	}
	return job, nil
}

// commands executes steps and prints the results.
func (r *Run) commands(ctx context.Context, steps iter.Seq2[Step, error]) error {
	var first error
	for step, err := range steps {
		if err != nil {
			return errors.Join(first, err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := r.command(ctx, step)
		switch {
		case err == nil:
		case r.opts.KeepGoing && refused(err):
			r.opts.Refused(err)
			if first == nil {
				first = &RefusedError{err}
			}
		default:
			return err
		}
	}
	return first
}

// A RefusedError is the error of the first command that was refused, when the others were
// executed nevertheless. Options.Refused got it before.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// refused reports whether err concerns one command only.
func refused(err error) bool {
	_, execute := errors.AsType[*async.ExecuteError](err)
	_, human := errors.AsType[*async.HMPError](err)
	_, part := errors.AsType[*output.PathError](err)
	return execute || human || part
}

// command executes one step.
func (r *Run) command(ctx context.Context, step Step) error {
	waits := len(r.opts.Events) > 0 || r.opts.Job != ""
	value, err := r.value(ctx, step)
	if err == nil && !(waits && r.opts.Get != nil) {
		err = r.print(value)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", step.Where, err)
	refused, ok := errors.AsType[*async.ExecuteError](err)
	if !ok || refused.Class != "CommandNotFound" || step.Line != "" || r.opts.Unknown == nil {
		return err
	}
	if help := r.opts.Unknown(ctx, refused.Command); help != "" {
		err = fmt.Errorf("%w: %s", err, help)
	}
	return err
}

// value executes one step and returns its result: a JSON value, or what the human monitor
// printed.
func (r *Run) value(ctx context.Context, step Step) (any, error) {
	if step.Line != "" {
		text, err := async.HMP(ctx, r.monitor, step.Line)
		if err != nil {
			return nil, err
		}
		return text, nil
	}
	reply, err := r.monitor.Do(ctx, step.Command)
	if err != nil {
		return nil, err
	}
	value, err := reply.Value()
	if err != nil {
		return nil, err
	}
	return value, nil
}

// print prints a JSON value, or the part that is wanted of it, or a text.
func (r *Run) print(value any) error {
	p := r.opts.Printer
	switch v := value.(type) {
	case string:
		if p.Safe {
			v = output.Text(v)
		}
		if v != "" && v[len(v)-1] != '\n' {
			v += "\n"
		}
		_, err := p.W.Write([]byte(v))
		return err
	case json.RawMessage:
		if r.opts.Get != nil {
			var err error
			if v, err = r.opts.Get.Get(v); err != nil {
				return err
			}
		}
		return p.Print(v)
	}
	return fmt.Errorf("cannot print a %T", value)
}

// finish follows the job to its end and prints what is known of it.
func (r *Run) finish(ctx context.Context, job *jobs.Job) error {
	if r.opts.Progress != nil {
		for p, err := range job.Watch(ctx, 500*time.Millisecond) {
			if err != nil {
				break // Wait returns it
			}
			r.opts.Progress(p)
		}
	}
	if err := job.Wait(ctx); err != nil {
		return err
	}
	info := job.Info()
	value, err := json.Marshal(struct {
		ID      string `json:"id"`
		Type    string `json:"type"`
		Current int64  `json:"current-progress"`
		Total   int64  `json:"total-progress"`
	}{info.ID, string(info.Type), info.Current, info.Total})
	if err != nil {
		return err
	}
	return r.print(json.RawMessage(value))
}
