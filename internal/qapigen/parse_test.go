package qapigen

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const sample = `# -*- Mode: Python -*-
{ 'pragma': { 'doc-required': true } }
{ 'include': 'sub/types.json' }
{ 'include': 'sub/types.json' }

##
# @query-thing:
#
# Since: 8.1
##
{ 'command': 'query-thing',
  'data': { 'id': 'str', '*flags': ['ThingFlag'],
            '*old': { 'type': 'int', 'if': { 'all': ['A', { 'not': { 'any': ['B', 'C'] } }] },
                      'features': [ 'deprecated', { 'name': 'unstable', 'if': 'D' } ] } },
  'returns': ['ThingInfo'], 'allow-oob': true, 'allow-preconfig': true,
  'if': 'CONFIG_THING' }
{ 'command': 'thing-stop', 'success-response': false, 'gen': false }
{ 'command': 'thing-set', 'boxed': true, 'data': 'Thing' } # a comment
{ 'event': 'THING_MOVED', 'data': { 'id': 'str' } }
`

const sampleTypes = `
{ 'enum': 'ThingFlag', 'prefix': 'THING_FLAG',
  'data': [ 'on', { 'name': 'off', 'if': 'CONFIG_OFF' } ] }
{ 'struct': 'ThingBase', 'data': { 'flag': 'ThingFlag' } }
{ 'struct': 'ThingInfo', 'base': 'ThingBase', 'data': { 'size': 'size' } }
{ 'struct': 'Nothing', 'data': { } }
{ 'union': 'Thing', 'base': { 'flag': 'ThingFlag' }, 'discriminator': 'flag',
  'data': { 'on': 'ThingInfo2', 'off': { 'type': 'Nothing', 'if': 'CONFIG_OFF' } } }
{ 'struct': 'ThingInfo2', 'data': { '*more': 'ThingOrNull' } }
{ 'alternate': 'ThingOrNull', 'data': { 's': 'str', 'n': 'null' } }
`

func TestParse(t *testing.T) {
	t.Parallel()
	s, err := Parse(fstest.MapFS{
		"qapi-schema.json": {Data: []byte(sample)},
		"sub/types.json":   {Data: []byte(sampleTypes)},
	}, "./qapi-schema.json")
	if err != nil {
		t.Fatal(err)
	}
	// The same schema, in the form of the facts.
	const facts = `{"definitions": [
		{"kind":"enum","name":"ThingFlag","module":"types","values":[{"name":"on"},{"name":"off","if":"CONFIG_OFF"}]},
		{"kind":"struct","name":"ThingBase","module":"types","members":[{"name":"flag","type":"ThingFlag"}]},
		{"kind":"struct","name":"ThingInfo","module":"types","base":"ThingBase","members":[{"name":"size","type":"size"}]},
		{"kind":"struct","name":"Nothing","module":"types","members":[]},
		{"kind":"union","name":"Thing","module":"types","members":[{"name":"flag","type":"ThingFlag"}],"discriminator":"flag",
			"branches":[{"name":"on","type":"ThingInfo2"},{"name":"off","type":"Nothing","if":"CONFIG_OFF"}]},
		{"kind":"struct","name":"ThingInfo2","module":"types","members":[{"name":"more","type":"ThingOrNull","optional":true}]},
		{"kind":"alternate","name":"ThingOrNull","module":"types","branches":[{"name":"s","type":"str"},{"name":"n","type":"null"}]},
		{"kind":"command","name":"query-thing","module":"qapi-schema","since":"8.1","if":"CONFIG_THING",
			"members":[{"name":"id","type":"str"},{"name":"flags","type":["ThingFlag"],"optional":true},
				{"name":"old","type":"int","optional":true,"if":{"all":["A",{"not":{"any":["B","C"]}}]},
					"features":[{"name":"deprecated"},{"name":"unstable","if":"D"}]}],
			"returns":["ThingInfo"],"allow-oob":true,"allow-preconfig":true},
		{"kind":"command","name":"thing-stop","module":"qapi-schema","success-response":false,"gen":false},
		{"kind":"command","name":"thing-set","module":"qapi-schema","boxed":true,"data":"Thing"},
		{"kind":"event","name":"THING_MOVED","module":"qapi-schema","members":[{"name":"id","type":"str"}]}]}`
	var want Schema
	if err := json.Unmarshal([]byte(facts), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Defs, s.Defs, cmpopts.IgnoreUnexported(Definition{})); diff != "" {
		t.Errorf("the facts (-) and the schema files (+) differ:\n%s", diff)
	}
	if got := s.find("query-thing", Command).Members[2].If; got != "A and (not (B or C))" {
		t.Errorf("the condition reads %q", got)
	}
	if _, err := Generate(s, Options{Package: "thing"}); err != nil {
		t.Error(err)
	}
}

// A fault in a schema file is an error that has the file and the line.
func TestParseFaults(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		src, want    string
		line, column int
	}{
		"no value":            {"{ 'enum': ", "the file ends where a value is expected", 1, 11},
		"a number":            {"\n{ 'enum': 1 }", `not '1'`, 2, 11},
		"double quotes":       {`{ "enum": 'x' }`, "in single quotes", 1, 3},
		"an open string":      {"{ 'enum\n': 'x' }", "not closed on its line", 1, 3},
		"an open object":      {"{ 'enum': 'x'", "the file ends before '}'", 1, 14},
		"a list":              {"[ 'enum' ]", "want an object at the top level", 1, 1},
		"a name twice":        {"{ 'enum': 'x', 'enum': 'y' }", `has the member "enum" twice`, 1, 16},
		"an unknown kind":     {"{ 'thing': 'x' }", "want include, pragma", 1, 1},
		"an unknown member":   {"{ 'enum': 'E', 'data': [], 'color': 'red' }", `unknown member "color"`, 1, 37},
		"defined twice":       {"{ 'enum': 'E', 'data': [] }\n{ 'struct': 'E', 'data': {} }", "defined already", 2, 1},
		"a union of nothing":  {"{ 'union': 'U', 'data': {} }", "want a base and a discriminator", 1, 1},
		"a bad name":          {"{ 'enum': 'a b', 'data': [] }", "want a name", 1, 11},
		"a bad member":        {"{ 'struct': 'S', 'data': { '*': 'int' } }", "is not a name", 1, 33},
		"a member, twice":     {"{ 'struct': 'S', 'data': { 'a': 'int', '*a': 'int' } }", "is defined twice", 1, 46},
		"a bad flag":          {"{ 'command': 'c', 'boxed': 'yes' }", "want true or false", 1, 28},
		"a bad type":          {"{ 'command': 'c', 'returns': ['a', 'b'] }", "want a type's name", 1, 30},
		"a bad condition":     {"{ 'command': 'c', 'if': { 'some': [] } }", "want a condition", 1, 25},
		"too deep":            {"{ 'command': 'c', 'if': " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}", "levels deep", 1, 125},
		"bytes":               {"\xff", "not valid UTF-8", 1, 1},
		"an unclosed comment": {"##\n# text", "", 0, 0},
	} {
		_, err := Parse(fstest.MapFS{"s.json": {Data: []byte(tt.src)}}, "s.json")
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var fault *ParseError
		if !errors.As(err, &fault) || !strings.Contains(fault.Err, tt.want) || fault.Line != tt.line || fault.Column != tt.column || fault.File != "s.json" {
			t.Errorf("%s: %v, want %q at %d:%d", name, err, tt.want, tt.line, tt.column)
		}
	}
	if _, err := Parse(fstest.MapFS{"s.json": {Data: []byte("{ 'include': 'other.json' }")}}, "s.json"); err == nil {
		t.Error("a missing file is not an error")
	}
	if _, err := Parse(fstest.MapFS{"s.json": {Data: []byte("{ 'command': 'c', 'returns': 'Thing' }")}}, "s.json"); err == nil ||
		!strings.Contains(err.Error(), "Thing, is not defined") {
		t.Errorf("an undefined type: %v", err)
	}
}

// FuzzParse requires Parse to return a schema or an error for any bytes, and Generate to
// return code or an error for any schema.
func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add(sampleTypes)
	f.Fuzz(func(t *testing.T, src string) {
		s, err := Parse(fstest.MapFS{
			"s.json":         {Data: []byte(src)},
			"sub/types.json": {Data: []byte(sampleTypes)},
		}, "s.json")
		if err != nil {
			return
		}
		if _, err := Generate(s, Options{Package: "p"}); err != nil {
			t.Logf("no code: %v", err)
		}
	})
}
