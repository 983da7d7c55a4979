package legacy

import "time"

// A Wait says how long a call may wait: [NoWait], [Forever], or [For] a time.
// The zero Wait is NoWait. It is no number, so that no number can be mistaken
// for one: in Python, wait=1 waited for ever, and wait=1.0 one second.
type Wait struct{ timeout time.Duration } // as package qmpsync has it, except that 0 does not wait

// The two waits that have no length.
var (
	// NoWait does not wait: what is not there yet is nil, and no error. For a
	// call that cannot go without waiting, it is For(0).
	NoWait = Wait{}

	// Forever waits without a limit, until what is waited for comes, or the
	// connection ends.
	Forever = Wait{forever}
)

const forever = 1<<63 - 1

// For waits no longer than d, and then gives an [async.TimeoutError]. For(0),
// and For of a negative duration, has expired: the call fails at once.
func For(d time.Duration) Wait {
	if d <= 0 {
		return Wait{-1}
	}
	return Wait{min(d, forever-1)}
}

// limit returns w as a time limit of package qmpsync, for a call that waits.
func (w Wait) limit() time.Duration {
	switch w {
	case NoWait:
		return -1
	case Forever:
		return 0
	}
	return w.timeout
}
