package iotests

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
)

// A SkippedError says that a test that [RunProgram] has run was skipped.
type SkippedError struct {
	Reason string // as the test gave it
}

// Error returns "skipped: " and the reason.
func (e *SkippedError) Error() string { return "skipped: " + e.Reason }

// RunProgram runs a test in a program that is not a test program of go test. It writes
// to w what the test logs and how it fails. name is the test's name. When RunProgram
// returns, the processes that the test has started have ended, and its files are
// removed.
//
// If ctx ends, the test's waits end and fail it, and RunProgram cleans up as usual. A
// program should therefore cancel ctx at Ctrl-C, as signal.NotifyContext does. If ctx
// was canceled, recordings are kept only where Options.OutputDir says so.
//
// RunProgram returns nil if the test passed, and a [*SkippedError] if it was skipped. If
// the test panics, RunProgram cleans up and then panics with the same value. Any number
// of goroutines may call RunProgram at once, each with its own w.
func RunProgram(ctx context.Context, w io.Writer, name string, test func(TB)) error {
	caller := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &programTB{name: name, ctx: ctx, w: w}
	var panicked any
	// The test gets its own goroutine, since a test that fails ends its goroutine.
	done := make(chan struct{})
	go func() {
		defer close(done)
		finished := false
		defer func() {
			if r := recover(); r != nil {
				panicked = r
				p.mu.Lock()
				p.failed = true // for the cleanups, which keep what explains a failure
				p.mu.Unlock()
			} else if !finished && !p.ended() {
				p.Errorf("the test has ended its goroutine, but did not fail or skip")
			}
		}()
		test(p)
		finished = true
	}()
	<-done
	p.interrupted = errors.Is(caller.Err(), context.Canceled)
	cancel() // the context of a testing.TB also ends before the cleanups run
	p.cleanUp()
	if panicked != nil {
		panic(panicked)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.failed:
		return errors.New(name + " failed")
	case p.skipped != nil:
		return p.skipped
	}
	return nil
}

// A programTB is the TB of a test that RunProgram runs.
type programTB struct {
	name string
	ctx  context.Context

	interrupted bool // the caller canceled its context during the test; set before the cleanups run

	mu       sync.Mutex // guards the fields below
	w        io.Writer
	failed   bool
	skipped  *SkippedError
	cleanups []func()
}

// Name returns the test's name.
func (p *programTB) Name() string { return p.name }

// Helper does nothing, since Logf does not print line numbers.
func (p *programTB) Helper() {}

// Context returns a context that ends when the test ends, before the cleanups run.
func (p *programTB) Context() context.Context { return p.ctx }

// Cleanup registers f to be called when the test has ended, the last one first.
func (p *programTB) Cleanup(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleanups = append(p.cleanups, f)
}

// Failed reports whether the test has failed.
func (p *programTB) Failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// ended reports whether the test has failed or was skipped.
func (p *programTB) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed || p.skipped != nil
}

// Logf writes a line to w.
func (p *programTB) Logf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// Errorf writes a line to w, and marks the test as failed.
func (p *programTB) Errorf(format string, args ...any) {
	p.mu.Lock()
	p.failed = true
	p.mu.Unlock()
	p.Logf(format, args...)
}

// Fatalf does what Errorf does, and ends the test's goroutine.
func (p *programTB) Fatalf(format string, args ...any) {
	p.Errorf(format, args...)
	runtime.Goexit()
}

// Skipf marks the test as skipped, and ends its goroutine.
func (p *programTB) Skipf(format string, args ...any) {
	p.mu.Lock()
	p.skipped = &SkippedError{Reason: fmt.Sprintf(format, args...)}
	p.mu.Unlock()
	runtime.Goexit()
}

// cleanUp calls the cleanups, each in its own goroutine: a cleanup that calls Fatalf ends
// only that one, so the others are still called.
func (p *programTB) cleanUp() {
	for {
		p.mu.Lock()
		n := len(p.cleanups)
		if n == 0 {
			p.mu.Unlock()
			return
		}
		f := p.cleanups[n-1]
		p.cleanups = slices.Delete(p.cleanups, n-1, n)
		p.mu.Unlock()
		done := make(chan struct{})
		go func() {
			defer close(done)
			f()
		}()
		<-done
	}
}
