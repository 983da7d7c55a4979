package pybridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/legacy"
)

// A failure is an error for the other program: the class of Python's exception, and
// what the exception has as attributes.
type failure struct {
	Class   string   `json:"class"`
	Message string   `json:"message"`             // the whole text of the Go error
	Errno   int      `json:"errno,omitempty"`     // OSError
	Retry   bool     `json:"temporary,omitempty"` // gaierror: whether a later lookup of the name can succeed
	Path    string   `json:"path,omitempty"`      // ConnectError: the address
	Stage   string   `json:"stage,omitempty"`     // ConnectError: "connection" or "session"
	State   string   `json:"state,omitempty"`     // StateError: the state of the object
	Needs   string   `json:"required,omitempty"`  // StateError: the state that the call needs
	Desc    string   `json:"desc,omitempty"`      // ServerParseError, NegotiationError: the server's words
	Name    string   `json:"name,omitempty"`      // the same errors: the server's class
	Sent    *bool    `json:"sent,omitempty"`      // ExecInterruptedError: whether a byte may have been sent
	Excerpt string   `json:"excerpt,omitempty"`   // the errors about a received message: how it begins, each character for a byte
	Cause   *failure `json:"cause,omitempty"`     // what the exception has as exc, or as its cause
}

// result returns the text that Bridge.Result returns.
func result(value []byte, err error) []byte {
	if err != nil {
		text, _ := json.Marshal(map[string]*failure{"error": describe(err)}) // strings and numbers always encode
		return text
	}
	if value == nil {
		value = []byte("null")
	}
	text := append([]byte(`{"value":`), value...)
	return append(text, '}')
}

// describe returns the failure for err.
func describe(err error) *failure {
	f := &failure{Class: "QMPError", Message: err.Error()}
	var broken async.ProtocolError
	if _, ok := errors.AsType[*async.TimeoutError](err); ok {
		f.Class = "TimeoutError"
		return f
	}
	switch e := outermost(err).(type) {
	case *async.StateError:
		f.Class, f.State, f.Needs = "StateError", stateName(e.State), stateName(e.Required)
		if e.Cause != nil {
			f.Cause = describe(e.Cause)
		}
	case *async.ConnectError:
		f.Class, f.Stage, f.Path, f.Cause = "ConnectError", string(e.Stage), e.Address, describe(e.Err)
		if f.Cause.Class == "QMPError" && e.Stage == async.StageConnection {
			f.Cause.Class = "OSError" // such as a path that is too long for a socket: nothing was sent or received
		}
	case *async.AddressError:
		f.Class, f.Stage = "ConnectError", string(async.StageConnection)
		f.Cause = &failure{Class: "ValueError", Message: err.Error()}
	case *async.ExecInterruptedError:
		f.Class, f.Sent = "ExecInterruptedError", &e.Sent
		if e.Err != nil {
			f.Cause = describe(e.Err)
		}
	case *async.GreetingError:
		f.Class, f.Cause = "GreetingError", describe(e.Err)
	case *async.NegotiationError:
		f.Class, f.Name, f.Desc = "NegotiationError", e.Class, e.Desc
		if e.Err != nil {
			f.Cause = describe(e.Err)
		}
	case *async.ServerParseError:
		f.Class, f.Name, f.Desc = "ServerParseError", e.Class, e.Desc
	case *async.InvalidIDError:
		f.Class = "ValueError"
	case *async.MessageError:
		if frame, ok := errors.AsType[*proto.FrameError](err); ok {
			f.Excerpt = characters(frame.Excerpt)
		}
		switch {
		case e.Command != "":
			f.Class = "RefusedError"
		case e.Reason == async.NotObject:
			f.Class = "UnexpectedTypeError"
		default:
			f.Class = "DeserializationError"
		}
	case *legacy.BadPortError:
		f.Class = "QMPBadPortError"
	case *net.DNSError:
		f.Class, f.Retry = "gaierror", e.Temporary() // a timeout, too
	case syscall.Errno:
		f.Class, f.Errno = "OSError", int(e)
	default:
		switch {
		case errors.Is(err, async.ErrClosed):
			f.Class = "ExecInterruptedError"
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			f.Class = "EOFError"
		case errors.As(err, &broken):
			f.Class = "ProtocolError"
		}
	}
	return f
}

// outermost returns the first error in err's tree that has a class of its own, or nil.
func outermost(err error) error {
	for _, find := range []func() (error, bool){
		func() (error, bool) { return as[*async.StateError](err) },
		func() (error, bool) { return as[*async.ConnectError](err) },
		func() (error, bool) { return as[*async.AddressError](err) },
		func() (error, bool) { return as[*async.ExecInterruptedError](err) },
		func() (error, bool) { return as[*async.GreetingError](err) },
		func() (error, bool) { return as[*async.NegotiationError](err) },
		func() (error, bool) { return as[*async.ServerParseError](err) },
		func() (error, bool) { return as[*async.InvalidIDError](err) },
		func() (error, bool) { return as[*async.MessageError](err) },
		func() (error, bool) { return as[*legacy.BadPortError](err) },
		func() (error, bool) { return as[*net.DNSError](err) },
		func() (error, bool) { return as[syscall.Errno](err) },
	} {
		if e, ok := find(); ok {
			return e
		}
	}
	return nil
}

func as[E error](err error) (error, bool) {
	e, ok := errors.AsType[E](err)
	return e, ok
}

// stateName returns the state's name in Python's Runstate.
func stateName(s async.Runstate) string {
	switch s {
	case async.Idle:
		return "IDLE"
	case async.Connecting:
		return "CONNECTING"
	case async.Running:
		return "RUNNING"
	case async.Disconnecting:
		return "DISCONNECTING"
	}
	return fmt.Sprint(s)
}
