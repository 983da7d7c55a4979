package faults

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/goqmp/qmp/async"
)

// outcome names the types and values that err matches by errors.As and errors.Is.
// The page shows these names.
func outcome(err error) string {
	if err == nil {
		return "no error"
	}
	var says []string
	add := func(is bool, what string) {
		if is {
			says = append(says, what)
		}
	}
	add(isA[*async.ConnectError](err), "ConnectError")
	add(isA[*async.StateError](err), "StateError")
	add(isA[*async.ExecuteError](err), "ExecuteError")
	if e, ok := errors.AsType[*async.ExecInterruptedError](err); ok {
		switch {
		case e.Command == "":
			says = append(says, "ExecInterruptedError")
		case e.Sent && !e.SafeToRetry():
			says = append(says, "ExecInterruptedError (sent)")
		case !e.Sent && e.SafeToRetry():
			says = append(says, "ExecInterruptedError (not sent)")
		default:
			says = append(says, "a contradiction")
		}
	}
	add(isA[*async.GreetingError](err), "GreetingError")
	add(isA[*async.NegotiationError](err), "NegotiationError")
	add(isA[*async.ServerParseError](err), "ServerParseError")
	add(isA[*async.BadReplyError](err), "BadReplyError")
	if e, ok := errors.AsType[*async.MessageError](err); ok {
		says = append(says, "MessageError ("+string(e.Reason)+")")
	}
	add(isA[*async.GaveUpError](err), "GaveUpError")
	add(isA[*async.InvalidIDError](err), "InvalidIDError")
	add(isA[*async.OverflowError](err), "OverflowError")
	for _, s := range sentinels {
		add(errors.Is(err, s.err), s.name)
	}
	if says == nil {
		return "another error"
	}
	return strings.Join(says, ", ")
}

// sentinels are the errors that outcome looks for by errors.Is. The TimeoutErrors
// of qmpsync and legacy match context.DeadlineExceeded.
var sentinels = []struct {
	err  error
	name string
}{
	{io.EOF, "io.EOF"},
	{io.ErrUnexpectedEOF, "io.ErrUnexpectedEOF"},
	{syscall.ECONNRESET, "ECONNRESET"},
	{syscall.EPIPE, "EPIPE"},
	{syscall.ECONNREFUSED, "ECONNREFUSED"},
	{os.ErrNotExist, "os.ErrNotExist"},
	{syscall.EACCES, "EACCES"},
	{syscall.EBADF, "EBADF"},
	{context.DeadlineExceeded, "context.DeadlineExceeded"},
	{async.ErrClosed, "ErrClosed"},
	{async.ErrNoOOB, "ErrNoOOB"},
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
