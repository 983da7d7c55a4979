package iotests

import (
	"strings"
	"testing"

	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/internal/testing/harmlesstest"
)

const spell = harmlesstest.Spell

// What a tool or QEMU says is harmless in the text of a failure, and in that of an error.
// Holds secure.
func TestWordsOfOthersAreHarmless(t *testing.T) {
	t.Parallel()
	var texts []string
	for _, test := range []func(*Test){
		func(it *Test) { it.AssertQMP(map[string]any{"a" + spell: 1}, "b"+spell, 1) },
		func(it *Test) { it.AssertQMP(map[string]any{"a": "x" + spell}, "a", "y"+spell) },
		func(it *Test) { it.AssertQMP(map[string]any{"a": "x" + spell}, "a/b", 1) },
		func(it *Test) { it.AssertQMP(map[string]any{"a": "x" + spell}, "a[0]", 1) },
		func(it *Test) { it.AssertQMP(map[string]any{"a": []any{}}, "a["+spell+"]", 1) },
		func(it *Test) { it.AssertJSONFilename("json:{"+spell, nil) },
		func(it *Test) { it.AssertJSONFilename(spell, nil) },
		func(it *Test) {
			it.note("command" + spell)
			it.Log("logged" + spell)
			it.fail("failed"+spell, "output", "one"+spell+"\ntwo"+spell)
		},
		// Of a long text the end is shown. It begins with a whole character: the last bytes
		// of this one are 0x9b, by which a terminal of 8 bits begins a control sequence.
		func(it *Test) { it.fail("failed", "output", strings.Repeat("\u015b", 4<<10)+"x") },
	} {
		text := failureOf(func(tb TB) { test(New(tb, nil)) })
		if text == "" {
			t.Fatal("a test that had to fail passed")
		}
		texts = append(texts, text)
	}
	for _, path := range []string{"b", "a/b", "a[0]", "a[x" + spell + "]", "x" + spell} {
		_, err := Lookup(map[string]any{"a": spell, spell: "x"}, path)
		if err == nil {
			t.Fatalf("the path %q: no error", path)
		}
		texts = append(texts, err.Error())
	}
	texts = append(texts, Result{Command: []string{"tool" + spell}, Output: "out" + spell, ExitCode: 1}.String())
	for _, text := range texts {
		if text != harmless.Text(text) {
			t.Errorf("a terminal obeys: %q", text)
		}
	}
}
