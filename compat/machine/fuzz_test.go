package machine_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/proto"
)

// A value matches itself and every part of itself, and does not match a value that
// differs anywhere. For all other values the result is that of the rule in Match's
// comment.
func FuzzMatch(f *testing.F) {
	for _, s := range []string{
		`{"event": "BLOCK_JOB_READY", "data": {"device": "drive0", "len": 1, "type": "mirror"}, "timestamp": {"seconds": 1, "microseconds": 2}}`,
		`{"data": {"device": "drive0"}}`,
		`{"data": {"device": ""}, "timestamp": {}}`,
		`{"a": [1, {"b": null, "c": []}, "x"], "d": 9007199254740993, "e": -2.5e-3, "f": true}`,
		`{"a": [1.0, {"c": [], "b": null}, "x"], "d": 9007199254740992, "f": 1, "e": null}`,
		`{"a": 18446744073709551615, "b": 18446744073709551616, "c": 1e400, "d": -0, "e": -0.0}`,
		`{"a": 1, "a": 2}`, `{"a": "\ud800"}`, "{\"\xff\": 1}", `[]`, `[[]]`, `{}`, `""`, `"x"`, `null`, `0`, `false`, `1e-400`,
	} {
		f.Add([]byte(s), []byte(`{"data": {"device": "drive0"}}`), uint64(len(s)))
		f.Add([]byte(s), []byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, value, pattern []byte, seed uint64) {
		// Any bytes: false if they are not JSON that can be sent.
		for _, raw := range [][]byte{value, pattern} {
			if machine.Equal(json.RawMessage(raw), json.RawMessage(raw)) && !json.Valid(raw) {
				t.Errorf("%q equals itself", raw)
			}
		}
		v, ok := parse(value)
		if !ok {
			return
		}
		rng := rand.New(rand.NewPCG(seed, seed))
		wantMatch := func(what string, pattern any, want bool) {
			t.Helper()
			if got := machine.Match(v, pattern); got != want {
				t.Errorf("%s: Match(%#v, %#v) is %v", what, v, pattern, got)
			}
		}
		wantMatch("itself", v, true)
		wantMatch("nothing", nil, true)
		wantMatch("part of it", part(rng, v), true)
		changed := change(rng, v)
		wantMatch("another value in it", changed, false)
		if !machine.Equal(v, v) || machine.Equal(v, changed) || machine.Equal(changed, v) {
			t.Errorf("%#v equals %#v, or not itself", v, changed)
		}
		if jsontext.Value(value).IsValid() { // without what cannot be sent
			wantMatch("itself as JSON", json.RawMessage(value), true)
			if !machine.Match(json.RawMessage(value), v) {
				t.Errorf("as JSON %s does not match %#v", value, v)
			}
		}

		p, ok := parse(pattern)
		if !ok {
			return
		}
		wantMatch("by the rule", p, matches(v, p))
		if got, want := machine.Equal(v, p), same(v, p); got != want || machine.Equal(p, v) != want {
			t.Errorf("Equal(%#v, %#v) is %v, and the other way round %v", v, p, got, machine.Equal(p, v))
		}
	})
}

// parse returns the value of raw. ok is false if it is not JSON that events and patterns
// can hold, has a number without a value, or too many levels for a quick test.
func parse(raw []byte) (v any, ok bool) {
	if len(raw) > 1<<13 || !json.Valid(raw) {
		return nil, false
	}
	v, err := proto.Decode(raw)
	return v, err == nil && finite(v)
}

func finite(v any) bool {
	switch v := v.(type) {
	case float64:
		return !math.IsInf(v, 0)
	case []any:
		return !slices.ContainsFunc(v, func(e any) bool { return !finite(e) })
	case map[string]any:
		for _, e := range v {
			if !finite(e) {
				return false
			}
		}
	}
	return true
}

// part returns v without some of its members, at any depth, and with some values
// replaced by one that matches everything.
func part(rng *rand.Rand, v any) any {
	if rng.IntN(8) == 0 {
		return []any{nil, "", []any{}, map[string]any{}}[rng.IntN(4)]
	}
	m, ok := v.(map[string]any)
	if !ok {
		return v // a list only matches as a whole
	}
	some := make(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if rng.IntN(2) == 0 {
			some[name] = part(rng, m[name])
		}
	}
	return some
}

// change returns a copy of v in which one value differs, or that has one more member.
func change(rng *rand.Rand, v any) any {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return !v
	case string:
		return v + "x"
	case []any:
		i := rng.IntN(len(v) + 1)
		if i == len(v) {
			return append(slices.Clone(v), nil)
		}
		v = slices.Clone(v)
		v[i] = change(rng, v[i])
		return v
	case map[string]any:
		names := slices.Sorted(maps.Keys(v))
		v = maps.Clone(v)
		if i := rng.IntN(len(v) + 1); i < len(names) {
			v[names[i]] = change(rng, v[names[i]])
			return v
		}
		more := "more"
		for _, taken := v[more]; taken; _, taken = v[more] {
			more += "x"
		}
		v[more] = nil
		return v
	case float64:
		if math.Abs(v) > 1e300 {
			return v / 2
		}
		return 2*v + math.Copysign(1, v)
	}
	return new(big.Int).Add(exactly(v).Num(), big.NewInt(1)) // of an integer
}

// matches is the rule of Match, as its comment has it.
func matches(v, pattern any) bool {
	switch p := pattern.(type) {
	case map[string]any:
		m, isObject := v.(map[string]any)
		for name, wanted := range p {
			if member, ok := m[name]; !ok || !matches(member, wanted) {
				return false
			}
		}
		return isObject || len(p) == 0
	case []any:
		return len(p) == 0 || same(v, p)
	case nil:
		return true
	}
	return pattern == "" || same(v, pattern)
}

// same is the rule of Equal.
func same(a, b any) bool {
	switch a := a.(type) {
	case nil:
		return b == nil
	case string:
		return a == b
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, same)
	}
	x, y := exactly(a), exactly(b)
	return x != nil && y != nil && x.Cmp(y) == 0
}

// exactly returns the value of a number or bool, or else nil.
func exactly(v any) *big.Rat {
	switch v {
	case true:
		return big.NewRat(1, 1)
	case false:
		return new(big.Rat)
	}
	switch v := v.(type) {
	case float64:
		return new(big.Rat).SetFloat64(v)
	case int64, uint64, *big.Int:
		x, _ := new(big.Rat).SetString(fmt.Sprint(v))
		return x
	}
	return nil
}
