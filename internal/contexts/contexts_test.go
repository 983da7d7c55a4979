package contexts

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

type whyError struct{}

func (whyError) Error() string { return "the operator said so" }

func TestErr(t *testing.T) {
	if err := Err(t.Context()); err != nil {
		t.Errorf("a context that has not ended: got %v, want nil", err)
	}

	plain, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Err(plain); err != context.Canceled {
		t.Errorf("without a cause: got %v, want context.Canceled as it is", err)
	}

	caused, cancelCause := context.WithCancelCause(t.Context())
	cancelCause(whyError{})
	err := Err(caused)
	if _, ok := errors.AsType[whyError](err); !ok || !errors.Is(err, context.Canceled) {
		t.Errorf("with a cause: %v does not match both the cause and context.Canceled", err)
	}
	if got, want := err.Error(), "context canceled: the operator said so"; got != want {
		t.Errorf("with a cause: got %q, want %q", got, want)
	}

	limit := fmt.Errorf("no more time: %w", context.DeadlineExceeded)
	late, done := context.WithDeadlineCause(t.Context(), time.Now().Add(-1), limit)
	defer done()
	if err := Err(late); !errors.Is(err, limit) || err.Error() != limit.Error() {
		t.Errorf("a cause that matches Err: got %q, want %q alone", err, limit)
	}
}
