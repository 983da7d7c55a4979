package qemujson

import (
	"encoding/json"
	"testing"
)

// FuzzParser reads any bytes, whole and in pieces. Both ways give the same, every value is JSON,
// and a parser reads its own value again as itself.
func FuzzParser(f *testing.F) {
	for _, version := range []string{"7.2", "11.1"} {
		in, _ := inputs(f, version)
		for i, s := range in {
			f.Add([]byte(s), uint8(i), version == "11.1")
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, piece uint8, positions bool) {
		read := func(in []byte, size int) (all []Result) {
			p := Parser{Positions: positions, MaxBytes: 1000}
			for len(in) > 0 {
				n := min(size, len(in))
				p.Feed(in[:n], func(r Result) { all = append(all, r) })
				in = in[n:]
			}
			return all
		}
		whole, pieces := read(in, len(in)), read(in, int(piece)+1)
		if len(whole) != len(pieces) {
			t.Fatalf("%q: %d results, and %d in pieces", in, len(whole), len(pieces))
		}
		for i, r := range whole {
			if string(r.Value) != string(pieces[i].Value) || r.Fault != pieces[i].Fault || (r.Value == nil) == (r.Fault == "") {
				t.Errorf("%q: result %d: %+v, and in pieces %+v", in, i, r, pieces[i])
			}
			if r.Fault != "" {
				continue
			}
			if !json.Valid(r.Value) {
				t.Errorf("%q: %s is not JSON", in, r.Value)
			}
			p := Parser{}
			p.Feed(append(r.Value, ' '), func(again Result) {
				if string(again.Value) != string(r.Value) {
					t.Errorf("%q: %s is read again as %s %s", in, r.Value, again.Value, again.Fault)
				}
			})
		}
	})
}
