package iotests

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/proto"
)

// A PathError says that a path leads nowhere in a value.
type PathError struct {
	Path string // the whole path
	Part string // the part of it that failed
	Err  error  // why
}

// Error names the path, the part that failed, and what is there instead.
func (e *PathError) Error() string {
	if e.Part == e.Path {
		return fmt.Sprintf("path %q: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("path %q, at %q: %v", e.Path, e.Part, e.Err)
}

// Unwrap returns why.
func (e *PathError) Unwrap() error { return e.Err }

// withIndex is a part of a path that has an index after the name. Without a name it
// is a name itself.
var withIndex = regexp.MustCompile(`^([^\[]+)\[([^\]]+)\]`)

// goodIndex is what Python takes for a number: blanks around it, a sign, and an
// underscore between two digits are fine.
var goodIndex = regexp.MustCompile(`^\s*([+-]?[0-9]+(?:_[0-9]+)*)\s*$`)

// errNotAPath says that a path cannot be read, so that it does not say what is
// asked for.
var errNotAPath = errors.New("the index is not a number")

// Lookup returns what is in a value at a path: names between slashes, each with an
// index in brackets after it where the member is a list, as in
// "return/nodes[0]/name" or "return[-1]/status". A negative index counts from the
// end. The error is a [*PathError].
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

// step takes one part of a path.
func step(v any, part string) (any, error) {
	name, indexed, i := part, false, 0
	if m := withIndex.FindStringSubmatch(part); m != nil {
		number := goodIndex.FindStringSubmatch(m[2])
		if number == nil {
			return nil, fmt.Errorf("%w: %q", errNotAPath, m[2])
		}
		// What does not fit into an int is beyond the end of every list: Atoi
		// returns the largest one, or the smallest.
		i, _ = strconv.Atoi(strings.ReplaceAll(number[1], "_", ""))
		name, indexed = m[1], true
	}
	ms, ok := members(v)
	if !ok {
		return nil, fmt.Errorf("no object there, but %s", excerpt(v))
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
		return nil, fmt.Errorf("no list there, but %s", excerpt(member))
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

// excerpt shows the beginning of a value.
func excerpt(v any) string {
	const most = 200
	text := FormatJSON(v)
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}

// Get returns what is at a path, as a T: an integer, a text, a struct, filled by
// the rule of [async.Call]. It fails the test if the path leads nowhere, or to
// something else.
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

// Lookup is the function of that name, and fails the test where that gives an
// error.
func (it *Test) Lookup(v any, path string) any {
	it.Helper()
	found, err := Lookup(v, path)
	if err != nil {
		it.fail(err.Error(), "in", FormatJSON(v))
	}
	return found
}

// AssertQMP fails the test unless the value at a path is the wanted one, as
// [machine.Equal] has it. A list that is not empty means any of its items, as in iotests:
// for a list itself see [Test.AssertEqual].
func (it *Test) AssertQMP(v any, path string, want any) {
	it.Helper()
	got := it.Lookup(v, path)
	n, err := normalize(want)
	if err != nil {
		it.Fatalf("the wanted value: %v", err)
	}
	if any, ok := n.([]any); ok && len(any) > 0 {
		for _, w := range any {
			if machine.Equal(got, w) {
				return
			}
		}
		it.fail("the value at "+strconv.Quote(path)+" is none of those wanted", "got", FormatJSON(got), "want one of", FormatJSON(n), "in", FormatJSON(v))
	}
	if !machine.Equal(got, n) {
		it.fail("another value at "+strconv.Quote(path)+" than wanted", "got", FormatJSON(got), "want", FormatJSON(n), "in", FormatJSON(v))
	}
}

// AssertQMPAbsent fails the test if a path leads to something. It also fails the
// test if the path cannot be read, because an index is not a number, or if v cannot
// be encoded: then it cannot say that nothing is there.
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

// AssertJSONFilename fails the test unless a file name of QEMU's that begins with
// "json:" describes the wanted node: the same options with the same values, however
// they are nested, since "file.driver" may stand for a "driver" in "file".
func (it *Test) AssertJSONFilename(filename string, want any) {
	it.Helper()
	text, ok := strings.CutPrefix(filename, "json:")
	if !ok {
		it.fail("no file name with json: in front", "got", filename, "want", FormatJSON(want))
	}
	var got Dict
	if err := proto.Unmarshal([]byte(text), &got); err != nil {
		it.fail("no JSON object in the file name: "+err.Error(), "got", filename, "want", FormatJSON(want))
	}
	if !machine.Equal(FlattenQMP(got), FlattenQMP(want)) {
		it.fail("the file name describes another node than wanted",
			"got", FormatJSON(FlattenQMP(got)), "want", FormatJSON(FlattenQMP(want)))
	}
}

// AssertEqual fails the test unless two values are [machine.Equal]. what names them.
func (it *Test) AssertEqual(what string, got, want any) {
	it.Helper()
	if !machine.Equal(got, want) {
		it.fail(what+": not what was wanted", "got", FormatJSON(got), "want", FormatJSON(want))
	}
}
