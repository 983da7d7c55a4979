package transcripts

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
)

// Equal returns nil if got is the Go value for want, and has the right type. For an
// integer that is an int64, above 2^63-1 a uint64, and beyond 64 bits a *big.Int.
// Any other number is a float64. The other types are map[string]any, []any, string,
// bool and nil. A lone surrogate in want stands for U+FFFD.
func Equal(want, got any) error { return equal("", want, got) }

func equal(path string, want, got any) error {
	differ := func() error {
		if path == "" {
			path = "the value"
		}
		return fmt.Errorf("%s is %s, want %s", path, describe(got), shorten(Text(want)))
	}
	switch want := want.(type) {
	case Object:
		m, ok := got.(map[string]any)
		if !ok {
			return differ()
		}
		names := make(map[string]bool)
		for _, member := range want {
			name := replaced(member.Name)
			names[name] = true
			v, ok := m[name]
			if !ok {
				return fmt.Errorf("%s/%s is missing", path, name)
			}
			value, _ := want.Get(member.Name)
			if err := equal(path+"/"+name, value, v); err != nil {
				return err
			}
		}
		for name := range m {
			if !names[name] {
				return fmt.Errorf("%s/%s is unexpected: %s", path, name, describe(m[name]))
			}
		}
		return nil
	case []any:
		list, ok := got.([]any)
		if !ok {
			return differ()
		}
		if len(list) != len(want) {
			return fmt.Errorf("%s: %d elements, want %d: %s", path, len(list), len(want), describe(got))
		}
		for i := range want {
			if err := equal(fmt.Sprintf("%s/%d", path, i), want[i], list[i]); err != nil {
				return err
			}
		}
		return nil
	case string:
		if s, ok := got.(string); !ok || s != replaced(want) {
			return differ()
		}
	case Float:
		f, ok := got.(float64)
		if !ok || !(f == float64(want) || math.IsNaN(f) && math.IsNaN(float64(want))) {
			return differ()
		}
	case Number:
		if !equalNumber(number(want), got) {
			return differ()
		}
	default: // nil, bool
		if got != want {
			return differ()
		}
	}
	return nil
}

func equalNumber(want, got any) bool {
	switch want := want.(type) {
	case *big.Int:
		n, ok := got.(*big.Int)
		return ok && n.Cmp(want) == 0
	case float64:
		f, ok := got.(float64)
		return ok && f == want && math.Signbit(f) == math.Signbit(want)
	}
	return got == want
}

// replaced returns s with U+FFFD for each lone surrogate.
func replaced(s string) string {
	if !strings.Contains(s, "\xed") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if _, ok := surrogate(s[i:]); ok {
			b.WriteRune('\ufffd')
			i += 3
			continue
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}

// SameWire returns nil if two values from [Parse] are the same. The order of members
// counts only if ordered is true. The way in which a number is written counts only
// if exact is true.
func SameWire(want, got any, ordered, exact bool) error {
	if sameWire(want, got, ordered, exact) {
		return nil
	}
	return fmt.Errorf("got %s, want %s", shorten(Compact(got)), shorten(Compact(want)))
}

func sameWire(want, got any, ordered, exact bool) bool {
	switch want := want.(type) {
	case Object:
		got, ok := got.(Object)
		if !ok || len(got) != len(want) {
			return false
		}
		for i, m := range want {
			other := got[i]
			if !ordered {
				j := slices.IndexFunc(got, func(o Member) bool { return o.Name == m.Name })
				if j < 0 {
					return false
				}
				other = got[j]
			}
			if other.Name != m.Name || !sameWire(m.Value, other.Value, ordered, exact) {
				return false
			}
		}
		return true
	case []any:
		got, ok := got.([]any)
		return ok && slices.EqualFunc(want, got, func(a, b any) bool { return sameWire(a, b, ordered, exact) })
	case Number:
		got, ok := got.(Number)
		if !ok || exact || want.IsInteger() && got.IsInteger() {
			return ok && want == got
		}
		a, errA := want.Seconds()
		b, errB := got.Seconds()
		return errA == nil && errB == nil && a == b
	}
	return want == got
}

// describe returns a Go value and its type, for an error.
func describe(v any) string {
	switch v.(type) {
	case nil:
		return "nil"
	case string:
		return shorten(fmt.Sprintf("%q", v))
	}
	return shorten(fmt.Sprintf("%v (%T)", v, v))
}

func shorten(s string) string {
	const most = 300
	if len(s) > most {
		return fmt.Sprintf("%s... (%d bytes)", s[:most], len(s))
	}
	return s
}
