package proto

import (
	stdjson "encoding/json"
	"math"
	"math/big"
	"testing"
)

// A number is sent with the fewest digits that have its exact value. A float64 without
// a fraction is sent as an integer, which QEMU accepts for both kinds of number. Decode
// returns the same value again.
func TestNumbersGoOutExactly(t *testing.T) {
	tooBig := bigInt(t, "18446744073709551616")
	for _, tt := range []struct {
		v    any
		want string // "" if the number is refused
	}{
		{int64(math.MinInt64), `-9223372036854775808`},
		{uint64(math.MaxUint64), `18446744073709551615`},
		{tooBig, `18446744073709551616`},
		{*tooBig, `18446744073709551616`},
		{(*big.Int)(nil), `null`},
		{1.0, `1`},
		{-0.5, `-0.5`},
		{float64(1 << 53), `9007199254740992`},
		{1e21, `1e+21`},
		{float32(0.1), `0.1`},
		{math.NaN(), ``},
		{math.Inf(1), ``},
		{stdjson.Number("9007199254740993"), `9007199254740993`},
		{stdjson.Number("1.0"), `1.0`},
		{stdjson.Number("-1e400"), `-1e400`},
		{stdjson.Number(""), ``},
		{stdjson.Number(`"x"`), ``},
		{stdjson.Number("null"), ``},
		{stdjson.Number("{}"), ``},
		{stdjson.Number("1 2"), ``},
		{stdjson.Number("01"), ``},
		{stdjson.Number("NaN"), ``},
		{stdjson.RawMessage(`1.0`), `1.0`},
	} {
		got, err := AppendObject(nil, map[string]any{"n": tt.v})
		switch {
		case tt.want == "":
			if err == nil {
				t.Errorf("%T %v goes out as %s, and was to be refused", tt.v, tt.v, got)
			}
		case err != nil || string(got) != `{"n":`+tt.want+`}`:
			t.Errorf("%T %v goes out as %s, %v; want %s", tt.v, tt.v, got, err, tt.want)
		}
	}
}
