package transcripts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/goqmp/qmp/async"
)

// check returns nil if err corresponds to the exception r. classes has the checks of
// classes that only the suite knows.
func (r *Raises) check(err error, classes map[string]func(*Raises, error) error) error {
	if err == nil {
		return fmt.Errorf("no error, want %s", r)
	}
	for c := r; c != nil; c = c.Cause {
		if mismatch := c.class(err, c == r, classes); mismatch != nil {
			return fmt.Errorf("error %v (%T): %w, want %s", err, err, mismatch, r)
		}
		if c.Class == "GreetingError" || c.Class == "NegotiationError" {
			if c.Cause != nil && !isProtocol[c.Cause.Class] {
				break // a detail of the Python code
			}
		}
	}
	return nil
}

// isProtocol has the classes of errors about broken messages. If one of them is the
// cause of an error of the handshake, this library's error has to have it, too.
var isProtocol = map[string]bool{"DeserializationError": true, "UnexpectedTypeError": true}

func (r *Raises) String() string {
	s := r.Class
	for _, detail := range []string{r.ErrorMessage, r.Reason, r.ErrorClass, r.Desc, r.State, r.Required} {
		if detail != "" {
			s += fmt.Sprintf(" %q", detail)
		}
	}
	if s == r.Class && r.Message != "" {
		s += fmt.Sprintf(" %q", shorten(r.Message))
	}
	if r.Cause != nil {
		s += " because of " + r.Cause.String()
	}
	return s
}

// is returns the T in err's tree, or an error if there is none.
func is[T error](err error) (T, error) {
	var e T
	if errors.As(err, &e) {
		return e, nil
	}
	return e, fmt.Errorf("does not contain a %T", e)
}

// matches returns an error if err does not match every one of targets.
func matches(err error, targets ...error) error {
	for _, target := range targets {
		if !errors.Is(err, target) {
			return fmt.Errorf("does not match %q", target)
		}
	}
	return nil
}

var errno = regexp.MustCompile(`^\[Errno (\d+)\]`)

// linux has the error numbers of Linux, where the transcripts were recorded.
var linux = map[string]error{
	"2": syscall.ENOENT, "9": syscall.EBADF, "13": syscall.EACCES, "17": syscall.EEXIST,
	"20": syscall.ENOTDIR, "21": syscall.EISDIR, "22": syscall.EINVAL, "32": syscall.EPIPE,
	"36": syscall.ENAMETOOLONG, "88": syscall.ENOTSOCK, "97": syscall.EAFNOSUPPORT,
	"98": syscall.EADDRINUSE, "99": syscall.EADDRNOTAVAIL, "101": syscall.ENETUNREACH,
	"103": syscall.ECONNABORTED, "104": syscall.ECONNRESET, "107": syscall.ENOTCONN,
	"110": syscall.ETIMEDOUT, "111": syscall.ECONNREFUSED, "113": syscall.EHOSTUNREACH,
}

// class returns nil if err's tree has the counterpart of r. outermost says that r is
// the exception itself, and not the cause of another one. Then err must not be a
// more specific error than r.
func (r *Raises) class(err error, outermost bool, classes map[string]func(*Raises, error) error) error {
	if f := classes[r.Class]; f != nil {
		return f(r, err)
	}
	switch r.Class {
	case "ConnectError":
		e, mismatch := is[*async.ConnectError](err)
		if mismatch == nil && r.ErrorMessage != "" && r.ErrorMessage != "Failed to establish "+string(e.Stage) {
			return fmt.Errorf("its stage is %q", e.Stage)
		}
		return mismatch
	case "StateError":
		e, mismatch := is[*async.StateError](err)
		if mismatch == nil && (e.State.String() != r.State || e.Required.String() != r.Required) {
			return fmt.Errorf("it names %v and %v", e.State, e.Required)
		}
		return mismatch
	case "ExecuteError":
		e, mismatch := is[*async.ExecuteError](err)
		if mismatch == nil && (e.Class != replaced(r.ErrorClass) || e.Desc != replaced(r.Desc)) {
			return fmt.Errorf("it holds %q and %q", e.Class, e.Desc)
		}
		return mismatch
	case "ExecInterruptedError":
		_, mismatch := is[*async.ExecInterruptedError](err)
		if mismatch == nil && outermost && r.Cause == nil && errors.Is(err, os.ErrDeadlineExceeded) {
			return errors.New("it is about a time limit")
		}
		return mismatch
	case "GreetingError":
		_, mismatch := is[*async.GreetingError](err)
		return mismatch
	case "NegotiationError":
		e, mismatch := is[*async.NegotiationError](err)
		if mismatch == nil && (e.Class != r.ErrorClass || e.Desc != r.Desc) && r.ErrorClass != "" {
			return fmt.Errorf("it holds %q and %q", e.Class, e.Desc)
		}
		return mismatch
	case "ServerParseError":
		e, mismatch := is[*async.ServerParseError](err)
		if mismatch == nil && r.Desc != "" && e.Desc != r.Desc {
			return fmt.Errorf("it holds %q", e.Desc)
		}
		return mismatch
	case "BadReplyError":
		_, mismatch := is[*async.BadReplyError](err)
		return mismatch
	case "InvalidIDError":
		_, mismatch := is[*async.InvalidIDError](err)
		return mismatch
	case "MessageError": // only this library has it, so the table names its reason
		e, mismatch := is[*async.MessageError](err)
		if mismatch == nil && r.Reason != "" && string(e.Reason) != r.Reason {
			return fmt.Errorf("its reason is %q", e.Reason)
		}
		if mismatch == nil && !strings.Contains(err.Error(), r.Message) {
			return fmt.Errorf("its text does not have %q", r.Message)
		}
		return mismatch
	case "DeserializationError":
		return reason(err, async.NotJSON, async.Truncated)
	case "UnexpectedTypeError":
		return reason(err, async.NotObject)
	case "TimeoutError":
		return matches(err, os.ErrDeadlineExceeded, context.DeadlineExceeded)
	case "EOFError":
		return matches(err, io.EOF)
	case "QMPError": // raised by itself only where descriptors cannot be sent
		return reason(err, async.Refused)
	case "TypeError", "ValueError":
		switch {
		case strings.HasPrefix(r.Message, "ID ("):
			_, mismatch := is[*async.InvalidIDError](err)
			return mismatch
		case r.Message == "$line-too-long":
			return reason(err, async.TooLarge)
		case strings.HasPrefix(r.Message, "server argument"), !outermost:
			return nil // an untyped error in Go, or a detail of the Python code
		}
	case "KeyError", "AssertionError", "JSONDecodeError":
		if !outermost {
			return nil
		}
	case "gaierror":
		_, mismatch := is[*net.DNSError](err)
		return mismatch
	case "OSError", "ConnectionRefusedError", "ConnectionResetError", "BrokenPipeError", "FileNotFoundError", "PermissionError",
		"FileExistsError", "IsADirectoryError", "NotADirectoryError", "ConnectionAbortedError":
		m := errno.FindStringSubmatch(r.Message)
		if m == nil {
			return nil // the message has no error number
		}
		e, ok := linux[m[1]]
		if !ok {
			return fmt.Errorf("errno %s of Linux has no name here", m[1])
		}
		return matches(err, e)
	}
	return fmt.Errorf("%s has no counterpart", r.Class)
}

// reason returns nil if err is a MessageError with one of the reasons.
func reason(err error, reasons ...async.Reason) error {
	e, mismatch := is[*async.MessageError](err)
	if mismatch != nil {
		return mismatch
	}
	for _, r := range reasons {
		if e.Reason == r {
			return nil
		}
	}
	return fmt.Errorf("its reason is %q", e.Reason)
}
