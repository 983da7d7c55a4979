package async

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// A Backoff says how long Connect waits before it dials again. It may keep a
// state, and serves one Connect: [Options].Backoff makes a new one for each. The
// policies of package github.com/cenkalti/backoff/v4 are Backoffs.
type Backoff interface {
	// NextBackOff returns how long to wait before the next attempt. A negative
	// duration gives up: Connect then returns the error of the last attempt.
	NextBackOff() time.Duration

	// Reset is called before the first attempt.
	Reset()
}

// Every is an [Options].Backoff that dials again after d, as often as the context
// of Connect allows.
func Every(d time.Duration) func() Backoff {
	return func() Backoff { return backoff.NewConstantBackOff(d) }
}

// Exponential is an [Options].Backoff that waits longer after each attempt: about
// 50 milliseconds first, then half as long again each time, and never more than
// about 5 seconds. Each wait is up to half longer or shorter by chance, so that
// many clients do not dial at the same moment. It goes on for as long as the
// context of Connect allows.
func Exponential() func() Backoff {
	return func() Backoff {
		return backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(50*time.Millisecond),
			backoff.WithMaxInterval(5*time.Second),
			backoff.WithMaxElapsedTime(0)) // the context is the limit
	}
}
