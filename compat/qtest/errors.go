package qtest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goqmp/qmp/internal/harmless"
)

// A CommandError says that QEMU refused a command. The connection stays usable.
type CommandError struct {
	Command string // its first word, such as "clock_step"
	Status  string // "FAIL" or "ERR"
	Message string // what QEMU says; may be empty
}

// Error returns the command and QEMU's answer, and a hint for the clock's commands.
func (e *CommandError) Error() string {
	text := "qtest: " + harmless.Line(e.Command+": "+e.Status)
	if e.Message != "" {
		text += " " + harmless.Line(e.Message)
	}
	if e.Is(errors.ErrUnsupported) && strings.HasPrefix(e.Command, "clock_") {
		text += " (the commands for the clock need -accel qtest: this QEMU was started or built without it)"
	}
	return text
}

// Is reports true for errors.ErrUnsupported if QEMU does not know the command: this
// QEMU is too old, or was not started with -accel qtest, which has the command.
func (e *CommandError) Is(target error) bool {
	return target == errors.ErrUnsupported && strings.HasPrefix(e.Message, "Unknown command")
}

// An ArgumentError says that a command was not sent: QEMU would abort, or could not
// read it.
type ArgumentError struct {
	Command string // its first word
	Problem string // what is wrong with it
}

// Error says what was not sent, and why.
func (e *ArgumentError) Error() string {
	return fmt.Sprintf("qtest: %s: not sent: %s", harmless.Line(e.Command), harmless.Line(e.Problem))
}

// An InterruptedError says that a call ended without an answer, because its context or
// the connection ended.
type InterruptedError struct {
	Command string // the command's first word; "" for [Client.NextIRQ]
	Sent    bool   // at least one byte of the command may have reached QEMU

	// Err is the cause:
	//   - what the context ended with: both its Err and its Cause match;
	//   - io.EOF or another error of the connection, if QEMU has ended;
	//   - a [*ProtocolError];
	//   - [async.ErrClosed], if Close was called.
	Err error
}

// Error says which call was interrupted, whether its command was sent, and why.
func (e *InterruptedError) Error() string {
	switch {
	case e.Command == "":
		return fmt.Sprintf("qtest: wait for an interrupt: %v", harmless.Error(e.Err))
	case e.Sent:
		return fmt.Sprintf("qtest: %s: interrupted after it was sent: %v", harmless.Line(e.Command), harmless.Error(e.Err))
	}
	return fmt.Sprintf("qtest: %s: interrupted before it was sent: %v", harmless.Line(e.Command), harmless.Error(e.Err))
}

// Unwrap returns Err.
func (e *InterruptedError) Unwrap() error { return e.Err }

// A ProtocolError says that QEMU has sent a line that is not of the qtest protocol, or
// an answer that does not fit its command. The first kind ends the connection. The
// second kind is the error of that command only.
type ProtocolError struct {
	Line    string // the line, at most its first 80 bytes
	Problem string // what is wrong with it
}

// Error returns the line and what is wrong with it.
func (e *ProtocolError) Error() string {
	return fmt.Sprintf("qtest: received %q: %s", e.Line, harmless.Line(e.Problem))
}

// begin returns a line, or the beginning of a long one, for an error.
func begin(line string) string {
	const most = 80
	if len(line) > most {
		return line[:most] + "..."
	}
	return line
}
