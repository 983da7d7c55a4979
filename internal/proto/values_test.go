package proto

import (
	"errors"
	"strings"
	"testing"
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
