package iotests

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/internal/proto"
)

// A PathError says that a value has nothing at a path, or that the path or the value
// cannot be read.
type PathError struct {
	Path string // the whole path
	Part string // the part of it that failed; the whole path if the value cannot be encoded
	Err  error  // why it failed
}

// Error names the path, the part that failed, and what is there instead.
func (e *PathError) Error() string {
	if e.Part == e.Path {
		return fmt.Sprintf("path %q: %v", e.Path, harmless.Error(e.Err))
	}
	return fmt.Sprintf("path %q, at %q: %v", e.Path, e.Part, harmless.Error(e.Err))
}

// Unwrap returns Err.
func (e *PathError) Unwrap() error { return e.Err }

// withIndex matches a part of a path that is a name and an index in brackets. A part
// without a name, such as "[0]", is itself taken as a name.
var withIndex = regexp.MustCompile(`^([^\[]+)\[([^\]]+)\]`)

// goodIndex matches what Python's int() accepts: blanks around the number, a sign, and
// single underscores between digits.
var goodIndex = regexp.MustCompile(`^\s*([+-]?[0-9]+(?:_[0-9]+)*)\s*$`)

// errNotAPath says that the path itself is wrong, whatever the value is.
var errNotAPath = errors.New("the index is not a number")

// Lookup returns what a value has at a path. A path is names of members, separated by
// slashes. If the member is a list, an index in brackets may follow the name, as in
// "return/nodes[0]/name" or "return[-1]/status". A negative index counts from the end.
// The error is a [*PathError]. Any goroutine may call Lookup.
func Lookup(v any, path string) (any, error) {
	n, err := normalize(v)
	if err != nil {
		return nil, &PathError{Path: path, Part: path, Err: err}
	}
	for part := range strings.SplitSeq(path, "/") {
		if n, err = step(n, part); err != nil {
			return nil, &PathError{Path: path, Part: part, Err: err}
		}
	}
	return n, nil
}

// step returns what v has at one part of a path.
func step(v any, part string) (any, error) {
	name, indexed, i := part, false, 0
	if m := withIndex.FindStringSubmatch(part); m != nil {
		number := goodIndex.FindStringSubmatch(m[2])
		if number == nil {
			return nil, fmt.Errorf("%w: %q", errNotAPath, m[2])
		}
		// For a number that does not fit into an int, Atoi returns the largest int, or
		// the smallest. No list has an item there.
		i, _ = strconv.Atoi(strings.ReplaceAll(number[1], "_", ""))
		name, indexed = m[1], true
	}
	ms, ok := members(v)
	if !ok {
		return nil, fmt.Errorf("not an object: %s", excerpt(v))
	}
	member, found := find(ms, name)
	if !found {
		return nil, fmt.Errorf("no member %q among %s", name, names(ms))
	}
	if !indexed {
		return member, nil
	}
	list, ok := member.([]any)
	if !ok {
		return nil, fmt.Errorf("not a list: %s", excerpt(member))
	}
	if i < 0 {
		i += len(list)
	}
	if i < 0 || i >= len(list) {
		return nil, fmt.Errorf("the list has %d items", len(list))
	}
	return list[i], nil
}

func find(ms async.Members, name string) (any, bool) {
	for _, m := range ms {
		if m.Name == name {
			return m.Value, true
		}
	}
	return nil, false
}

func names(ms async.Members) string {
	if len(ms) == 0 {
		return "none"
	}
	all := make([]string, len(ms))
	for i, m := range ms {
		all[i] = m.Name
	}
	return strings.Join(all, ", ")
}

// excerpt returns the first 200 bytes of a value as JSON.
func excerpt(v any) string {
	const most = 200
	text := FormatJSON(v)
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}

// Get returns what v has at a path (see [Lookup]), decoded into a T such as an int64, a
// string or a struct, by the rule of [async.Call]. If nothing is there, or it cannot be
// decoded into a T, the test fails.
func Get[T any](it *Test, v any, path string) T {
	it.Helper()
	var out T
	found, err := Lookup(v, path)
	if err == nil {
		err = proto.Unmarshal([]byte(FormatJSON(found)), &out)
	}
	if err != nil {
		it.fail(fmt.Sprintf("%T at %q: %v", out, path, err), "in", FormatJSON(v))
	}
	return out
}

// Lookup calls the function [Lookup]. If that returns an error, the test fails.
func (it *Test) Lookup(v any, path string) any {
	it.Helper()
	found, err := Lookup(v, path)
	if err != nil {
		it.fail(err.Error(), "in", FormatJSON(v))
	}
	return found
}

// AssertQMP fails the test unless the value that v has at a path equals want, by
// [machine.Equal]. If want is a list that is not empty, the value has to equal one of
// its items, as in iotests. To compare with a whole list, use [Test.AssertEqual].
func (it *Test) AssertQMP(v any, path string, want any) {
	it.Helper()
	got := it.Lookup(v, path)
	n, err := normalize(want)
	if err != nil {
		it.Fatalf("the wanted value: %v", err)
	}
	if choices, ok := n.([]any); ok && len(choices) > 0 {
		for _, w := range choices {
			if machine.Equal(got, w) {
				return
			}
		}
		it.fail("the value at "+strconv.Quote(path)+" is not one of those wanted", "got", FormatJSON(got), "want one of", FormatJSON(n), "in", FormatJSON(v))
	}
	if !machine.Equal(got, n) {
		it.fail("the value at "+strconv.Quote(path)+" is not the one wanted", "got", FormatJSON(got), "want", FormatJSON(n), "in", FormatJSON(v))
	}
}

// AssertQMPAbsent fails the test if v has something at a path. It also fails the test if
// it cannot tell: an index in the path is not a number, or v cannot be encoded.
func (it *Test) AssertQMPAbsent(v any, path string) {
	it.Helper()
	if _, err := normalize(v); err != nil {
		it.fail("the value cannot be searched for "+strconv.Quote(path)+": "+err.Error(), "value", fmt.Sprintf("%T", v))
	}
	found, err := Lookup(v, path)
	switch {
	case err == nil:
		it.fail("there is something at "+strconv.Quote(path), "got", FormatJSON(found), "in", FormatJSON(v))
	case errors.Is(err, errNotAPath):
		it.fail(err.Error(), "in", FormatJSON(v))
	}
}

// AssertJSONFilename fails the test unless a file name that QEMU has composed, which
// begins with "json:", describes the node want: it has the same options with the same
// values. An option "file.driver" is the same as an option "driver" in the object
// "file".
func (it *Test) AssertJSONFilename(filename string, want any) {
	it.Helper()
	text, ok := strings.CutPrefix(filename, "json:")
	if !ok {
		it.fail("the file name does not begin with json:", "got", filename, "want", FormatJSON(want))
	}
	var got Dict
	if err := proto.Unmarshal([]byte(text), &got); err != nil {
		it.fail("the file name has no JSON object after json: "+err.Error(), "got", filename, "want", FormatJSON(want))
	}
	if !machine.Equal(FlattenQMP(got), FlattenQMP(want)) {
		it.fail("the file name does not describe the node wanted",
			"got", FormatJSON(FlattenQMP(got)), "want", FormatJSON(FlattenQMP(want)))
	}
}

// AssertEqual fails the test unless got equals want, by [machine.Equal]. what says in the
// failure what the values are.
func (it *Test) AssertEqual(what string, got, want any) {
	it.Helper()
	if !machine.Equal(got, want) {
		it.fail(what+": not the value wanted", "got", FormatJSON(got), "want", FormatJSON(want))
	}
}
