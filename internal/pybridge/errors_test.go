package pybridge

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/legacy"
)

// TestDescribe has one error of each class, as the callers of package legacy get it.
func TestDescribe(t *testing.T) {
	late := &async.TimeoutError{Op: "command", Limit: time.Second}
	for _, tt := range []struct {
		err   error
		class string
		cause string // the class of the cause, or ""
	}{
		{late, "TimeoutError", ""},
		{&async.ExecInterruptedError{Command: "x", Err: late}, "TimeoutError", ""},
		{&async.ExecInterruptedError{Command: "x", Err: io.EOF}, "ExecInterruptedError", "EOFError"},
		{&async.ExecInterruptedError{Command: "x", Err: io.ErrUnexpectedEOF}, "ExecInterruptedError", "EOFError"},
		{&async.ExecInterruptedError{Command: "x"}, "ExecInterruptedError", ""},
		{async.ErrClosed, "ExecInterruptedError", ""},
		{&async.StateError{State: async.Idle, Required: async.Running}, "StateError", ""},
		{&async.StateError{State: async.Disconnecting, Required: async.Running, Cause: io.EOF}, "StateError", "EOFError"},
		{&async.ConnectError{Err: syscall.ECONNREFUSED}, "ConnectError", "OSError"},
		{&async.ConnectError{Err: &async.GreetingError{Err: io.EOF}}, "ConnectError", "GreetingError"},
		{&async.ConnectError{Err: &async.NegotiationError{Class: "GenericError", Desc: "no"}}, "ConnectError", "NegotiationError"},
		{&async.ConnectError{Stage: async.StageConnection, Err: errors.New("the path is too long")}, "ConnectError", "OSError"},
		{&async.ConnectError{Stage: async.StageConnection, Err: &net.OpError{Op: "dial", Err: &net.DNSError{Name: "x"}}}, "ConnectError", "gaierror"},
		{&async.ConnectError{Stage: async.StageSession, Err: errors.New("x")}, "ConnectError", "QMPError"},
		{&async.AddressError{}, "ConnectError", "ValueError"},
		{&async.GreetingError{Err: &async.MessageError{Reason: async.NotJSON, Err: errors.New("x")}}, "GreetingError", "DeserializationError"},
		{&async.NegotiationError{Err: io.EOF}, "NegotiationError", "EOFError"},
		{&async.ServerParseError{Class: "GenericError", Desc: "no"}, "ServerParseError", ""},
		{&async.MessageError{Command: "x", Reason: async.Refused, Err: errors.New("x")}, "RefusedError", ""},
		{&async.MessageError{Reason: async.NotObject, Err: errors.New("x")}, "UnexpectedTypeError", ""},
		{&async.MessageError{Reason: async.TooLarge, Err: errors.New("x")}, "DeserializationError", ""},
		{&async.BadReplyError{}, "ProtocolError", ""},
		{&async.InvalidIDError{}, "ValueError", ""},
		{&legacy.BadPortError{}, "QMPBadPortError", ""},
		{fmt.Errorf("read: %w", syscall.ECONNRESET), "OSError", ""},
		{io.EOF, "EOFError", ""},
		{errors.New("x"), "QMPError", ""},
	} {
		f := describe(tt.err)
		cause := ""
		if f.Cause != nil {
			cause = f.Cause.Class
		}
		if f.Class != tt.class || cause != tt.cause || f.Message != tt.err.Error() {
			t.Errorf("%T %v: %+v, want class %s and cause %q", tt.err, tt.err, f, tt.class, tt.cause)
		}
	}
}

// TestTemporary tells a name that does not exist from one that could not be looked up.
func TestTemporary(t *testing.T) {
	for _, tt := range []struct {
		err  net.DNSError
		want bool
	}{
		{net.DNSError{IsNotFound: true}, false},
		{net.DNSError{}, false},
		{net.DNSError{IsTemporary: true}, true},
		{net.DNSError{IsTimeout: true}, true},
	} {
		text := string(result(nil, &async.ConnectError{Stage: async.StageConnection, Err: &tt.err}))
		if got := strings.Contains(text, `"temporary":true`); got != tt.want {
			t.Errorf("%+v: %s, want temporary = %v", tt.err, text, tt.want)
		}
	}
}

func TestSeconds(t *testing.T) {
	for n, want := range map[float64]time.Duration{0: 0, -1: 0, 1.5: 1500 * time.Millisecond, 1e300: 1<<63 - 1} {
		if got := seconds(n); got != want {
			t.Errorf("seconds(%v) = %v, want %v", n, got, want)
		}
	}
}

func TestStateName(t *testing.T) {
	var names []string
	for _, s := range []async.Runstate{async.Idle, async.Connecting, async.Running, async.Disconnecting, 99} {
		names = append(names, stateName(s))
	}
	if got := strings.Join(names[:4], " "); got != "IDLE CONNECTING RUNNING DISCONNECTING" {
		t.Error(got)
	}
}
