// Tests that what a hostile server sends costs memory and time in proportion to its size.
// The code that they hold: reply.go and internal/proto.
package async_test

import (
	"errors"
	"flag"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/growth"
)

// go test -run HostileShapes ./async -args -hostile=32
var hostileSize = flag.Int("hostile", 0, "the largest hostile message of the growth test, in MiB; 0 means a small one")

// shapes are messages of about n bytes that a hostile server may send.
var shapes = map[string]func(n int) []byte{
	"nesting":  func(n int) []byte { return repeated(n, strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+",") },
	"keys":     func(n int) []byte { return repeated(n, `{"":0},`) },
	"numbers":  func(n int) []byte { return repeated(n, "1234567890123,") },
	"digits":   func(n int) []byte { return repeated(n, strings.Repeat("9", 4300)+",") },
	"strings":  func(n int) []byte { return repeated(n, `"\u0041",`) },
	"one text": func(n int) []byte { return wrapped(`"` + strings.Repeat("x", n) + `"`) },
	"blanks":   func(n int) []byte { return wrapped(strings.Repeat(" ", n)) },
}

func repeated(n int, element string) []byte {
	return wrapped(strings.TrimSuffix(strings.Repeat(element, n/len(element)+1), ","))
}

func wrapped(elements string) []byte { return []byte(`{"return":[` + elements + `]}`) }

// hostileSizes are the sizes of what a hostile server sends, in bytes. The long form
// begins with 1 MiB, if the largest size is 32 MiB.
func hostileSizes() []int {
	if largest := *hostileSize << 20; largest > 0 {
		return []int{largest / 32, largest / 16, largest / 8, largest / 4, largest / 2, largest}
	}
	largest := 1 << 20
	if testing.Short() {
		largest = 128 << 10
	}
	return []int{largest / 8, largest / 4, largest / 2, largest}
}

// Reading and decoding a message costs memory and CPU time in proportion to the size, for each shape. growth
// counts an operation as a byte.
// Holds E9.
func TestGrowthOfHostileShapes(t *testing.T) {
	sizes := hostileSizes()
	for name, shape := range shapes {
		for _, cost := range []growth.Cost{growth.Allocated, growth.CPU} {
			most := 3.0
			if cost == growth.CPU {
				most = 5 // a quadratic cost grows to 8 times, or to 32 times in the long form
			}
			t.Run(name, func(t *testing.T) {
				growth.Check(t, growth.Case{Cost: cost, Sizes: sizes, Most: most, Setup: func(tb testing.TB, n int) func() int {
					raw := shape(n)
					return func() int {
						reply, err := async.ParseReply("x", raw)
						if err != nil {
							tb.Fatal(err)
						}
						var v any
						var wrong *async.MessageError
						if err := reply.Decode(&v); err != nil && (!errors.As(err, &wrong) || wrong.Reason != async.TooMany) {
							tb.Fatal(err)
						}
						return len(raw)
					}
				}})
			})
		}
	}
}
