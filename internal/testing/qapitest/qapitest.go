// Package qapitest has the tests that every package generated from QAPI definitions
// has to pass.
package qapitest

import (
	"bytes"
	"context"
	stdjson "encoding/json"
	"math/big"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/qapigen"
	"github.com/goqmp/qmp/qapi/support"
)

// rounds is how many documents are tried for each command and event.
const rounds = 8

// writer returns a writer of documents for a program's schema, and logs its seed.
func writer(t *testing.T, program string, foreign int) *qapigen.Writer {
	t.Helper()
	schema, _, err := qapigen.ReadFacts(program)
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return &qapigen.Writer{Schema: schema, Rand: rand.New(rand.NewPCG(seed, 0)), Foreign: foreign}
}

// Law checks that a document that was decoded encodes to the same JSON. The order of
// members does not count. The documents are valid arguments, results and event data;
// some have members, values and branches of other releases.
func Law(t *testing.T, program string, commands []support.CommandInfo, events []support.EventInfo) {
	for _, w := range writers(t, program) {
		for _, c := range commands {
			d := w.Schema.Command(c.Name)
			for range rounds {
				if c.NewArguments != nil {
					checkLaw(t, c.Name+", arguments", w, w.Arguments(d), c.NewArguments())
				}
				if c.NewResult != nil {
					checkLaw(t, c.Name+", result", w, w.Value(d.Returns), c.NewResult())
				}
			}
		}
		for _, e := range events {
			for range rounds {
				checkLaw(t, e.Name, w, w.Arguments(w.Schema.Event(e.Name)), e.New())
			}
		}
	}
}

// Types checks the law for each struct, union and alternate by itself.
func Types(t *testing.T, program string, types map[string]func() any) {
	for _, w := range writers(t, program) {
		for name, newValue := range types {
			for range rounds {
				doc, v := w.Value(qapigen.Type{Name: name}), newValue()
				checkLaw(t, name, w, doc, v)
				if w.Foreign > 0 {
					continue
				}
				v = newValue()
				if err := stdjson.Unmarshal(doc, v); err != nil {
					t.Fatalf("%s, encoding/json: %v\n%s", name, err, doc)
				}
				if again, err := json.Marshal(v); err != nil || !SameJSON(t, doc, again) {
					t.Fatalf("%s: decoded with encoding/json, and encoded\n%s\nis (%v)\n%s", name, doc, err, again)
				}
			}
		}
	}
}

// writers returns a writer of documents that have parts of other releases, and one of
// documents that have none.
func writers(t *testing.T, program string) []*qapigen.Writer {
	t.Helper()
	return []*qapigen.Writer{writer(t, program, 5), writer(t, program, 0)}
}

// checkLaw decodes doc, which w has written, into v, and encodes v. Package
// encoding/json encodes what this release has; it has its own form for other members
// (see [support.Extra]).
func checkLaw(t *testing.T, what string, w *qapigen.Writer, doc []byte, v any) {
	t.Helper()
	if err := support.Unmarshal(doc, v); err != nil {
		t.Fatalf("%s: %v\n%s", what, err, doc)
	}
	marshalers := map[string]func(any) ([]byte, error){
		"json/v2": func(v any) ([]byte, error) { return json.Marshal(v) },
	}
	if w.Foreign == 0 {
		marshalers["encoding/json"] = stdjson.Marshal
	}
	for name, marshal := range marshalers {
		again, err := marshal(v)
		if err != nil {
			t.Fatalf("%s, %s: %v\n%s", what, name, err, doc)
		}
		if !SameJSON(t, doc, again) {
			t.Fatalf("%s, %s: after decoding and encoding,\n%s\nis\n%s", what, name, doc, again)
		}
	}
}

// A Call executes one command through its function. args is nil, or a pointer to
// its arguments.
type Call struct {
	Command string
	OOB     bool
	Do      func(ctx context.Context, c async.Caller, args any) (result any, err error)
}

// Canned is a Caller that answers each command with the same reply, and records the
// commands.
type Canned struct {
	Reply string
	Got   []async.Command
}

// Do implements [async.Caller].
func (c *Canned) Do(_ context.Context, cmd async.Command) (async.Reply, error) {
	c.Got = append(c.Got, cmd)
	return async.ParseReply(cmd.Name, []byte(c.Reply))
}

// Functions checks that every function sends its command with its arguments, returns
// the result, and returns an error if the server refuses the command.
func Functions(t *testing.T, program string, commands []support.CommandInfo, calls []Call) {
	w := writer(t, program, 0)
	infos := make(map[string]support.CommandInfo)
	for _, info := range commands {
		infos[info.Name] = info
	}
	called := make(map[string]bool)
	for _, f := range calls {
		called[f.Command] = true
		info, d := infos[f.Command], w.Schema.Command(f.Command)
		result := []byte("{}")
		if info.NewResult != nil {
			result = w.Value(d.Returns)
		}
		c := &Canned{Reply: `{"return":` + string(result) + `}`}
		var args any
		sent := []byte("null")
		if info.NewArguments != nil {
			args, sent = info.NewArguments(), w.Arguments(d)
			if err := support.Unmarshal(sent, args); err != nil {
				t.Fatal(err)
			}
		}
		got, err := f.Do(t.Context(), c, args)
		if err != nil {
			t.Fatalf("%s: %v", f.Command, err)
		}
		if len(c.Got) != 1 || c.Got[0].Name != f.Command || c.Got[0].OOB != f.OOB || f.OOB && !info.OOB {
			t.Fatalf("%s sent %+v", f.Command, c.Got)
		}
		if again, err := json.Marshal(c.Got[0].Args); err != nil || !SameJSON(t, sent, again) {
			t.Errorf("%s sent %s (%v), want %s", f.Command, again, err, sent)
		}
		if info.NewResult != nil {
			if again, err := json.Marshal(got); err != nil || !SameJSON(t, result, again) {
				t.Errorf("%s returned %s (%v), want %s", f.Command, again, err, result)
			}
		}
		c.Reply = `{"error":{"class":"GenericError","desc":"no"}}`
		if _, err := f.Do(t.Context(), c, args); err == nil {
			t.Errorf("%s: got no error for an error reply", f.Command)
		}
	}
	if len(called) != len(infos) {
		t.Errorf("%d of %d commands were called", len(called), len(infos))
	}
}

// SameJSON reports whether two documents are equal. The order of members and the way
// in which a number is written do not count.
func SameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	return reflect.DeepEqual(tree(t, a), tree(t, b))
}

func tree(t *testing.T, doc []byte) any {
	t.Helper()
	dec := stdjson.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err, string(doc))
	}
	return normal(v)
}

// normal writes equal numbers in the same way.
func normal(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = normal(v[name])
		}
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
	case stdjson.Number:
		if r, ok := new(big.Rat).SetString(v.String()); ok {
			return r.RatString()
		}
	}
	return v
}
