package proto

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// A Fault says why bytes are not a message.
type Fault int

// The faults.
const (
	NotJSON   Fault = iota // not a JSON value
	NotObject              // JSON, but not an object
	TooLarge               // more bytes than the limit
	TooDeep                // more levels than the limit
	Truncated              // the stream ended inside the message
	BadNumber              // a number too long to convert
	TooMany                // more values than can be converted
)

// A FrameError is the error for bytes that are not a message.
type FrameError struct {
	Fault   Fault
	Limit   int    // for TooLarge, TooDeep, BadNumber and TooMany: the limit that was exceeded
	Excerpt []byte // how the message begins, shortened
	Err     error  // the parser's error, or nil
}

func (e *FrameError) Error() string {
	var what string
	switch e.Fault {
	case NotJSON:
		what = "not JSON"
	case NotObject:
		what = "not a JSON object"
	case TooLarge:
		return fmt.Sprintf("larger than the limit of %d bytes", e.Limit)
	case TooDeep:
		return fmt.Sprintf("nested deeper than the limit of %d levels", e.Limit)
	case TooMany:
		return fmt.Sprintf("more than the limit of %d values", e.Limit)
	case Truncated:
		what = "cut off"
	case BadNumber:
		return fmt.Sprintf("a number of more than %d digits", e.Limit)
	}
	if e.Err != nil && e.Fault == NotJSON {
		// Errors take one line; a parser may quote what it has read.
		what += " (" + strings.ReplaceAll(e.Err.Error(), "\n", " ") + ")"
	}
	return fmt.Sprintf("%s: %q", what, e.Excerpt)
}

func (e *FrameError) Unwrap() error { return e.Err }

// errMaxDepth returns the error with which jsontext reports too many levels.
// jsontext does not export it, so it is provoked once, when first needed.
var errMaxDepth = sync.OnceValue(func() error {
	dec := jsontext.NewDecoder(strings.NewReader(strings.Repeat("[", MaxDepth+1)))
	_, err := dec.ReadValue()
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return syntax.Err
	}
	return err
})

// faultOf returns the error for a message that begins with received, and in which a
// scanner has found v, invalid or tooDeep. It has the error of package jsontext, which
// says what is wrong and where.
func faultOf(received []byte, v verdict) *FrameError {
	dec := jsontext.NewDecoder(bytes.NewReader(received),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	_, err := dec.ReadValue()
	if v == tooDeep {
		return &FrameError{Fault: TooDeep, Limit: MaxDepth, Excerpt: excerpt(received), Err: errMaxDepth()}
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok && len(syntax.JSONPointer) > excerptLen {
		// The path has names of members, which can be very long.
		err = &jsontext.SyntacticError{ByteOffset: syntax.ByteOffset, Err: syntax.Err}
	}
	return &FrameError{Fault: NotJSON, Excerpt: excerpt(received), Err: err}
}

// excerpt copies how b begins, for an error.
func excerpt(b []byte) []byte {
	if len(b) > excerptLen {
		b = append(b[:excerptLen:excerptLen], "..."...)
	}
	return bytes.Clone(b)
}
