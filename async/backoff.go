package async

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// A Backoff is a policy that says how long a client waits before it makes a further
// attempt to connect. It is used by one Connect or Accept, and by what [Reconnect] does
// after that, so it may have a state: [Options].Backoff returns a new one for each. One
// goroutine at a time uses it. The policies of package github.com/cenkalti/backoff/v4
// are Backoffs.
type Backoff interface {
	// NextBackOff returns how long to wait before the next attempt. Less than 10
	// milliseconds counts as 10 milliseconds. If it is negative, the client gives up.
	NextBackOff() time.Duration

	// Reset is called before the first attempt, and when a useful connection has
	// ended: see [Reconnect].
	Reset()
}

// Every returns an [Options].Backoff: the client waits for d before each further
// attempt. It does not give up.
func Every(d time.Duration) func() Backoff {
	return func() Backoff { return backoff.NewConstantBackOff(d) }
}

// Exponential returns an [Options].Backoff: the client waits longer before each further
// attempt, and does not give up. The first wait is 50 milliseconds; each one is 1.5
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
