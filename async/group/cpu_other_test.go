//go:build !unix

package group_test

import "time"

var began = time.Now()

// cpu returns the time since the start: this system has no call for the processor time.
func cpu() time.Duration { return time.Since(began) }
