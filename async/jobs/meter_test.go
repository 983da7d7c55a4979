package jobs

import (
	"math"
	"testing"
	"time"
)

// A meter does not care about clocks that are set, and forgets old measurements.
func TestMeter(t *testing.T) {
	var m meter
	at := time.Now()
	for i := range 100 {
		rate := m.add(at.Add(time.Duration(i)*time.Second), int64(7*i))
		if want := map[bool]float64{false: 7}[i == 0]; rate != want {
			t.Errorf("measurement %d: %v, want %v", i, rate, want)
		}
	}
	if len(m.samples) != mostSamples {
		t.Errorf("it keeps %d", len(m.samples))
	}
	// Without a monotonic clock, a clock may go back.
	for _, back := range []time.Duration{0, -time.Hour} {
		if rate := m.add(at.Add(99*time.Second+back), 700); rate < 0 || math.IsNaN(rate) || math.IsInf(rate, 0) {
			t.Errorf("the clock went back by %v: %v", -back, rate)
		}
	}
	if rate := m.add(at.Add(200*time.Second), math.MinInt64); rate != 0 {
		t.Errorf("less than before: %v", rate)
	}
	if rate := m.add(at.Add(201*time.Second), math.MaxInt64); rate <= 0 || math.IsInf(rate, 0) {
		t.Errorf("the largest step: %v", rate)
	}
	for amount, rate := range map[float64]float64{1: 0, 2: -1, math.MaxInt64: 1e-9, math.Inf(1): 1, 3: math.NaN()} {
		if left, ok := timeFor(amount, rate); ok {
			t.Errorf("%v at %v takes %v", amount, rate, left)
		}
	}
}
