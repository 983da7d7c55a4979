package async_test

import (
	"encoding/json"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/testing/growth"
)

// Encoding Members in Members costs the same for each level, however many there are.
func TestGrowthOfNestedMembers(t *testing.T) {
	for name, encode := range map[string]func(any) error{
		"engine":        func(v any) error { _, err := proto.AppendObject(nil, v); return err },
		"encoding/json": func(v any) error { _, err := json.Marshal(v); return err },
	} {
		for _, cost := range []growth.Cost{growth.Allocated, growth.CPU} {
			most := 4.0
			if cost == growth.CPU {
				most = 16 // a quadratic cost grows to 64 times; caches and a busy machine make 5 of it
			}
			growth.Check(t, growth.Case{Cost: cost, Sizes: []int{15, 60, 240, 960}, Most: most, Setup: func(tb testing.TB, n int) func() int {
				v := any("text")
				for range n {
					v = async.Members{{Name: "member", Value: v}}
				}
				return func() int {
					const levels = 1920
					for range levels / n {
						if err := encode(v); err != nil {
							tb.Fatalf("%s: %v", name, err)
						}
					}
					return levels
				}
			}})
		}
	}
}
