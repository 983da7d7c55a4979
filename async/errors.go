package async

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/goqmp/qmp/internal/proto"
	"github.com/hashicorp/go-multierror"
)

// ErrClosed says that this side ended the connection, or closed the listener
// or watcher that was waited on.
var ErrClosed = errors.New("closed by this side")

// ErrNoOOB says that a command was to be executed out of band on a connection
// that does not have the capability: the server does not offer it, or
// [Options].NoOOB declined it. Nothing was sent.
var ErrNoOOB = errors.New("out-of-band execution is not enabled on this connection (the server does not offer it, or async.Options.NoOOB is set)")

// A StateError says that a call came while the client was in a state that
// does not allow it. Nothing was sent, and the state has not changed.
type StateError struct {
	Op       string   // what was attempted, such as "execute"
	State    Runstate // the state it found
	Required Runstate // the state it needs
	Client   string   // the client's nickname, or ""

	// Cause is why the connection ended, while that end, which nobody asked for,
	// waits to be collected: what [Client.Disconnect] is going to return. It is
	// not the cause of this error, and is not unwrapped.
	Cause error
}

func (e *StateError) Error() string {
	advice := ""
	switch {
	case e.State == e.Required:
		// Accept needs more than CONNECTING: a listening socket, nobody else waiting at it.
		advice = " but not listening, or already accepting; make it listen first (async.Client.Listen, qmpsync.Client.Listen)"
	case e.Required == Connecting:
		advice = "; make it listen first (async.Client.Listen, qmpsync.Client.Listen)"
	case e.State == Idle:
		advice = "; connect first"
	case e.State == Connecting && e.Required == Idle:
		advice = "; wait for the connection, or call Close to abandon it"
	case e.State == Connecting:
		advice = "; wait for the connection"
	case e.State == Running:
		advice = "; call Close first"
	case e.State == Disconnecting && e.Cause != nil:
		advice = fmt.Sprintf("; the connection has ended (%v), call Close to collect the cause", e.Cause)
	case e.State == Disconnecting:
		advice = "; the connection has ended, call Close to collect the cause"
	}
	return fmt.Sprintf("%s%s: client is %s, needs to be %s%s", prefix(e.Client), e.Op, e.State, e.Required, advice)
}

// prefix begins the messages that name the client.
func prefix(name string) string {
	if name == "" {
		return "qmp: "
	}
	return "qmp " + name + ": "
}

// A ConnectStage is how far a [ConnectError] had come.
type ConnectStage string

// The stages of making a connection.
const (
	StageConnection ConnectStage = "connection" // dialling, or listening and accepting
	StageSession    ConnectStage = "session"    // the greeting and the negotiation of capabilities
)

// A ConnectError says that no session came about. Err is the cause: an error
// of the operating system or of the Dialer, io.EOF, a [ProtocolError], or what
// the context ended with. The client is idle again.
type ConnectError struct {
	Op       string // "connect", "listen" or "accept"
	Address  string // as the caller gave it
	Stage    ConnectStage
	Attempts int    // how often it was dialled; more than 1 only with Options.Backoff
	Client   string // the client's nickname, or ""
	Err      error
}

func (e *ConnectError) Error() string {
	var b strings.Builder
	b.WriteString(prefix(e.Client))
	b.WriteString(e.Op)
	if e.Address != "" {
		fmt.Fprintf(&b, " %s", e.Address)
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " (%d attempts)", e.Attempts)
	}
	fmt.Fprintf(&b, ": failed to establish %s: %v", e.Stage, e.Err)
	return b.String()
}

func (e *ConnectError) Unwrap() error { return e.Err }

// An ExecuteError is the server's own refusal of a command: it was read,
// understood and answered. The connection stays usable.
type ExecuteError struct {
	Command string // as sent, such as "device_del"
	Class   string // such as "DeviceNotFound"; QEMU's manual has the list
	Desc    string // the server's words, for people
	Reply   Reply  // the whole reply
}

func (e *ExecuteError) Error() string {
	return fmt.Sprintf("qmp: %s: %s (%s)", e.Command, words(e.Desc), words(e.Class))
}

// An ExecInterruptedError says that a command, or a wait for events, ended
// without an answer: its context ended, or the connection did. Err is the
// cause. Of a context, both its Err and its Cause match with errors.Is and
// errors.As; of a connection, everything that [Client.Disconnect] returns.
type ExecInterruptedError struct {
	Command string // "" if it was no command that waited
	Sent    bool   // at least one byte of it may have reached the server
	Client  string // the client's nickname, or ""
	Note    string // what it waited for, where that helps
	Err     error
}

func (e *ExecInterruptedError) Error() string {
	what := "the connection has ended"
	switch {
	case e.Command != "" && e.Sent:
		what = e.Command + ": interrupted after it was sent"
	case e.Command != "":
		what = e.Command + ": interrupted before it was sent"
	}
	if e.Note != "" {
		what += " (" + e.Note + ")"
	}
	return fmt.Sprintf("%s%s: %v", prefix(e.Client), what, e.Err)
}

func (e *ExecInterruptedError) Unwrap() error { return e.Err }

// cause is for a nil error, too.
func (e *ExecInterruptedError) cause() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// SafeToRetry reports whether the command cannot have reached the server, so
// that sending it again cannot execute it twice. Nor has it where the error is a
// [*StateError], a [*MessageError], an [*InvalidIDError] or [ErrNoOOB]: those say
// that nothing was sent. For an interrupted wait it means nothing.
func (e *ExecInterruptedError) SafeToRetry() bool { return !e.Sent }

// A ProtocolError is one of the errors by which a peer breaks the protocol:
// [*GreetingError], [*NegotiationError], [*ServerParseError], [*BadReplyError]
// and [*MessageError]. Use it with errors.As:
//
//	var broken async.ProtocolError
//	if errors.As(err, &broken) {
type ProtocolError interface {
	error
	protocolError()
}

// A GreetingError says that the server did not greet as a QMP server does, or
// not in time.
type GreetingError struct {
	Received string // how the message that came instead begins, or ""
	Err      error
}

func (e *GreetingError) Error() string {
	if e.Received == "" {
		return fmt.Sprintf("no greeting: %v", e.Err)
	}
	return fmt.Sprintf("not a QMP greeting: %v: %q", e.Err, e.Received)
}

func (e *GreetingError) Unwrap() error { return e.Err }
func (*GreetingError) protocolError()  {}

// A NegotiationError says that the server refused qmp_capabilities, or
// answered it with something else than a reply.
type NegotiationError struct {
	Class string // of the server's error reply, or ""
	Desc  string
	Err   error // the cause where there was no error reply, or nil
}

func (e *NegotiationError) Error() string {
	if e.Class != "" {
		return fmt.Sprintf("capabilities negotiation refused: %s (%s)", words(e.Desc), words(e.Class))
	}
	return fmt.Sprintf("capabilities negotiation failed: %v", e.Err)
}

func (e *NegotiationError) Unwrap() error { return e.Err }
func (*NegotiationError) protocolError()  {}

// A ServerParseError is an error reply without an id that no command can be
// blamed for: the server could not parse what it read. It ends the connection,
// since nobody knows which commands were lost.
type ServerParseError struct {
	Class string
	Desc  string
}

func (e *ServerParseError) Error() string {
	return fmt.Sprintf("the server could not parse what it received: %s (%s)", words(e.Desc), words(e.Class))
}

func (*ServerParseError) protocolError() {}

// A BadReplyError is a reply with neither a return nor an error member, or with
// an error that lacks its class or description. The connection stays usable.
type BadReplyError struct {
	Command string
	Reply   Reply
}

func (e *BadReplyError) Error() string {
	return fmt.Sprintf("qmp: %s: malformed reply: %q", e.Command, shorten(proto.Mask(e.Reply.raw, []string{"return"})))
}

func (*BadReplyError) protocolError() {}

// A Reason is what is wrong with a message: see [MessageError].
type Reason string

// The reasons of a [MessageError].
const (
	NotJSON   Reason = "not JSON"
	NotObject Reason = "not a JSON object"
	TooLarge  Reason = "too large"
	TooDeep   Reason = "too deep"
	Truncated Reason = "cut off"
	BadNumber Reason = "number too long"
	NotEvent  Reason = "not an event"
	Refused   Reason = "refused before sending"
)

// A MessageError says that bytes, received or about to be sent, are no message:
// not JSON, no object, or beyond a bound. Received, it ends the connection;
// about to be sent, it concerns that call only, and nothing was sent.
type MessageError struct {
	Reason  Reason
	Command string // the command to be sent, or "" for a received message
	Limit   int    // the bound: bytes, levels or digits; 0 if it is none of that
	Err     error  // details
}

func (e *MessageError) Error() string {
	if e.Command != "" {
		return fmt.Sprintf("qmp: %s: not sent: %v", e.Command, e.Err)
	}
	return fmt.Sprintf("received message: %v", e.Err)
}

func (e *MessageError) Unwrap() error { return e.Err }
func (*MessageError) protocolError()  {}

// messageError turns an error of the framer into a public one; errors of the
// stream itself pass unchanged.
func messageError(err error) error {
	var frame *proto.FrameError
	if !errors.As(err, &frame) {
		return err
	}
	e := &MessageError{Limit: frame.Limit, Err: frame}
	switch frame.Fault {
	case proto.NotJSON:
		e.Reason = NotJSON
	case proto.NotObject:
		e.Reason = NotObject
	case proto.TooLarge:
		e.Reason = TooLarge
		e.Err = fmt.Errorf("%w (async.Options.MaxMessage)", frame)
	case proto.TooDeep:
		e.Reason = TooDeep
	case proto.Truncated:
		e.Reason = Truncated
	case proto.BadNumber:
		e.Reason = BadNumber
	}
	return e
}

// An InvalidIDError says that a caller's own id cannot be used. Nothing was
// sent.
type InvalidIDError struct {
	ID     string // the id, or its JSON if it is no string
	Reason string // what is wrong with it
}

func (e *InvalidIDError) Error() string {
	return fmt.Sprintf("qmp: invalid id %s: %s", e.ID, e.Reason)
}

// An OverflowError says that a bounded listener was not read in time and has
// dropped its oldest events. It is reported once, in their place.
type OverflowError struct {
	Lost int // how many events were dropped since the last read
}

func (e *OverflowError) Error() string {
	return fmt.Sprintf("qmp: event listener over its limit: the %d oldest events were dropped", e.Lost)
}

// A TimeoutError says that a time limit was reached. The blocking packages
// above put it as the cause of the contexts that they make. It matches both
// os.ErrDeadlineExceeded and context.DeadlineExceeded.
type TimeoutError struct {
	Op     string // what took too long
	Limit  time.Duration
	Option string // what sets the limit, such as "qmpsync.Options.CommandLimit"; "" where it was an argument of the call
}

func (e *TimeoutError) Error() string {
	if e.Option != "" {
		return fmt.Sprintf("%s: time limit of %v reached (%s)", e.Op, e.Limit, e.Option)
	}
	return fmt.Sprintf("%s: time limit of %v reached", e.Op, e.Limit)
}

// Timeout reports true, as net.Error has it.
func (*TimeoutError) Timeout() bool { return true }

// Is reports whether target is one of the standard library's two errors for a
// time limit.
func (*TimeoutError) Is(target error) bool {
	return target == os.ErrDeadlineExceeded || target == context.DeadlineExceeded
}

// collect puts further errors behind the root cause. A single error stays bare.
func collect(root error, further ...error) error {
	all := &multierror.Error{ErrorFormat: joinLine}
	for _, err := range append([]error{root}, further...) {
		if err != nil {
			all = multierror.Append(all, err)
		}
	}
	switch len(all.Errors) {
	case 0:
		return nil
	case 1:
		return all.Errors[0]
	}
	return all
}

func joinLine(errs []error) string {
	var b strings.Builder
	b.WriteString(errs[0].Error())
	for _, err := range errs[1:] {
		b.WriteString("; also: ")
		b.WriteString(err.Error())
	}
	return b.String()
}

// words fits a server's words into a message: on one line, and not for ever.
func words(s string) string {
	const most = 1000
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ").Replace(s)
}

// shorten returns how raw begins, for an error.
func shorten(raw []byte) string {
	const most = 160
	if len(raw) > most {
		return string(raw[:most]) + "..."
	}
	return string(raw)
}
