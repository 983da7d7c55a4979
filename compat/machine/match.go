package machine

import (
	"fmt"
	"math/big"

	"github.com/goqmp/qmp/internal/proto"
)

// Match reports whether value, such as an event, matches pattern.
//
// If pattern is an object, value must be an object that has each of pattern's
// members, and each of these must match in turn. Other members of value do not
// matter. A pattern that is nil, or an empty object, list or string, matches
// everything. Any other pattern must be equal to value, as [Equal] has it.
//
// Both may be what QMP and the event methods return, or any value that can be sent
// as an argument. A value that cannot be sent matches nothing.
func Match(value, pattern any) bool {
	v, err := normalize(value)
	if err != nil {
		return false
	}
	p, err := normalize(pattern)
	return err == nil && match(v, p)
}

// Equal reports whether two values are the same JSON. The order of an object's
// members does not matter. Numbers are compared by value, whatever their Go types
// are; true equals 1 and false equals 0, as in Python. Values are as for [Match]: one
// that cannot be sent equals nothing.
func Equal(a, b any) bool {
	v, err := normalize(a)
	if err != nil {
		return false
	}
	w, err := normalize(b)
	return err == nil && equal(v, w)
}

// compile normalizes the patterns.
func compile(matches []EventMatch) ([]EventMatch, error) {
	compiled := make([]EventMatch, len(matches))
	for i, m := range matches {
		pattern, err := normalize(m.Pattern)
		if err != nil {
			return nil, fmt.Errorf("the pattern for %s: %w", m.Name, err)
		}
		compiled[i] = EventMatch{Name: m.Name, Pattern: pattern}
	}
	return compiled, nil
}

// normalize returns v as the Go value that its JSON is decoded to.
func normalize(v any) (any, error) {
	switch v.(type) {
	case nil, bool, string, int64, float64:
		return v, nil
	}
	// AppendObject only encodes objects, so v becomes a member of one.
	raw, err := proto.AppendObject(nil, map[string]any{"v": v})
	if err != nil {
		return nil, err
	}
	decoded, err := proto.Decode(raw)
	if err != nil {
		return nil, err
	}
	obj, _ := decoded.(map[string]any)
	return keepFloats(obj["v"], v), nil
}

// keepFloats returns decoded, with the float64s that are in original in the place of
// the numbers that were made from them. JSON has only the shortest digits that
// identify a float64: a large one, read as an integer, is another number.
func keepFloats(decoded, original any) any {
	switch original := original.(type) {
	case float64:
		return original
	case []any:
		if list, ok := decoded.([]any); ok {
			for i := range list {
				list[i] = keepFloats(list[i], original[i])
			}
		}
	case map[string]any:
		if m, ok := decoded.(map[string]any); ok {
			for name, v := range m {
				m[name] = keepFloats(v, original[name])
			}
		}
	}
	return decoded
}

// match is Match for normalized values.
func match(value, pattern any) bool {
	switch p := pattern.(type) {
	case nil:
		return true
	case map[string]any:
		if len(p) == 0 {
			return true
		}
		v, ok := value.(map[string]any)
		if !ok {
			return false
		}
		for name, wanted := range p {
			member, ok := v[name]
			if !ok || !match(member, wanted) {
				return false
			}
		}
		return true
	case []any:
		return len(p) == 0 || equal(value, p)
	case string:
		return p == "" || equal(value, p)
	}
	return equal(value, pattern)
}

// equal is Equal for normalized values.
func equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, v := range a {
			w, ok := b[name]
			if !ok || !equal(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case string, nil:
		return a == b
	}
	x, y := number(a), number(b)
	return x != nil && y != nil && x.Cmp(y) == 0
}

// number returns the exact value of a number or bool, or else nil.
func number(v any) *big.Rat {
	switch v := v.(type) {
	case bool:
		if v {
			return big.NewRat(1, 1)
		}
		return new(big.Rat)
	case int64:
		return new(big.Rat).SetInt64(v)
	case uint64:
		return new(big.Rat).SetUint64(v)
	case *big.Int:
		return new(big.Rat).SetInt(v)
	case float64:
		return new(big.Rat).SetFloat64(v) // nil if it is infinite
	}
	return nil
}
