package qapigen

import (
	"slices"
	"testing"
)

// Tests of ReadFacts in facts.go, and of merge.go, which it calls.

// The schema of ReadFacts has every kind of definition, and also the definitions and
// members that a release from Oldest on had and the newest one does not.
func TestReadFacts(t *testing.T) {
	for program, want := range map[string]struct {
		commands int               // at least
		kinds    []Kind            // each has a definition
		removed  map[string]string // the release that removed it, by command, event, type or Type.member
	}{
		"qemu": {
			200,
			[]Kind{Struct, Union, Alternate, Enum, Command, Event},
			map[string]string{
				"x-query-profile": "8.1", "MEM_UNPLUG_ERROR": "9.1", "MigrationThreadInfo": "11.1", "BlockdevOptions[gluster]": "11.1",
			},
		},
		"qga": {40, []Kind{Struct, Union, Alternate, Enum, Command}, nil},
	} {
		s, _, err := ReadFacts(program)
		if err != nil {
			t.Fatalf("%s: %v", program, err)
		}
		kinds, removed := map[Kind]int{}, map[string]string{}
		for _, d := range s.Defs {
			kinds[d.Kind]++
			removed[d.Name] = d.Removed
			for _, m := range d.Members {
				removed[d.Name+"."+m.Name] = m.Removed
			}
			for _, b := range d.Branches {
				removed[d.Name+"["+b.Name+"]"] = b.Removed
			}
			for _, v := range d.Values {
				removed[d.Name+"."+v.Name] = v.Removed
			}
		}
		if kinds[Command] < want.commands || slices.ContainsFunc(want.kinds, func(k Kind) bool { return kinds[k] == 0 }) {
			t.Errorf("%s: got the definitions %v, want at least %d commands and some of %v", program, kinds, want.commands, want.kinds)
		}
		for name, release := range want.removed {
			if got := removed[name]; got != release {
				t.Errorf("%s: %s was removed in %q, want %q", program, name, got, release)
			}
		}
		for name, release := range removed {
			if release != "" && CompareReleases(release, Oldest) <= 0 {
				t.Errorf("%s: %s was removed in %s, and %s did not have it", program, name, release, Oldest)
			}
		}
	}
}
