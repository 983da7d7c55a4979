package proto

import (
	"errors"
	"strings"
	"testing"

	"github.com/goqmp/qmp/internal/testing/growth"
)

// A message may have at most MaxValues values to be decoded, however it is decoded. To
// refuse it takes no memory.
func TestTooManyValues(t *testing.T) {
	for name, tt := range map[string]struct {
		element string
		values  int // of one element
	}{
		"numbers": {"0,", 1}, "empty objects": {"{},", 2}, "objects": {`{"":0},`, 2}, "arrays": {"[],", 2}, "texts": {`"",`, 1}, "commas in a text": {`"` + strings.Repeat(",", 1000) + `",`, 1},
	} {
		message := func(values int) []byte {
			return []byte("[" + strings.TrimSuffix(strings.Repeat(tt.element, values/tt.values), ",") + "]")
		}
		if name == "commas in a text" {
			if err := checkValues(message(10_000)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err := checkValues(message(MaxValues - 2)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		raw := message(MaxValues + 2)
		var frame *FrameError
		if _, err := Decode(raw); !errors.As(err, &frame) || frame.Fault != TooMany || frame.Limit != MaxValues {
			t.Errorf("%s: Decode: got error %v", name, err)
		}
		var list []struct{ A, B, C [8]int }
		if err := Unmarshal(raw, &list); !errors.As(err, &frame) || frame.Fault != TooMany || list != nil {
			t.Errorf("%s: Unmarshal: got error %v", name, err)
		}
		if n := testing.AllocsPerRun(1, func() { _, _ = Decode(raw) }); n > 10 {
			t.Errorf("%s: to refuse it took %v allocations", name, n)
		}
	}
}

// shapes are messages of about n bytes that a hostile server may send.
var shapes = map[string]func(n int) []byte{
	"nesting":  func(n int) []byte { return repeated(n, strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+",") },
	"keys":     func(n int) []byte { return repeated(n, `{"":0},`) },
	"numbers":  func(n int) []byte { return repeated(n, "1234567890123,") },
	"digits":   func(n int) []byte { return repeated(n, strings.Repeat("9", MaxDigits)+",") },
	"strings":  func(n int) []byte { return repeated(n, `"\u0041",`) },
	"one text": func(n int) []byte { return []byte(`["` + strings.Repeat("x", n) + `"]`) },
	"blanks":   func(n int) []byte { return []byte("[" + strings.Repeat(" ", n) + "]") },
}

func repeated(n int, element string) []byte {
	return []byte("[" + strings.TrimSuffix(strings.Repeat(element, n/len(element)+1), ",") + "]")
}

// Decoding costs memory and CPU time in proportion to the size, for each shape. growth
// counts an operation as a byte.
func TestGrowthOfHostileShapes(t *testing.T) {
	sizes := []int{1 << 20, 2 << 20, 4 << 20, 8 << 20}
	if testing.Short() {
		sizes = []int{16 << 10, 32 << 10, 64 << 10, 128 << 10}
	}
	for name, shape := range shapes {
		for _, cost := range []growth.Cost{growth.Allocated, growth.CPU} {
			most := 3.0
			if cost == growth.CPU {
				most = 5 // a quadratic cost grows to 8 times
			}
			t.Run(name, func(t *testing.T) {
				growth.Check(t, growth.Case{Cost: cost, Sizes: sizes, Most: most, Setup: func(tb testing.TB, n int) func() int {
					raw := shape(n)
					return func() int {
						if _, err := Decode(raw); err != nil {
							var frame *FrameError
							if !errors.As(err, &frame) || frame.Fault != TooMany {
								tb.Fatal(err)
							}
						}
						return len(raw)
					}
				}})
			})
		}
	}
}
