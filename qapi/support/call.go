package support

import (
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/proto"
)

// Arguments returns args as an argument of the functions below. For a nil pointer it
// returns a nil interface, which means no arguments.
func Arguments[A any](args *A) any {
	if args == nil {
		return nil
	}
	return args
}

// Call executes a command and returns its result. Errors are those of
// [async.Client.Execute] and [async.Reply.Decode].
func Call[T any](ctx context.Context, c async.Caller, command string, args any) (T, error) {
	return call[T](ctx, c, async.Command{Name: command, Args: args})
}

// CallOOB is [Call] for a command out of band.
func CallOOB[T any](ctx context.Context, c async.Caller, command string, args any) (T, error) {
	return call[T](ctx, c, async.Command{Name: command, Args: args, OOB: true})
}

// Execute executes a command that has no result. Errors are those of
// [async.Client.Execute].
func Execute(ctx context.Context, c async.Caller, command string, args any) error {
	return execute(ctx, c, async.Command{Name: command, Args: args})
}

// ExecuteOOB is [Execute] for a command out of band.
func ExecuteOOB(ctx context.Context, c async.Caller, command string, args any) error {
	return execute(ctx, c, async.Command{Name: command, Args: args, OOB: true})
}

// RefusalWait is how long [ExecuteUnanswered] waits by default. A guest agent that
// refuses a command does so at once, but the guest may be slow.
const RefusalWait = 5 * time.Second

// errNotRefused is the cause of the end of [ExecuteUnanswered]'s wait.
var errNotRefused = errors.New("the time to wait for a refusal is over")

// ExecuteUnanswered executes a command to which the server replies only if it refuses
// it. It waits for the refusal for at most wait; zero and negative values mean
// [RefusalWait]. It returns nil if the command was sent and no error reply came: the
// wait is over, or the server has ended the connection, which is what a guest that shuts
// down looks like. If ctx ends first, the error is that of [async.Client.Execute], like
// all other errors.
func ExecuteUnanswered(ctx context.Context, c async.Caller, command string, args any, wait time.Duration) error {
	if wait <= 0 {
		wait = RefusalWait
	}
	waiting, cancel := context.WithTimeoutCause(ctx, wait, errNotRefused)
	defer cancel()
	err := execute(waiting, c, async.Command{Name: command, Args: args})
	interrupted, ok := errors.AsType[*async.ExecInterruptedError](err)
	if !ok || interrupted.SafeToRetry() || ctx.Err() != nil {
		return err
	}
	if errors.Is(err, errNotRefused) || async.HungUp(err) {
		return nil
	}
	return err
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

// Marshal encodes v. The MarshalJSON methods of generated types call it.
func Marshal(v any) ([]byte, error) { return json.Marshal(v) }

// Unmarshal decodes b into v, by the rule of [async.Call]. The UnmarshalJSON methods of
// generated types call it.
func Unmarshal(b []byte, v any) error { return proto.Unmarshal(b, v) }

// New returns a pointer to a new T. The tables of generated packages have it as the
// functions NewArguments, NewResult and New.
func New[T any]() any { return new(T) }
