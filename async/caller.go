package async

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/goqmp/qmp/internal/proto"
)

// A Caller executes commands: a [*Client], a *machine.Machine, or whatever else
// gets commands to a QMP server. What only executes commands takes a Caller.
type Caller interface {
	// Do executes cmd and returns the whole reply. An error reply is not an error
	// here: [Reply.Err] makes one of it. The error says why there is no reply.
	// When ctx ends, so does the call. Any number of goroutines may call Do at the
	// same time.
	Do(ctx context.Context, cmd Command) (Reply, error)
}

var _ Caller = (*Client)(nil)

// Call executes a command and decodes the value of the reply's return member into
// a T. args are as in [Client.Execute].
//
// A member of an object matches the field of its name, or else the field whose
// name differs only in case, '-' and '_': NodeName takes "node-name". A name in a
// json tag counts like the field's own. Members that match no field are ignored.
// Of members that match the same field the last one counts, except that objects
// are merged.
//
// Integers are exact. In an any, at any depth, an integer is an int64, a uint64
// above 2^63-1, and a *big.Int beyond 64 bits; any other number is a float64,
// infinite where it is too large for one; a text is a string, a list an []any, an
// object a map[string]any. An any that holds a pointer has that filled instead.
// An interface type with a name of its own is not an any. A fraction does not fit
// a Go integer: 1.0 is an error there.
//
// Errors are those of [Client.Execute] and [Reply.Decode].
func Call[T any](ctx context.Context, c Caller, cmd string, args any) (T, error) {
	var v T
	reply, err := c.Do(ctx, Command{Name: cmd, Args: args})
	if err != nil {
		return v, err
	}
	err = reply.Decode(&v)
	return v, err
}

// parseMessage cuts up raw, which must be one message and nothing else. It is
// held to what a connection takes, except for the limit of its size. The message
// shares no bytes with raw.
func parseMessage(raw []byte) (proto.Message, error) {
	framer := proto.NewFramer(bytes.NewReader(raw), -1, nil)
	obj, err := framer.Next()
	if err == io.EOF {
		err = &MessageError{Reason: NotJSON, Err: errors.New("no message, only white space")}
	}
	if err != nil {
		return proto.Message{}, messageError(err)
	}
	obj = bytes.Clone(obj)
	if next, err := framer.Next(); err != io.EOF {
		if err == nil {
			err = fmt.Errorf("more than one message: %q comes after the first", shorten(next))
		}
		return proto.Message{}, &MessageError{Reason: NotJSON, Err: err}
	}
	return proto.ParseMessage(obj), nil
}
