//go:build !unix

package usage

import "time"

var began = time.Now()

// CPU returns the time since the start: this system has no call for the processor time.
func CPU() time.Duration { return time.Since(began) }

// Peak returns 0: this system has no call for it.
func Peak() int64 { return 0 }
