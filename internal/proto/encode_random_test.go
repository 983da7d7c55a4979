package proto

import (
	"bytes"
	stdjson "encoding/json"
	"math/big"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// AppendObject in encode.go, with random values.

// TestAppendObjectProperties encodes random values and decodes them again.
func TestAppendObjectProperties(t *testing.T) {
	seed := rand.Uint64()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		want := randomObject(rng, 4)
		raw, err := AppendObject(nil, want)
		if err != nil {
			t.Fatalf("%v: %v", want, err)
		}
		checkWire(t, raw)
		if got := decoded(t, raw); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s:\n got %v\nwant %v", raw, got, want)
		}
		// An encoded message encodes to itself.
		again, err := AppendObject(nil, stdjson.RawMessage(raw))
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("%s\nagain %s, %v", raw, again, err)
		}
	}
}

func randomObject(rng *rand.Rand, depth int) map[string]any {
	m := map[string]any{}
	for range rng.IntN(5) {
		m[randomText(rng)] = randomValue(rng, depth-1)
	}
	return m
}

func randomValue(rng *rand.Rand, depth int) any {
	n := rng.IntN(10)
	if depth == 0 {
		n = rng.IntN(8)
	}
	switch n {
	case 0:
		return nil
	case 1:
		return rng.IntN(2) == 0
	case 2:
		return randomText(rng)
	case 3:
		return int64(rng.Uint64()) >> rng.IntN(64)
	case 4:
		return rng.Uint64() | 1<<63
	case 5:
		return new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1+rng.Int64()), 64), big.NewInt(rng.Int64()))
	case 6:
		return float64(rng.Int64N(1000)) + 0.25
	case 7:
		return (rng.Float64() - 0.5) * 1e-300 // an exponent, so that it stays a float
	case 8:
		return randomObject(rng, depth)
	}
	a := []any{}
	for range rng.IntN(4) {
		a = append(a, randomValue(rng, depth-1))
	}
	return a
}

func randomText(rng *rand.Rand) string {
	var b strings.Builder
	for range rng.IntN(8) {
		switch rng.IntN(4) {
		case 0:
			b.WriteByte(byte(rng.IntN(0x80)))
		case 1:
			b.WriteByte(`"\/{}[],: <>&`[rng.IntN(13)])
		default:
			b.WriteRune(rune(rng.IntN(utf8.MaxRune))) // WriteRune writes U+FFFD for a surrogate
		}
	}
	return b.String()
}
