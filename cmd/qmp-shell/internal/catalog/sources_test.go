package catalog

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goqmp/qmp/qapi"
)

var update = flag.Bool("update", false, "write the files in testdata")

// golden compares text with a file in testdata, and writes the file with -update.
func golden(t *testing.T, file, text string) {
	t.Helper()
	file = "testdata/" + file
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s differs (go test -run %s -update writes it, then look at the difference); the text is now:\n%s", file, t.Name(), text)
	}
}

// Every argument of the schema that takes a text is in the file, below the kind of names
// that completion offers for it. Those without a kind are at the end: a new argument of a
// new QEMU is found there.
func TestSources(t *testing.T) {
	s := loaded(t, newMachine(t, "11.1")).known()
	found := make(map[string]map[string]bool) // kind, "command argument"
	for _, command := range s.commands {
		s.texts(s.command(command).ArgType, command, nil, nil, func(command string, path []string, isReference bool) {
			kind := kindOf(command, path, isReference)
			if kind != "" && sources[kind] == nil {
				t.Fatalf("%s %q: there is no source of %s", command, path, kind)
			}
			if found[kind] == nil {
				found[kind] = make(map[string]bool)
			}
			found[kind][command+" "+strings.Join(path, ".")] = true
		})
	}
	var text strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(found)) {
		if kind != "" {
			fmt.Fprintf(&text, "%s:\n", kind)
			for _, line := range slices.Sorted(maps.Keys(found[kind])) {
				fmt.Fprintf(&text, "\t%s\n", line)
			}
		}
	}
	fmt.Fprintf(&text, "no names:\n")
	for _, line := range slices.Sorted(maps.Keys(found[""])) {
		fmt.Fprintf(&text, "\t%s\n", line)
	}
	golden(t, "sources.txt", text.String())
}

// texts calls yield for each member of a type that takes a text, in all branches. An
// action of a transaction is a command.
func (s *server) texts(typ, command string, path, seen []string, yield func(command string, path []string, isReference bool)) {
	info := s.entries[typ]
	if info == nil || slices.Contains(seen, typ) || len(path) > 3 {
		return
	}
	seen = append(slices.Clone(seen), typ)
	switch {
	case info.Array != nil:
		s.texts(info.Array.ElementType, command, path, seen, yield)
		if s.takes(info.Array.ElementType, qapi.JSONTypeString) {
			yield(command, path, s.takes(info.Array.ElementType, qapi.JSONTypeObject))
		}
	case info.Alternate != nil:
		for _, m := range info.Alternate.Members {
			s.texts(m.Type, command, path, seen, yield)
		}
	case info.Object != nil:
		for _, m := range info.Object.Members {
			at := append(slices.Clone(path), m.Name)
			if s.takes(m.Type, qapi.JSONTypeString) {
				yield(command, at, s.takes(m.Type, qapi.JSONTypeObject))
			}
			s.texts(m.Type, command, at, seen, yield)
		}
		for _, v := range info.Object.Variants {
			if command == "transaction" && len(path) == 1 {
				s.texts(s.entries[v.Type].Object.Members[0].Type, v.Case, nil, seen, yield)
			} else {
				s.texts(v.Type, command, path, seen, yield)
			}
		}
	}
}
