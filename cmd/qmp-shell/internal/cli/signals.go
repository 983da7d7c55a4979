package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// A SignalError says that a signal has told the program to end.
type SignalError struct{ Signal syscall.Signal }

func (e *SignalError) Error() string { return fmt.Sprintf("ended by signal %d", e.Signal) }

// Status returns the exit status that a shell gives a program that the signal has ended.
func (e *SignalError) Status() int { return 128 + int(e.Signal) }

// signals returns a context that ends when a signal tells the program to end. Its cause is
// a *SignalError then, and the next signal ends the program at once.
//
// A write to a pipe that nobody reads is an error then, and does not end the program
// before it has stopped its machine.
func signals(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	ending := make(chan os.Signal, 1)
	pipe := make(chan os.Signal, 1)
	signal.Notify(ending, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	signal.Notify(pipe, syscall.SIGPIPE)
	done := make(chan struct{})
	go func() {
		select {
		case s := <-ending:
			signal.Stop(ending)
			sig, _ := s.(syscall.Signal)
			cancel(&SignalError{sig})
		case <-done:
		}
	}()
	return ctx, func() {
		close(done)
		signal.Stop(ending)
		signal.Stop(pipe)
	}
}
