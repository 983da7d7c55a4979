package async

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/secrets"
	"github.com/hashicorp/go-multierror"
)

// ErrClosed says that this side ended the connection, or closed the listener or
// the watcher that a call was waiting on.
var ErrClosed = errors.New("closed by this side")

// ErrNoOOB says that a command cannot be executed out of band, because the
// connection does not have that capability: the server does not offer it, or
// [Options].NoOOB is set. Nothing was sent.
var ErrNoOOB = errors.New("out-of-band execution is not enabled on this connection (the server does not offer it, or async.Options.NoOOB is set)")

// A StateError says that the client's state does not allow the call. Nothing was
// sent, and the state has not changed.
type StateError struct {
	Op       string   // what the call was to do, such as "execute query-status"
	State    Runstate // the client's state at that moment
	Required Runstate // the state that the call needs
	Client   string   // the client's nickname, or ""

	// Cause is why the connection ended, if it ended without a call of Disconnect or
	// Close, none has returned the cause yet, and there is no new connection. Until
	// there is one, [Client.Disconnect] is going to return it. Otherwise Cause is nil.
	// errors.Is and errors.As do not look into it.
	Cause error
}

func (e *StateError) Error() string {
	advice := ""
	switch {
	case e.State == e.Required:
		// Accept needs more than the state Connecting: a socket that listens, and no
		// other Accept.
		advice = " but not listening, or already accepting; make it listen first (async.Client.Listen, qmpsync.Client.Listen)"
	case e.Required == Connecting:
		advice = "; make it listen first (async.Client.Listen, qmpsync.Client.Listen)"
	case e.State == Idle:
		advice = "; connect first"
	case e.State == Connecting && e.Required == Idle:
		advice = "; wait for the connection, or call Close to cancel it"
	case e.State == Connecting && e.Cause != nil:
		advice = fmt.Sprintf("; the connection has ended (%v), and the client is connecting again: wait for that", e.Cause)
	case e.State == Connecting:
		advice = "; wait for the connection"
	case e.State == Running:
		advice = "; call Close first"
	case e.State == Disconnecting && e.Cause != nil:
		advice = fmt.Sprintf("; the connection has ended (%v), call Close to collect the cause", e.Cause)
	case e.State == Disconnecting:
		advice = "; the connection has ended, call Close to collect the cause"
	}
	return fmt.Sprintf("%s%s: client is %s, needs to be %s%s", prefix(e.Client), words(e.Op), e.State, e.Required, advice)
}

// prefix begins the messages that name the client.
func prefix(name string) string {
	if name == "" {
		return "qmp: "
	}
	return "qmp " + words(name) + ": "
}

// A ConnectStage is how far the attempt to connect had come when it failed: see
// [ConnectError].
type ConnectStage string

// The stages of making a connection.
const (
	StageConnection ConnectStage = "connection" // dialing, or listening and accepting
	StageSession    ConnectStage = "session"    // the greeting and the negotiation of capabilities
)

// A ConnectError says that Connect, Attach, Listen or Accept has failed. Err is the
// cause: an error of the operating system or of Options.Dialer, io.EOF or
// syscall.ECONNRESET if the server hung up, a [ProtocolError], what the context
// ended with, or [ErrClosed] if Disconnect or Close canceled the attempt. The
// client is idle again, except that a context which had ended before the call
// changes nothing.
type ConnectError struct {
	Op       string // "connect", "listen" or "accept"
	Address  string // as the caller gave it
	Stage    ConnectStage
	Attempts int    // how often the client dialed; more than 1 only with Options.Backoff
	Client   string // the client's nickname, or ""
	Err      error
}

func (e *ConnectError) Error() string {
	var b strings.Builder
	b.WriteString(prefix(e.Client))
	b.WriteString(e.Op)
	if e.Address != "" {
		fmt.Fprintf(&b, " %s", words(e.Address))
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " (%d attempts)", e.Attempts)
	}
	fmt.Fprintf(&b, ": failed to establish %s: %v", e.Stage, harmless.Error(e.Err))
	return b.String()
}

func (e *ConnectError) Unwrap() error { return e.Err }

// An ExecuteError is the server's error reply to a command: the server has read the
// command and refused it, or has failed to execute it. The connection stays usable.
type ExecuteError struct {
	Command string // as sent, such as "device_del"
	Class   string // such as "DeviceNotFound"; QEMU's manual has the list (QapiErrorClass)
	Desc    string // the server's explanation, for people; it differs between versions
	Reply   Reply  // the whole reply
}

func (e *ExecuteError) Error() string {
	return fmt.Sprintf("qmp: %s: %s (%s)", words(e.Command), words(e.Desc), words(e.Class))
}

// An ExecInterruptedError says that a command ended without a reply, because its
// context or the connection ended. A wait for events gets one, too, if the
// connection ended.
//
// Err is the cause. If a context ended, both its Err and its Cause match with
// errors.Is and errors.As. If the connection ended, everything matches that
// [Client.Disconnect] returns.
type ExecInterruptedError struct {
	Command string // "" for a wait for events
	Sent    bool   // at least one byte of the command may have reached the server
	Client  string // the client's nickname, or ""
	Note    string // what the command was waiting for, or ""
	Session uint64 // the number of the connection: see [Client.Session]; 0 if the call waited for one
	Err     error
}

func (e *ExecInterruptedError) Error() string {
	what := "the connection has ended"
	switch {
	case e.Command != "" && e.Sent:
		what = words(e.Command) + ": interrupted after it was sent"
	case e.Command != "":
		what = words(e.Command) + ": interrupted before it was sent"
	}
	if e.Note != "" {
		what += " (" + e.Note + ")"
	}
	return fmt.Sprintf("%s%s: %v", prefix(e.Client), what, e.Err)
}

func (e *ExecInterruptedError) Unwrap() error { return e.Err }

// cause returns Err, or nil if e is nil.
func (e *ExecInterruptedError) cause() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// SafeToRetry reports that no byte of the command can have reached the server.
// Sending it again cannot execute it twice then. The same is true if the error of the
// call is not an ExecInterruptedError, but a [*StateError], a [*MessageError] whose
// Command is set, an [*InvalidIDError] or [ErrNoOOB]. For a wait for events,
// SafeToRetry means nothing.
func (e *ExecInterruptedError) SafeToRetry() bool { return !e.Sent }

// A ProtocolError is an error about the messages themselves: [*GreetingError],
// [*NegotiationError], [*ServerParseError], [*BadReplyError] or [*MessageError].
// Use it with errors.As:
//
//	var broken async.ProtocolError
//	if errors.As(err, &broken) {
type ProtocolError interface {
	error
	protocolError()
}

// A GreetingError says that the server did not send the greeting of a QMP server,
// or not in time.
type GreetingError struct {
	Received string // the beginning of the message that came instead, or ""
	Err      error  // what is wrong
}

func (e *GreetingError) Error() string {
	if e.Received == "" {
		return fmt.Sprintf("no greeting: %v", e.Err)
	}
	return fmt.Sprintf("not a QMP greeting: %v: %q", e.Err, e.Received)
}

func (e *GreetingError) Unwrap() error { return e.Err }
func (*GreetingError) protocolError()  {}

// A NegotiationError says that the server refused qmp_capabilities, answered it
// with something that is not a reply, or did not answer it in time.
type NegotiationError struct {
	Class string // as in [ExecuteError]; "" if there was no error reply
	Desc  string // as in [ExecuteError]
	Err   error  // what went wrong if there was no error reply, or else nil
}

func (e *NegotiationError) Error() string {
	if e.Class != "" {
		return fmt.Sprintf("capabilities negotiation refused: %s (%s)", words(e.Desc), words(e.Class))
	}
	return fmt.Sprintf("capabilities negotiation failed: %v", e.Err)
}

func (e *NegotiationError) Unwrap() error { return e.Err }
func (*NegotiationError) protocolError()  {}

// A ServerParseError says that the server sent an error reply without an id: it
// could not parse a message. The client cannot tell which command that was, or
// which ones were lost with it. So the connection ends.
//
// If only one command was unanswered, and its TakesErrorWithoutID is set, that
// command gets the error reply, and the connection stays usable. The error reply is
// dropped if the caller of that command has given up.
type ServerParseError struct {
	Class string // as in [ExecuteError]; "" if the error reply was malformed
	Desc  string // as in [ExecuteError], or the malformed reply
}

func (e *ServerParseError) Error() string {
	return fmt.Sprintf("the server could not parse what it received: %s (%s)", words(e.Desc), words(e.Class))
}

func (*ServerParseError) protocolError() {}

// A BadReplyError says that the reply to a command is malformed: it has neither a
// return nor an error member, or its error has no class or no description. The
// connection stays usable.
type BadReplyError struct {
	Command string
	Reply   Reply
}

func (e *BadReplyError) Error() string {
	return fmt.Sprintf("qmp: %s: malformed reply: %q", words(e.Command), shorten(secrets.Reply(e.Reply.raw, secrets.Unknown)))
}

func (*BadReplyError) protocolError() {}

// A Reason is what is wrong with a message: see [MessageError].
type Reason string

// The reasons of a [MessageError].
const (
	NotJSON   Reason = "not JSON"
	NotObject Reason = "not a JSON object"
	TooLarge  Reason = "too large"              // Limit is in bytes
	TooDeep   Reason = "too deep"               // Limit is in levels of arrays and objects
	Truncated Reason = "cut off"                // the connection ended inside the message
	BadNumber Reason = "number too long"        // Limit is in digits; only Decode, Object and Call return it
	TooMany   Reason = "too many values"        // Limit is in values; only Decode, Object and Call return it
	NotEvent  Reason = "not an event"           // only ParseEvent returns it
	Refused   Reason = "refused before sending" // QEMU could not read it, or its files cannot be sent
)

// A MessageError says that a message cannot be sent, or that received bytes are not
// a message that this client reads. If the message was to be sent, Command names
// its command; nothing was sent, and no other call is affected. A received message
// ends the connection. [ParseReply], [ParseEvent] and the methods that decode a message
// only return the error.
type MessageError struct {
	Reason  Reason
	Command string // the command that was to be sent, or "" for a received message
	Limit   int    // the limit that was exceeded (see Reason), or 0
	Err     error  // the details
}

func (e *MessageError) Error() string {
	if e.Command != "" {
		return fmt.Sprintf("qmp: %s: not sent: %v", words(e.Command), harmless.Error(e.Err))
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
	case proto.TooMany:
		e.Reason = TooMany
	}
	return e
}

// An InvalidIDError says that the id in a [Command] cannot be used. Nothing was
// sent.
type InvalidIDError struct {
	ID     string // the id in quotes, or its JSON if it is not a string
	Reason string // what is wrong with it
}

func (e *InvalidIDError) Error() string {
	return fmt.Sprintf("qmp: invalid id %s: %s", words(e.ID), e.Reason)
}

// An OverflowError says that a listener has dropped its oldest events, because it
// was full: see Limit in [ListenerOptions]. The reader gets it once, in the place
// of the dropped events.
type OverflowError struct {
	Lost int // how many events were dropped since the last read
}

func (e *OverflowError) Error() string {
	return fmt.Sprintf("qmp: event listener over its limit: the %d oldest events were dropped", e.Lost)
}

// A TimeoutError says that a time limit was reached. The packages with blocking
// calls, such as qmpsync, make it the cause of their contexts. It matches both
// os.ErrDeadlineExceeded and context.DeadlineExceeded.
type TimeoutError struct {
	Op     string // what took too long
	Limit  time.Duration
	Option string // what sets the limit, such as "qmpsync.Options.CommandLimit"; "" if it was an argument of the call
}

func (e *TimeoutError) Error() string {
	if e.Option != "" {
		return fmt.Sprintf("%s: time limit of %v reached (%s)", e.Op, e.Limit, e.Option)
	}
	return fmt.Sprintf("%s: time limit of %v reached", e.Op, e.Limit)
}

// Timeout returns true, as for a [net.Error] that is a timeout.
func (*TimeoutError) Timeout() bool { return true }

// Is reports whether target is os.ErrDeadlineExceeded or context.DeadlineExceeded.
func (*TimeoutError) Is(target error) bool {
	return target == os.ErrDeadlineExceeded || target == context.DeadlineExceeded
}

// joinErrors returns one error that matches root and all further errors; nil ones are
// left out. Its text begins with root's. A single error is returned as it is.
func joinErrors(root error, further ...error) error {
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

// words makes a text from outside fit for an error: one line of limited length, without
// characters that a terminal obeys. The fields of errors keep the text as it came.
func words(s string) string {
	const most = 1000
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return harmless.Line(s)
}

// shown returns the beginning of a message, for the log.
func shown(raw []byte) string { return harmless.Line(shorten(raw)) }

// shorten returns the beginning of raw, for an error or the log.
func shorten(raw []byte) string {
	const most = 160
	if len(raw) > most {
		return string(raw[:most]) + "..."
	}
	return string(raw)
}
