package async

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// A Backoff is a policy that says how long Connect waits before it dials again. It is
// used by one Connect only, so it may have a state: [Options].Backoff returns a new one
// for each. The policies of package github.com/cenkalti/backoff/v4 are Backoffs.
type Backoff interface {
	// NextBackOff returns how long to wait before the next attempt. If it is
	// negative, Connect gives up and returns the error of the last attempt.
	NextBackOff() time.Duration

	// Reset is called before the first attempt.
	Reset()
}

// Every returns an [Options].Backoff: Connect waits for d before each further attempt,
// until its context ends.
func Every(d time.Duration) func() Backoff {
	return func() Backoff { return backoff.NewConstantBackOff(d) }
}

// Exponential returns an [Options].Backoff: Connect waits longer before each further
// attempt, until its context ends. The first wait is 50 milliseconds; each one is 1.5
// times the one before, up to 5 seconds. A random amount, up to half of it, is added
// to each wait or taken away, so that many clients do not dial at the same moment.
func Exponential() func() Backoff {
	return func() Backoff {
		return backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(50*time.Millisecond),
			backoff.WithMaxInterval(5*time.Second),
			backoff.WithMaxElapsedTime(0)) // the context is the limit
	}
}
