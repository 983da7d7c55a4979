package qapigen

import "testing"

func TestReadFacts(t *testing.T) {
	for _, p := range []string{"qemu", "qga"} {
		s, _, err := ReadFacts(p)
		if err != nil {
			t.Fatal(p, err)
		}
		n := map[Kind]int{}
		for _, d := range s.Defs {
			n[d.Kind]++
			if d.Removed != "" {
				t.Log(d.Kind, d.Name, "removed in", d.Removed)
			}
			for _, m := range d.Members {
				if m.Removed != "" {
					t.Log("  ", d.Name, m.Name, m.Type, m.Removed)
				}
			}
			for _, m := range d.Branches {
				if m.Removed != "" {
					t.Log("  ", d.Name, m.Name, m.Type, m.Removed)
				}
			}
			for _, m := range d.Values {
				if m.Removed != "" {
					t.Log("  value", d.Name, m.Name, m.Removed)
				}
			}
		}
		t.Log(n)
	}
}
