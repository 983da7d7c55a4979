//go:build linux

package main_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goqmp/qmp/internal/testing/transcripts"
)

// TestConformance requires the Python module to behave as QEMU's did, by the recordings of
// package legacy, and by the scenarios that were written for it. Each generation is
// compared with the version that had its names. All calls of a generation are made in
// one process, many at the same time.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the scenarios take half a minute")
	}
	if testing.CoverMode() != "" {
		t.Skip("the code under test runs in another process, and make test runs this test, too")
	}
	library := build(t)
	for generation, version := range map[string]string{"until-8.1": transcripts.V72, "since-8.2": transcripts.V006} {
		t.Run(generation, func(t *testing.T) {
			t.Parallel()
			suite := suite(startPython(t, library, generation), generation, version)
			for _, dir := range []string{"scenarios", "scenarios-more"} {
				t.Run(dir, func(t *testing.T) { suite.Run(t, os.DirFS("../../legacy/testdata"), dir) })
			}
		})
	}
}

// TestExceptions requires that each exception of this package is for a scenario that exists.
func TestExceptions(t *testing.T) {
	for _, x := range exceptions {
		found, err := filepath.Glob("../../legacy/testdata/*/" + x.Scenario + ".json")
		if err != nil || len(found) != 1 {
			t.Errorf("%s: %d files, %v", x.Scenario, len(found), err)
		}
	}
}

func suite(p *python, generation, version string) *transcripts.Suite {
	return &transcripts.Suite{
		Name:    generation,
		Version: version,
		New: func(s transcripts.Setup) (transcripts.Client, error) {
			o := &object{python: p, number: p.next(), renamed: version != transcripts.V72}
			return o, o.make(s)
		},
		ParseAddress: func(text string) (any, error) {
			return p.call(0, "parse_address", transcripts.Object{{Name: "address", Value: text}}, nil)
		},
		Forms:      []transcripts.Form{transcripts.Raw},
		Exceptions: exceptions,
		Strict:     strict,
		Equal:      equal,
		Raised:     raised,
	}
}

// An object is one object of the module.
type object struct {
	python  *python
	number  int
	renamed bool // the object has the names since QEMU 8.2, and the recordings those before
	taken   int  // how many events calls have returned or removed
}

func (o *object) make(s transcripts.Setup) error {
	var args transcripts.Object
	switch host, port, _ := strings.Cut(s.Addr, ":"); {
	case s.Conn != nil:
		defer s.Conn.Close() // Python has it now
	case s.TCP:
		args = append(args, transcripts.Member{Name: "address", Value: []any{host, transcripts.Number(port)}})
	default:
		args = append(args, transcripts.Member{Name: "address", Value: s.Addr})
	}
	if s.Server {
		args = append(args, transcripts.Member{Name: "server", Value: true})
	}
	if s.Nickname != "" {
		args = append(args, transcripts.Member{Name: "nickname", Value: s.Nickname})
	}
	_, err := o.python.call(o.number, "new", args, s.Conn)
	return err
}

// Call implements [transcripts.Client].
func (o *object) Call(call transcripts.Call) (any, error) {
	if o.renamed && !call.Native {
		switch call.Name {
		case "cmd":
			call.Name = "cmd_raw"
		case "command":
			call.Name = "cmd"
		}
	}
	if call.Name == "clear_events" {
		o.taken = o.Heard()
	}
	value, err := o.python.call(o.number, call.Name, call.Args, nil)
	switch call.Name {
	case "pull_event":
		if value != nil {
			o.taken++
		}
	case "get_events":
		events, _ := value.([]any)
		o.taken += len(events)
	}
	return value, err
}

// Heard implements [transcripts.Client].
func (o *object) Heard() int {
	_, queued := o.state()
	return o.taken + queued
}

// IsRunning implements [transcripts.Client].
func (o *object) IsRunning() bool {
	running, _ := o.state()
	return running
}

func (o *object) state() (running bool, queued int) {
	v, err := o.python.call(o.number, "state", nil, nil)
	if err != nil {
		return false, 0 // the scenario has dropped the object
	}
	state := v.(transcripts.Object)
	r, _ := state.Get("running")
	q, _ := state.Get("queued")
	fmt.Sscan(string(q.(transcripts.Number)), &queued)
	return r == true, queued
}

// End implements [transcripts.Client].
func (o *object) End() {
	o.python.call(o.number, "close", nil, nil)
	o.python.call(o.number, "del", nil, nil)
}

// equal requires the same value with the same types and the same order of members: an
// integer of any size is exact, 1 and 1.0 differ, and a lone surrogate is kept.
func equal(want, got any) error {
	if same(want, got) {
		return nil
	}
	return fmt.Errorf("got %.300s, want %.300s", transcripts.Text(got), transcripts.Text(want))
}

func same(want, got any) bool {
	switch want := want.(type) {
	case transcripts.Object:
		got, ok := got.(transcripts.Object)
		return ok && slices.EqualFunc(want, got, func(a, b transcripts.Member) bool { return a.Name == b.Name && same(a.Value, b.Value) })
	case []any:
		got, ok := got.([]any)
		return ok && slices.EqualFunc(want, got, same)
	case transcripts.Number:
		if got, ok := got.(transcripts.Number); ok && want.IsInteger() {
			return want == got
		}
	}
	w, isFloat := float(want)
	g, isFloat2 := float(got)
	if isFloat && isFloat2 {
		return w == g || math.IsNaN(w) && math.IsNaN(g)
	}
	return want == got
}

// float returns the value of a number that is not an integer.
func float(v any) (f float64, ok bool) {
	switch v := v.(type) {
	case transcripts.Float:
		return float64(v), true
	case transcripts.Number:
		f, _ = v.Seconds() // a number out of range is infinite, as in Python
		return f, !v.IsInteger()
	}
	return 0, false
}

// raised requires the same class of exception, with the same fields and causes.
func raised(want *transcripts.Raises, err error) error {
	got, ok := errors.AsType[*exception](err)
	if !ok {
		return fmt.Errorf("error %w, want %s", err, want)
	}
	if mismatch := differ(want, &got.raises); mismatch != "" {
		return fmt.Errorf("%s of the exception %s; want %s", mismatch, got, want)
	}
	return nil
}

// isDetail has the classes of causes that come from the code of the recorded library.
var isDetail = map[string]bool{"AssertionError": true, "JSONDecodeError": true, "KeyError": true, "TypeError": true}

// ofGo has classes of errors that scenarios of our own and the table of exceptions
// require, and that only Go has: for each reason the classes in Python.
var ofGo = map[string][]string{
	"InvalidIDError":                      {"TypeError", "ValueError"},
	"MessageError refused before sending": {"RefusedError", "ValueError"},
	"MessageError too deep":               {"RefusedError", "DeserializationError"},
	"MessageError too large":              {"DeserializationError"},
	"MessageError number too long":        {"ValueError"},
}

// differ says in what a raised exception differs from the recorded one.
func differ(want, got *transcripts.Raises) string {
	fields := []struct{ name, want, got string }{
		{"error_class", want.ErrorClass, got.ErrorClass},
		{"desc", want.Desc, got.Desc},
		{"state", want.State, got.State},
		{"required", want.Required, got.Required},
	}
	class, message := want.Class, want.ErrorMessage
	switch want.Class {
	case "NegotiationError":
		if got.Cause != nil && want.ErrorClass != "" { // the cause has what the server says
			fields[0].got, fields[1].got = got.Cause.ErrorClass, got.Cause.Desc
		}
	case "ServerParseError":
		message = "" // a long text about commands without an id, which this library does not send
	case "ExecuteError", "QMPBadPortError": // other texts are the recorded library's own
		fields = append(fields, struct{ name, want, got string }{"message", want.Message, got.Message})
	default:
		if classes := ofGo[strings.TrimSpace(want.Class+" "+want.Reason)]; slices.Contains(classes, got.Class) {
			class = ""
		}
	}
	fields = append(fields, []struct{ name, want, got string }{
		{"class", class, got.Class},
		{"error_message", message, got.ErrorMessage},
	}...)
	for _, field := range fields {
		if field.want != field.got && field.want != "" {
			return field.name
		}
	}
	switch {
	case want.Cause == nil || isDetail[want.Cause.Class]:
		return ""
	case got.Cause == nil:
		return "cause"
	}
	if mismatch := differ(want.Cause, got.Cause); mismatch != "" {
		return mismatch + " of the cause"
	}
	return ""
}
