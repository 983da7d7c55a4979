package qapigen

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// Compare finds every kind of difference, and explains what changed between releases.
func TestCompare(t *testing.T) {
	t.Parallel()
	const definitions = `
{ 'enum': 'E', 'data': [ 'a', 'b', { 'name': 'conditional', 'if': 'X' } ] }
{ 'struct': 'A', 'data': { 's': 'str', '*o': 'int', 'list': ['E'], '*later': 'bool', 'any': 'any' } }
{ 'union': 'U', 'base': { 'e': 'E' }, 'discriminator': 'e', 'data': { 'a': 'A', 'conditional': { 'type': 'A', 'if': 'X' } } }
{ 'alternate': 'L', 'data': { 's': 'str', 'n': 'null', 'l': ['int'] } }
{ 'command': 'c', 'data': 'U', 'returns': ['U'], 'allow-oob': true }
{ 'command': 'l', 'data': { 'l': 'L' } }
{ 'command': 'open', 'data': { 's': 'str' }, 'gen': false }
{ 'command': 'conditional', 'if': 'X' }
{ 'event': 'V', 'data': { 's': 'str' } }
`
	// What a QEMU that fits says.
	const infos = `[
{"name":"c","meta-type":"command","arg-type":"u","ret-type":"[u]","allow-oob":true},
{"name":"l","meta-type":"command","arg-type":"la","ret-type":"0"},
{"name":"open","meta-type":"command","arg-type":"0","ret-type":"0"},
{"name":"V","meta-type":"event","arg-type":"v"},
{"name":"[u]","meta-type":"array","element-type":"u"},
{"name":"u","meta-type":"object","members":[{"name":"e","type":"e"}],"tag":"e","variants":[{"case":"a","type":"a"},{"case":"b","type":"0"}]},
{"name":"a","meta-type":"object","members":[{"name":"s","type":"str"},{"name":"o","type":"int","default":null},{"name":"list","type":"[e]"},{"name":"any","type":"any"}]},
{"name":"e","meta-type":"enum","members":[{"name":"a"},{"name":"b"}]},
{"name":"[e]","meta-type":"array","element-type":"e"},
{"name":"la","meta-type":"object","members":[{"name":"l","type":"lt"}]},
{"name":"lt","meta-type":"alternate","members":[{"type":"[int]"},{"type":"null"},{"type":"str"}]},
{"name":"v","meta-type":"object","members":[{"name":"s","type":"str"}]},
{"name":"0","meta-type":"object","members":[]},
{"name":"[int]","meta-type":"array","element-type":"int"},
{"name":"str","meta-type":"builtin","json-type":"string"},
{"name":"int","meta-type":"builtin","json-type":"int"},
{"name":"any","meta-type":"builtin","json-type":"value"},
{"name":"null","meta-type":"builtin","json-type":"null"}
]`
	history := &History{
		Releases: []string{"7.2", "8.0", "9.0"},
		Members:  map[string]Lifetime{"A.later": {Since: "9.0"}},
	}
	compare := func(defs, infos, release string) []string {
		t.Helper()
		s, err := Parse(fstest.MapFS{"s.json": {Data: []byte(defs)}}, "s.json")
		if err != nil {
			t.Fatal(err)
		}
		var list []Info
		if err := json.Unmarshal([]byte(infos), &list); err != nil {
			t.Fatal(err, infos)
		}
		return Compare(s, history, list, release)
	}
	if got := compare(definitions, infos, "8.0"); len(got) > 0 {
		t.Errorf("differences: %q", got)
	}
	if got, want := compare(definitions, infos, "9.0"), []string{"c[a].later: QEMU does not have it"}; !slices.Equal(got, want) {
		t.Errorf("differences from 9.0: %q, want %q", got, want)
	}
	for name, tt := range map[string]struct{ old, new, want string }{
		"a command that is not defined":  {`{"name":"l","meta`, `{"name":"m","meta`, "m: it is not defined"},
		"a command that is missing":      {`{"name":"l","meta`, `{"name":"m","meta`, "l: QEMU does not have it"},
		"an event that is not defined":   {`{"name":"V"`, `{"name":"W"`, "W: it is not defined"},
		"out of band":                    {`,"allow-oob":true`, ``, "c: allow-oob is true, in QEMU false"},
		"a result":                       {`"arg-type":"la","ret-type":"0"`, `"arg-type":"la","ret-type":"str"`, "l: it has no result, in QEMU string"},
		"no array":                       {`"ret-type":"[u]"`, `"ret-type":"u"`, "c, result: its type is [U], in QEMU object"},
		"a member that is not defined":   {`{"name":"any","type"`, `{"name":"more","type"`, "c[a].more: it is not defined"},
		"a member that is missing":       {`{"name":"any","type"`, `{"name":"more","type"`, "c[a].any: QEMU does not have it"},
		"a mandatory member":             {`{"name":"s","type":"str"},{`, `{"name":"s","type":"str","default":null},{`, "c[a].s: it is mandatory, in QEMU optional"},
		"an optional member":             {`,"default":null`, ``, "c[a].o: it is optional, in QEMU mandatory"},
		"a type":                         {`{"name":"o","type":"int"`, `{"name":"o","type":"str"`, "c[a].o: its type is int, in QEMU string"},
		"an array":                       {`"name":"list","type":"[e]"`, `"name":"list","type":"e"`, "c[a].list: its type is [E], in QEMU enum"},
		"an array of others":             {`"name":"o","type":"int"`, `"name":"o","type":"[int]"`, "c[a].o: its type is int, in QEMU an array of int"},
		"a value that is not defined":    {`"members":[{"name":"a"},`, `"members":[{"name":"a"},{"name":"z"},`, "c.e = z: it is not defined"},
		"a value that is missing":        {`"members":[{"name":"a"},{"name":"b"}]`, `"members":[{"name":"a"}]`, "c.e = b: QEMU does not have it"},
		"values as before 6.2":           {`"members":[{"name":"a"},{"name":"b"}]`, `"values":["a"]`, "c.e = b: QEMU does not have it"},
		"a branch that is not defined":   {`{"case":"b","type":"0"}`, `{"case":"b","type":"a"}`, "c[b]: it is not defined"},
		"a branch that is missing":       {`{"case":"a","type":"a"},`, ``, "c[a]: QEMU does not have it"},
		"another discriminator":          {`"tag":"e"`, `"tag":"f"`, "c: its discriminator is e, in QEMU f"},
		"no discriminator":               {`"tag":"e",`, ``, "c: it has branches, in QEMU it has none"},
		"branches":                       {`{"name":"v","meta-type":"object",`, `{"name":"v","meta-type":"object","variants":[{"case":"x","type":"0"}],`, "V: it has no branches, in QEMU it has"},
		"an alternative that is missing": {`{"type":"null"},`, ``, "l.l: QEMU does not have the alternative n"},
		"an alternative not defined":     {`{"type":"null"},`, `{"type":"null"},{"type":"a"},`, "l.l: the alternative object is not defined"},
		"arguments of another kind":      {`"arg-type":"v"`, `"arg-type":"str"`, "V: it is an object, in QEMU it is not"},
		"a type that is not there":       {`"name":"s","type":"str"}]}`, `"name":"s","type":"no"}]}`, "V.s: QEMU's type no is not in its schema"},
	} {
		changed := strings.Replace(infos, tt.old, tt.new, 1)
		if changed == infos {
			t.Fatalf("%s: nothing was changed", name)
		}
		if got := compare(definitions, changed, "8.0"); !slices.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	history.Changes = []Change{{Release: "9.0", Change: "type", Of: "A.o"}, {Release: "9.0", Change: "kind", Of: "U"}}
	for _, change := range [][2]string{{`{"name":"o","type":"int"`, `{"name":"o","type":"str"`}, {`"tag":"e",`, ``}} {
		if got := compare(definitions, strings.Replace(infos, change[0], change[1], 1), "8.0"); len(got) > 0 {
			t.Errorf("a type that changed in 9.0: %q", got)
		}
	}
}
