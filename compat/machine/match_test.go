package machine_test

import (
	"testing"

	"github.com/goqmp/qmp/compat/machine"
)

// dict is a JSON object.
type dict = map[string]any

func TestEqual(t *testing.T) {
	for _, tt := range []struct {
		a, b any
		want bool
	}{
		{1, 1.0, true},
		{uint64(1) << 63, float64(1 << 63), true},
		{int64(1)<<53 + 1, float64(1 << 53), false},
		{1, true, true},
		{"1", 1, false},
		{nil, 0, false},
		{nil, nil, true},
		{dict{"a": []int{1}}, map[string][]float64{"a": {1}}, true},
		{dict{"a": 1}, dict{"a": 1, "b": 2}, false},
		{[]any{1, 2}, []any{2, 1}, false},
		{make(chan int), make(chan int), false},
	} {
		if got := machine.Equal(tt.a, tt.b); got != tt.want {
			t.Errorf("%v and %v: %v", tt.a, tt.b, got)
		}
	}
}
