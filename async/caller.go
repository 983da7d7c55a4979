package async

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/goqmp/qmp/internal/proto"
)

// A Caller executes commands: a [*Client], a *machine.Machine, or any other type that
// sends commands to a QMP server. A function that only executes commands takes a
// Caller.
type Caller interface {
	// Do executes cmd and returns the whole reply. An error reply is not an error
	// here: [Reply.Err] returns it. The error says why there is no reply. Do returns
	// when ctx ends. Any number of goroutines may call Do at the same time.
	Do(ctx context.Context, cmd Command) (Reply, error)
}

var _ Caller = (*Client)(nil)

// Call executes a command and decodes the value of the reply's return member into a T.
// args is as in [Client.Execute].
//
// A member of an object is stored in the field with the same name. If there is none,
// it is stored in the field whose name differs only in case, '-' and '_': NodeName
// takes "node-name". A name in a json tag replaces the field's own. A member that
// matches no field is ignored. If several members match one field, the last one
// counts, except that objects are merged.
//
// Integers are exact. In an any, at any depth, an integer is an int64, or a uint64 if
// it is above 2^63-1, or a *big.Int if it does not fit in 64 bits. Any other number is
// a float64, which is infinite if the number is too large. A text is a string, a list
// an []any, an object a map[string]any. If an any holds a pointer, the value is stored
// where that points. An interface type with a name of its own is not treated as an
// any. A number with a fraction does not fit a Go integer: 1.0 is an error there.
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

// parseMessage returns the members of raw, which must be one message and nothing else.
// The limits are those of a received message, except that its size has no limit. The
// message shares no bytes with raw.
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
