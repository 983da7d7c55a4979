package support

import (
	"context"

	"github.com/go-json-experiment/json"
	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/proto"
)

// Arguments returns args for the functions below: nil for a nil pointer.
func Arguments[A any](args *A) any {
	if args == nil {
		return nil
	}
	return args
}

// Call executes a command and returns its result.
func Call[T any](ctx context.Context, c async.Caller, command string, args any) (T, error) {
	return call[T](ctx, c, async.Command{Name: command, Args: args})
}

// CallOOB is Call out of band.
func CallOOB[T any](ctx context.Context, c async.Caller, command string, args any) (T, error) {
	return call[T](ctx, c, async.Command{Name: command, Args: args, OOB: true})
}

// Execute executes a command that has no result.
func Execute(ctx context.Context, c async.Caller, command string, args any) error {
	return execute(ctx, c, async.Command{Name: command, Args: args})
}

// ExecuteOOB is Execute out of band.
func ExecuteOOB(ctx context.Context, c async.Caller, command string, args any) error {
	return execute(ctx, c, async.Command{Name: command, Args: args, OOB: true})
}

func call[T any](ctx context.Context, c async.Caller, cmd async.Command) (T, error) {
	var v T
	reply, err := c.Do(ctx, cmd)
	if err != nil {
		return v, err
	}
	err = reply.Decode(&v)
	return v, err
}

func execute(ctx context.Context, c async.Caller, cmd async.Command) error {
	reply, err := c.Do(ctx, cmd)
	if err != nil {
		return err
	}
	return reply.Err()
}

// Marshal is for the MarshalJSON methods of generated types.
func Marshal(v any) ([]byte, error) { return json.Marshal(v) }

// Unmarshal is for the UnmarshalJSON methods of generated types.
func Unmarshal(b []byte, v any) error { return proto.Unmarshal(b, v) }

// New returns a pointer to a new T.
func New[T any]() any { return new(T) }
