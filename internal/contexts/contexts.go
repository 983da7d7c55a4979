// Package contexts says what a context ended with.
package contexts

import (
	"context"
	"errors"
	"fmt"
)

// Err returns what ctx ended with: one error that matches both ctx.Err() and
// context.Cause(ctx) with errors.Is and errors.As. It is nil while ctx has not
// ended.
func Err(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if err == nil || cause == nil || cause == err {
		return err
	}
	return &ended{err: err, cause: cause}
}

// ended is a context's Err and its Cause in one.
type ended struct{ err, cause error }

// Error says the cause alone where that matches Err anyway, as a time limit
// does.
func (e *ended) Error() string {
	if errors.Is(e.cause, e.err) {
		return e.cause.Error()
	}
	return fmt.Sprintf("%v: %v", e.err, e.cause)
}

func (e *ended) Unwrap() []error { return []error{e.cause, e.err} }
