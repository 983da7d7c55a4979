package qtest

import (
	"errors"
	"fmt"
	"strings"
)

// A CommandError says that QEMU refused a command. The connection stays usable.
type CommandError struct {
	Command string // its first word, such as "clock_step"
	Status  string // "FAIL" or "ERR"
	Message string // QEMU's words, may be empty
}

func (e *CommandError) Error() string {
	text := "qtest: " + e.Command + ": " + e.Status
	if e.Message != "" {
		text += " " + e.Message
	}
	if e.Is(errors.ErrUnsupported) && strings.HasPrefix(e.Command, "clock_") {
		text += " (the clock can be set only with -accel qtest, which this QEMU was not started with, or is built without)"
	}
	return text
}

// Is reports true for errors.ErrUnsupported if QEMU does not know the command:
// it is too old, or was started without the accelerator that has it.
func (e *CommandError) Is(target error) bool {
	return target == errors.ErrUnsupported && strings.HasPrefix(e.Message, "Unknown command")
}

// An ArgumentError says that a command was not sent, since QEMU would not survive
// it, or could not read it.
type ArgumentError struct {
	Command string // its first word
	Problem string
}

func (e *ArgumentError) Error() string {
	return fmt.Sprintf("qtest: %s: not sent: %s", e.Command, e.Problem)
}

// An InterruptedError says that a call ended without an answer: its context
// ended, or the connection did. Err is the cause: what the context ended with, of
// which both Err and Cause match; io.EOF or another error of the connection, when
// QEMU has ended; a [*ProtocolError]; or [async.ErrClosed], when
// this side has closed the connection.
type InterruptedError struct {
	Command string // its first word; "" if it was no command that waited
	Sent    bool   // at least one byte of it may have reached QEMU
	Err     error
}

func (e *InterruptedError) Error() string {
	switch {
	case e.Command == "":
		return fmt.Sprintf("qtest: wait for an interrupt: %v", e.Err)
	case e.Sent:
		return fmt.Sprintf("qtest: %s: interrupted after it was sent: %v", e.Command, e.Err)
	}
	return fmt.Sprintf("qtest: %s: interrupted before it was sent: %v", e.Command, e.Err)
}

func (e *InterruptedError) Unwrap() error { return e.Err }

// A ProtocolError says that a line came which the protocol does not know. It ends
// the connection, unless it is an answer of a wrong form, which only its own
// command gets.
type ProtocolError struct {
	Line    string // how it begins
	Problem string
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("qtest: received %q: %s", e.Line, e.Problem)
}

// begin returns how a line begins, for an error.
func begin(line string) string {
	const most = 80
	if len(line) > most {
		return line[:most] + "..."
	}
	return line
}
