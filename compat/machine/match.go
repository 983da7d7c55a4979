package machine

import (
	"fmt"
	"math/big"

	"github.com/goqmp/qmp/internal/proto"
)

// Match reports whether value, such as an event, matches pattern.
//
// A pattern that is an object describes some members, at any depth: each must be
// there and match, and others do not matter. nil, and an empty object, list or
// text, match everything. All else has to be equal, numbers by their value
// whatever their types are, with true and false for 1 and 0.
//
// Both may be what QMP and the event methods return, or anything that can be sent
// as an argument; what cannot matches nothing.
func Match(value, pattern any) bool {
	v, err := normalize(value)
	if err != nil {
		return false
	}
	p, err := normalize(pattern)
	return err == nil && match(v, p)
}

// Equal reports whether two values are the same JSON: objects have the same
// members in any order, numbers count by their value whatever their types are,
// and true and false are 1 and 0, as in Python. Values are as for [Match]; one that
// cannot be sent equals nothing.
func Equal(a, b any) bool {
	v, err := normalize(a)
	if err != nil {
		return false
	}
	w, err := normalize(b)
	return err == nil && equal(v, w)
}

// compile brings the patterns into the form that match wants.
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

// normalize turns v into what JSON is decoded to.
func normalize(v any) (any, error) {
	switch v.(type) {
	case nil, bool, string, int64, float64:
		return v, nil
	}
	// Only objects are sent, so that is what can be encoded.
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

// keepFloats returns decoded with the numbers that original, of which it was made,
// has as float64: JSON has the shortest digits that tell one from its neighbours,
// which make another integer of a large one.
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

// match is Match for values as JSON is decoded to.
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

// equal reports whether two values are the same, numbers by their value.
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

// number returns the exact value of a number or truth value, or nil.
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
