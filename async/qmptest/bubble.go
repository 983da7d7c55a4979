package qmptest

import (
	"bytes"
	"cmp"
	"fmt"
	"runtime"
	"strings"
	"time"
)

// A home says where something was made: the number of the testing/synctest
// bubble, or "" outside of all bubbles. A value that has channels, goroutines or
// timers can only be used where it was made. Elsewhere a wait never ends, or the
// runtime ends the program.
type home string

// here returns the caller's home.
func here() home {
	if !inBubble() {
		return ""
	}
	// Only the first line of a stack trace names the bubble.
	var b [128]byte
	line, _, _ := bytes.Cut(b[:runtime.Stack(b[:], false)], []byte("]:"))
	_, number, _ := strings.Cut(string(line), "synctest bubble ")
	return home(cmp.Or(number, "?"))
}

// inBubble reports whether here() != "", at less cost. In a bubble, and nowhere
// else, time.Now has no monotonic clock reading.
func inBubble() bool {
	now := time.Now()
	return now == now.Round(0)
}

// check returns an error unless the caller is in the same bubble, or like h
// outside of all bubbles. what names the value that was made there, such as
// "this Pipe".
func (h home) check(what string) error {
	switch at := here(); {
	case at == h:
		return nil
	case h == "":
		return fmt.Errorf("qmptest: %s was made outside of the testing/synctest bubble that uses it: make it inside the bubble", what)
	case at == "":
		return fmt.Errorf("qmptest: %s was made in a testing/synctest bubble and is used outside of it: make it where it is used", what)
	default:
		return fmt.Errorf("qmptest: %s was made in another testing/synctest bubble: make it in the one that uses it", what)
	}
}

// quickCheck is check for functions that are called often. It costs less, but
// does not tell one bubble from another.
func (h home) quickCheck(what string) error {
	if inBubble() == (h != "") {
		return nil
	}
	return h.check(what)
}

// noSocketHere returns an error in a bubble. A goroutine that waits for a socket
// keeps the bubble's clock from advancing, so no timeout would ever expire.
func noSocketHere() error {
	if !inBubble() {
		return nil
	}
	return fmt.Errorf("qmptest: a real socket cannot be used in a testing/synctest bubble, because the bubble's clock stands still while a goroutine waits for one: use Network: qmptest.Memory, and Dial")
}
