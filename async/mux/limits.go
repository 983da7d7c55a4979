package mux

import (
	"math"
	"time"
)

// A bucket limits how many commands come in a second. It fills at a rate, and each command
// takes one out.
type bucket struct {
	rate, size float64 // a rate of 0 means no limit
	level      float64
	at         time.Time // when level was right
}

func newBucket(rate float64, burst int) bucket {
	size := float64(burst)
	if burst <= 0 {
		size = math.Max(math.Ceil(rate), 1)
	}
	return bucket{rate: max(rate, 0), size: size, level: size, at: time.Now()}
}

// take takes one command out, and reports whether there was one.
func (b *bucket) take(now time.Time) bool {
	if b.rate == 0 {
		return true
	}
	b.level = min(b.size, b.level+b.rate*now.Sub(b.at).Seconds())
	b.at = now
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}
