package legacy

import "time"

// A Wait says how long a call may wait: [NoWait], [Forever], or [For] a time. The
// zero Wait is NoWait. A Wait is not a number, so that nobody can pass a number by
// mistake: in Python, wait=1 waited for ever, and wait=1.0 waited one second.
type Wait struct {
	timeout time.Duration // 0 for NoWait, forever for Forever, -1 for a wait that has expired
}

// The two waits that have no length.
var (
	// NoWait does not wait: if there is nothing yet, the call returns nothing and
	// a nil error. Calls that cannot work without waiting treat it as For(0).
	NoWait = Wait{}

	// Forever waits without a time limit, until the call has its result or the
	// connection ends.
	Forever = Wait{forever}
)

const forever = 1<<63 - 1

// For waits no longer than d. After that the call fails with an
// [*async.TimeoutError]. With a d of 0 or less the call fails at once.
func For(d time.Duration) Wait {
	if d <= 0 {
		return Wait{-1}
	}
	return Wait{min(d, forever-1)}
}

// limit returns w as a time limit of package qmpsync, for a call that waits: 0
// means no limit, and a negative limit has expired.
func (w Wait) limit() time.Duration {
	switch w {
	case NoWait:
		return -1
	case Forever:
		return 0
	}
	return w.timeout
}
