package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/catalog"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/script"
)

// Run runs the program without the name of a command.
func (c *shellCommand) Run(ctx context.Context, a *app) error { return c.run(ctx, a, c.Address) }

// run executes the commands on a connection to address.
func (c *execution) run(ctx context.Context, a *app, address string) error {
	if c.forPerson(a) {
		if c.Timeout != 0 || c.KeepGoing {
			return wrong("--timeout and --keep-going are for commands of -c, a file or the standard input")
		}
		return c.interactive(ctx, a, address)
	}
	opts, err := c.options(a)
	if err != nil {
		return err
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.Timeout, &async.TimeoutError{Op: "the commands", Limit: c.Timeout, Option: "--timeout"})
		defer cancel()
	}
	steps, err := c.steps(ctx, a)
	if err != nil {
		return err
	}
	var run *script.Run
	s, err := a.open(ctx, address, func(client *async.Client) {
		if !a.grammar.Verbose { // QEMU's answer has 200 kB, which would be printed
			opts.Unknown = unknown(client)
		}
		run = script.New(client, opts)
	})
	if run != nil {
		defer run.Close()
	}
	if err != nil {
		return err
	}
	return errors.Join(run.Do(ctx, steps), s.close())
}

// unknown returns a function for [script.Options] that asks the server which commands it has.
// A server that does not answer delays the end of the program by at most 5 seconds.
func unknown(client *async.Client) func(ctx context.Context, name string) string {
	known := catalog.New(client)
	return func(ctx context.Context, name string) string {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return known.Unknown(ctx, name)
	}
}

// options returns the options of a script.
func (c *execution) options(a *app) (script.Options, error) {
	opts := script.Options{
		Printer: a.printer(), KeepGoing: c.KeepGoing, Refused: a.complain,
		Events: c.WaitEvent, Job: c.Job, Complete: c.Complete,
	}
	if c.Get != nil {
		path, err := output.ParsePath(*c.Get)
		if err != nil {
			return opts, &UsageError{err}
		}
		opts.Get = &path
	}
	for _, text := range c.Match {
		m, err := script.ParseMatch(text)
		if err != nil {
			return opts, &UsageError{err}
		}
		opts.Matches = append(opts.Matches, m)
	}
	switch {
	case len(c.Match) > 0 && len(c.WaitEvent) == 0:
		return opts, wrong("--match is for --wait-event")
	case c.Complete && c.Job == "":
		return opts, wrong("--complete is for --job")
	case c.Timeout < 0:
		return opts, wrong("--timeout must be more than 0")
	}
	if c.Job != "" && output.IsTerminal(a.stderr) {
		opts.Progress = a.progress(c.Job)
	}
	return opts, nil
}

// steps returns the commands. Those of -c and of a file are parsed first.
func (c *execution) steps(ctx context.Context, a *app) (iter.Seq2[script.Step, error], error) {
	switch {
	case len(c.Commands) > 0 && c.File != "":
		return nil, wrong("give commands with -c or in a file, and not both")
	case len(c.Commands) > 0:
		return parsed(script.Texts("-c", c.Commands, c.HMP))
	case c.File != "" && c.File != "-":
		f, err := os.Open(c.File)
		if err != nil {
			return nil, &UsageError{err}
		}
		defer f.Close()
		return parsed(script.Lines(f, c.File, c.HMP))
	case c.File == "" && (len(c.WaitEvent) > 0 || c.Job != ""):
		return func(func(script.Step, error) bool) {}, nil // it only waits
	}
	return script.Lines(&input{ctx: ctx, r: a.stdin}, "standard input", c.HMP), nil
}

// parsed reads all of steps before the first one is used. The error is the first of them.
func parsed(steps iter.Seq2[script.Step, error]) (iter.Seq2[script.Step, error], error) {
	var all []script.Step
	for s, err := range steps {
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return func(yield func(script.Step, error) bool) {
		for _, s := range all {
			if !yield(s, nil) {
				return
			}
		}
	}, nil
}

// printer returns the printer for results.
func (a *app) printer() *output.Printer {
	p := output.New(a.stdout, a.grammar.Pretty)
	p.Raw = a.grammar.Raw
	return p
}

// progress returns a function that shows the progress of a job on one line of a terminal.
func (a *app) progress(id string) func(jobs.Progress) {
	return func(p jobs.Progress) { io.WriteString(a.stderr, progressLine(id, p)) }
}

// progressLine returns the text that replaces the line of a terminal. At the job's end it
// clears the line.
func progressLine(id string, p jobs.Progress) string {
	const clear = "\r\x1b[K"
	if p.Status == "concluded" || p.Status == "null" || p.Total <= 0 {
		return clear
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s: %s, %.0f %%", clear, output.Text(id), p.Status, 100*p.Fraction())
	if p.Rate > 0 {
		fmt.Fprintf(&b, ", %.1f MiB/s", p.Rate/(1<<20))
	}
	if left, ok := p.ETA(); ok {
		fmt.Fprintf(&b, ", %s left", left.Round(time.Second))
	}
	return b.String()
}
