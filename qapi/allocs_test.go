//go:build !race

package qapi_test

import (
	"context"
	"testing"

	"github.com/goqmp/qmp/async"
)

// A typed call allocates at most 1.2 times as often as the same call into structs that
// are written by hand. (The race detector empties pools at random, so that it would
// count other allocations.)
func TestTypedCallsAllocateAsHandMade(t *testing.T) {
	for _, p := range pairs {
		count := func(c async.Caller, call func(context.Context, async.Caller) error) float64 {
			return testing.AllocsPerRun(200, func() {
				if err := call(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			})
		}
		c := p.codec(t)
		typed, byHand := count(c, p.typed), count(c, p.byHand)
		t.Logf("%s: %v allocations, by hand %v", p.name, typed, byHand)
		if typed > 1.2*byHand {
			t.Errorf("%s: a typed call allocates %v times, one by hand %v times", p.name, typed, byHand)
		}
	}
}
