package qapigen

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
)

// Definitions that do not fit together are refused, with the place of the definition.
func TestCheck(t *testing.T) {
	t.Parallel()
	const (
		enum  = "{ 'enum': 'E', 'data': ['a', 'b'] }\n"
		plain = "{ 'struct': 'S', 'data': {} }\n"
		union = "{ 'union': 'U', 'base': { 'e': 'E' }, 'discriminator': 'e', 'data': { 'a': 'S' } }\n"
	)
	for name, tt := range map[string]struct {
		src, want string // "" if the schema is right
	}{
		"all right":               {enum + plain + union + "{ 'command': 'c', 'data': 'U', 'returns': ['S'] }", ""},
		"no such base":            {"{ 'struct': 'T', 'base': 'X', 'data': {} }", "s.json:1:13: struct T: its base X is not defined"},
		"a base that is an enum":  {enum + "{ 'struct': 'T', 'base': 'E', 'data': {} }", "s.json:2:13: struct T: its base E is not a struct"},
		"its own base":            {"{ 'struct': 'T', 'base': 'T', 'data': {} }", "struct T: is its own base"},
		"a circle of bases":       {"{ 'struct': 'T', 'base': 'V', 'data': {} }\n{ 'struct': 'V', 'base': 'T', 'data': {} }", "struct T: is its own base, by way of T"},
		"no such data":            {"{ 'command': 'c', 'data': 'X' }", "the type of its data, X, is not defined"},
		"data that is an enum":    {enum + "{ 'event': 'V', 'data': 'E' }", "the type of its data, E, is not a struct or a union"},
		"no such result":          {"{ 'command': 'c', 'returns': ['X'] }", "the type of its result, X, is not defined"},
		"no such member's type":   {"{ 'struct': 'T', 'data': { 'm': 'X' } }", `the type of "m", X, is not defined`},
		"a value twice":           {"{ 'enum': 'F', 'data': ['a', 'a'] }", `has the value "a" twice`},
		"no such discriminator":   {enum + plain + strings.Replace(union, "'discriminator': 'e'", "'discriminator': 'f'", 1), `its discriminator "f" is not a member of its base`},
		"a discriminator of text": {plain + strings.Replace(union, "'E'", "'str'", 1), `its discriminator "e" is not an enum`},
		"no such branch":          {enum + plain + strings.Replace(union, "'a'", "'c'", 1), `branch "c" is not a value of E`},
		"a branch that is text":   {enum + strings.Replace(union, "'S'", "'str'", 1), `the type of branch "a", str, is not a struct or a union`},
		"equal alternatives":      {enum + "{ 'alternate': 'A', 'data': { 's': 'str', 'e': 'E' } }", `the alternatives "s" and "e" begin with the same byte`},
		"an alternative of any":   {"{ 'alternate': 'A', 'data': { 's': 'any' } }", `the alternative "s" may be of any kind`},
	} {
		_, err := Parse(fstest.MapFS{"s.json": {Data: []byte(tt.src)}}, "s.json")
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if _, ok := errors.AsType[*ParseError](err); !ok || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// Two definitions never have the same Go name, and those that are renamed are listed.
func TestRenamed(t *testing.T) {
	t.Parallel()
	const src = `
{ 'command': 'foo-bar', 'data': { 'a': 'int', 'A': 'int', 'extra': 'int', 'unknown': 'int' } }
{ 'command': 'foo_bar' }
{ 'command': 'commands' }
{ 'command': 'x', 'data': { 'further': 'int' }, 'gen': false }
{ 'struct': 'FooBar', 'data': {} }
{ 'struct': 'Foo-Bar', 'data': {} }
{ 'struct': 'FooBarArguments', 'data': {} }
{ 'enum': 'E', 'data': [ 'a', 'A', '1', 'unknown' ] }
{ 'struct': 'EA', 'data': {} }
{ 'union': 'U', 'base': { 'e': 'E', 'a': 'int' }, 'discriminator': 'e', 'data': { 'a': 'FooBar', 'A': 'FooBar', '1': 'FooBar', 'unknown': 'FooBar' } }
{ 'event': 'Z', 'data': { 'event-name': 'str' } }
{ 'alternate': 'L', 'data': { 'is-zero': 'str' } }
`
	s, err := Parse(fstest.MapFS{"s.json": {Data: []byte(src)}}, "s.json")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range Renamed(s) {
		got = append(got, r.QAPI+" is "+r.Go+" ("+r.Why+")")
	}
	want := []string{
		"command foo_bar is FooBar_ (command foo-bar)",
		"command commands is Commands_ (a declaration of the package itself)",
		"type FooBar is FooBarOptions (command foo-bar)",
		"type Foo-Bar is FooBarOptions_ (command foo-bar)",
		"type FooBarArguments is FooBarArgumentsOptions (command foo-bar)",
		"foo-bar, member A is A_ (foo-bar, member a)",
		"foo-bar, member extra is Extra_ (the embedded support.Extra)",
		"foo-bar, member unknown is Unknown_ (a method)",
		"x, member further is Further_ (the field for further arguments)",
		"E, value a is EA_ (type EA)",
		"E, value A is EA__ (type EA)",
		"U, branch a is ABranch (U, member a)",
		"U, branch A is ABranch_ (U, member a)",
		"U, branch unknown is UnknownBranch (a method)",
		"Z, member event-name is EventName_ (a method)",
		"L, branch is-zero is IsZeroBranch (a method)",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("renamed:\n%s\nwant:\n%s", g, w)
	}
	files, err := Generate(s, Options{Package: "p"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range want {
		if !strings.Contains(string(files[docFile]), strings.Split(r, " is ")[0]) {
			t.Errorf("the documentation does not list %s", r)
		}
	}
}
