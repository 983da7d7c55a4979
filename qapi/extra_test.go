package qapi_test

import (
	stdjson "encoding/json"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/goqmp/qmp/qapi"
	"github.com/goqmp/qmp/qapi/support"
)

// Members that a type does not have can be read, and are sent again.
func TestUnknown(t *testing.T) {
	t.Parallel()
	const plain, more = `{"running":true,"status":"running"}`, `{"running":true,"status":"running","x":[1]}`
	var v qapi.StatusInfo
	if v.Unknown() != nil || (&support.Extra{}).Unknown() != nil {
		t.Error("a struct without unknown members has some")
	}
	for doc, want := range map[string]string{plain: "", more: `{"x":[1]}`} {
		v = qapi.StatusInfo{}
		if err := support.Unmarshal([]byte(doc), &v); err != nil {
			t.Fatal(err)
		}
		if got := string(v.Unknown()); got != want {
			t.Errorf("%s: the unknown members are %s, want %s", doc, got, want)
		}
		if got, err := json.Marshal(&v); err != nil || string(got) != doc {
			t.Errorf("%s encodes as %s (%v)", doc, got, err)
		}
		std := plain
		if want != "" {
			std = `{"running":true,"status":"running","Members":{"x":[1]}}`
		}
		if got, err := stdjson.Marshal(&v); err != nil || string(got) != std {
			t.Errorf("%s encodes with encoding/json as %s (%v), want %s", doc, got, err, std)
		}
	}
}

// Unions encode with any options of the encoder, and what was decoded from one document
// does not change when another one is decoded.
func TestUnionsWithOptions(t *testing.T) {
	t.Parallel()
	docs := []string{
		`{"driver":"x-new","a":1}`,
		`{"driver":"x-other","b":22}`,
		`{"driver":"file","filename":"f","x":{"y":1}}`,
		`{"driver":"null-co"}`,
		`{"driver":"raw","file":{"driver":"x-new","c":[]}}`,
	}
	values := make([]qapi.BlockdevOptions, len(docs))
	for i, doc := range docs {
		if err := support.Unmarshal([]byte(doc), &values[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i, doc := range docs {
		for name, options := range map[string]json.Options{
			"compact":  json.JoinOptions(),
			"indented": jsontext.WithIndent("\t"),
			"spaces":   jsontext.SpaceAfterComma(true),
		} {
			got, err := json.Marshal(&values[i], options)
			if err != nil {
				t.Fatal(err)
			}
			compact := jsontext.Value(got)
			if err := compact.Compact(); err != nil || string(compact) != doc {
				t.Errorf("%s: %s encodes as %s (%v)", name, doc, got, err)
			}
		}
	}
	// A member of a branch that the base has too is refused, and not sent twice.
	v := qapi.BlockdevOptions{File: &qapi.BlockdevOptionsFile{Filename: "f", Extra: &support.Extra{Members: jsontext.Value(`{"node-name":"n"}`)}}, NodeName: new("m")}
	if got, err := json.Marshal(&v); err == nil {
		t.Errorf("encoded %s", got)
	}
}
