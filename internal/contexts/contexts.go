// Package contexts makes one error of the two that say why a context ended.
package contexts

import (
	"context"
	"errors"
	"fmt"
)

// Err returns why ctx ended: one error that matches both ctx.Err() and
// context.Cause(ctx) with errors.Is and errors.As. It returns nil if ctx has not
// ended.
func Err(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if err == nil || cause == nil || cause == err {
		return err
	}
	return &ended{err: err, cause: cause}
}

// ended has both a context's Err and its Cause.
type ended struct{ err, cause error }

// Error returns the text of the cause alone if the cause matches err, as that of a
// time limit does. Otherwise it returns both texts.
func (e *ended) Error() string {
	if errors.Is(e.cause, e.err) {
		return e.cause.Error()
	}
	return fmt.Sprintf("%v: %v", e.err, e.cause)
}

func (e *ended) Unwrap() []error { return []error{e.cause, e.err} }
