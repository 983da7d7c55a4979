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

// A SkippedError says that a test that was run as a program has skipped itself.
type SkippedError struct{ Reason string }

// Error says that, with the reason.
func (e *SkippedError) Error() string { return "skipped: " + e.Reason }

// RunProgram runs a test as a program does, without go test: what the test logs
// and how it fails is written to w. When it returns, what the test has started and
// made is gone, also if ctx ended meanwhile, which is what Ctrl-C should lead to.
//
// The error is nil if the test passed, and a [*SkippedError] if it was skipped. A
// panic of the test's is one of RunProgram.
func RunProgram(ctx context.Context, w io.Writer, name string, test func(TB)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &programTB{name: name, ctx: ctx, w: w}
	var panicked any
	// A goroutine of its own, since a failing test ends its goroutine.
	done := make(chan struct{})
	go func() {
		defer close(done)
		finished := false
		defer func() {
			if r := recover(); r != nil {
				panicked = r
			} else if !finished && !p.ended() {
				p.Errorf("the test has ended its goroutine")
			}
		}()
		test(p)
		finished = true
	}()
	<-done
	cancel() // as the context of a testing.TB, it ends before the cleanups
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

// A programTB is a TB without go test.
type programTB struct {
	name string
	ctx  context.Context

	mu       sync.Mutex // guards the fields below
	w        io.Writer
	failed   bool
	skipped  *SkippedError
	cleanups []func()
}

// Name returns the test's name.
func (p *programTB) Name() string { return p.name }

// Helper does nothing: a program's user is not interested in lines.
func (p *programTB) Helper() {}

// Context returns the context that ends when the test does.
func (p *programTB) Context() context.Context { return p.ctx }

// Cleanup has f called when the test is over, the last one first.
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

// ended reports whether the test has said that it ends.
func (p *programTB) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed || p.skipped != nil
}

// Logf writes a line.
func (p *programTB) Logf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// Errorf writes a line, and the test has failed.
func (p *programTB) Errorf(format string, args ...any) {
	p.mu.Lock()
	p.failed = true
	p.mu.Unlock()
	p.Logf(format, args...)
}

// Fatalf is Errorf, and ends the test.
func (p *programTB) Fatalf(format string, args ...any) {
	p.Errorf(format, args...)
	runtime.Goexit()
}

// Skipf ends the test, which has not failed.
func (p *programTB) Skipf(format string, args ...any) {
	p.mu.Lock()
	p.skipped = &SkippedError{Reason: fmt.Sprintf(format, args...)}
	p.mu.Unlock()
	runtime.Goexit()
}

// cleanUp calls the cleanups. One that fails the test fatally does not keep the
// others from being called.
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
