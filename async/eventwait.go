package async

import (
	"fmt"
	"strings"
)

// An EventWaitError says that a wait ended and the event had not come. It also says
// which events came instead. It unwraps to Err.
type EventWaitError struct {
	Names   []string // the names of the wanted events; none means any event, or that a function decides
	Client  string   // the client's nickname, or ""
	Passed  int      // how many other events the wait has read and dropped
	Last    []string // the names of the last few of those, oldest first
	Dropped int      // how many events the queue dropped unread, because it was full
	Err     error    // what the context ended with, or why the connection ended
}

// Error returns all of that on one line.
func (e *EventWaitError) Error() string {
	var b strings.Builder
	b.WriteString(prefix(e.Client))
	switch {
	case len(e.Names) > 0:
		fmt.Fprintf(&b, "no %s came", words(strings.Join(e.Names, " or ")))
	case e.Passed > 0:
		b.WriteString("no event came that was wanted")
	default:
		b.WriteString("no event came")
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	if e.Passed > 0 {
		fmt.Fprintf(&b, "; other events came: %d, the last of them %s", e.Passed, words(strings.Join(e.Last, ", ")))
	}
	if e.Dropped > 0 {
		fmt.Fprintf(&b, "; events dropped unread, because the queue was full: %d, what was waited for may be one of them (raise the queue's limit, or read it earlier)", e.Dropped)
	}
	return b.String()
}

func (e *EventWaitError) Unwrap() error { return e.Err }
