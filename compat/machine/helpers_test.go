package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// testdata/helpers.json has the results of helpers of QEMU's own test harness, for many
// inputs. Its members named "what" say how to read it.

// rows returns a table's rows, each decoded into a T.
func rows[T any](t *testing.T, table string) []T {
	t.Helper()
	text, err := os.ReadFile("testdata/helpers.json")
	if err != nil {
		t.Fatal(err)
	}
	var tables map[string]struct{ Rows []json.RawMessage }
	if err := json.Unmarshal(text, &tables); err != nil {
		t.Fatal(err)
	}
	var all []T
	for _, raw := range tables[table].Rows {
		var row T
		if err := json.Unmarshal(raw, &row); err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
	if len(all) == 0 {
		t.Fatalf("the table %s is empty", table)
	}
	return all
}

func TestTableEventMatch(t *testing.T) {
	t.Parallel()
	type row struct {
		In     struct{ Event, Match json.RawMessage } // 1 and 1.0 are different things here
		Out    bool
		Raises string
	}
	for _, r := range rows[row](t, "event_match") {
		want := r.Out || r.Raises != "" // lists of numbers, the same ones, which it could not compare
		if got := Match(r.In.Event, r.In.Match); got != want {
			t.Errorf("Match(%s, %s) is %v", r.In.Event, r.In.Match, got)
		}
	}
}

func TestMatchOfGoValues(t *testing.T) {
	t.Parallel()
	type device struct {
		Device string `json:"device"`
	}
	nested := []any{map[string]any{"a": []int{1, 2}}}
	for _, tt := range []struct {
		value, pattern any
		want           bool
	}{
		{map[string]any{"data": map[string]any{"device": "d0", "n": 1}}, map[string]any{"data": device{"d0"}}, true},
		{map[string]any{"data": map[string]any{"device": "d0"}}, map[string]any{"data": device{"d1"}}, false},
		{uint64(1 << 63), json.RawMessage("9223372036854775808"), true},
		{uint64(1 << 63), json.RawMessage("9223372036854775808.0"), true},
		{json.RawMessage("18446744073709551616"), json.RawMessage("18446744073709551617"), false},
		{json.RawMessage("9007199254740993"), 9007199254740992.0, false},                                      // exact, not as a float64
		{map[string]any{"a": []any{float64(1 << 63)}}, json.RawMessage(`{"a": [9223372036854775808]}`), true}, // exact, not in the fewest digits
		{map[string]any{"a": float64(1 << 63)}, json.RawMessage(`{"a": 9223372036854776000}`), false},
		{int8(3), 3.5, false},
		{json.RawMessage("1e999"), json.RawMessage("1e999"), false}, // too large to tell
		{nested, nested, true},
		{nested, []any{map[string]any{"a": []int{1, 3}}}, false},
		{nested, []any{map[string]any{"a": []int{1}}}, false},
		{nested, []any{map[string]any{"b": []int{1, 2}}}, false},
		{nested, []any{map[string]any{"a": 1, "b": 2}}, false},
		{nested, []any{1}, false},
		{[]any{nil, "x"}, []any{nil, "x"}, true},
		{[]any{nil}, []any{0}, false},
		{func() {}, nil, false},
		{1, func() {}, false},
	} {
		if got := Match(tt.value, tt.pattern); got != tt.want {
			t.Errorf("Match(%v, %v) is %v", tt.value, tt.pattern, got)
		}
	}
}

// withEvents returns a machine that has received events.
func withEvents(t *testing.T, events ...[]json.RawMessage) *Machine {
	t.Helper()
	m := New("none", nil)
	m.events.reset()
	for _, raw := range slices.Concat(events...) {
		ev, err := async.ParseEvent(raw)
		if err != nil {
			t.Fatal(err)
		}
		m.events.put(ev)
	}
	return m
}

// sameJSON reports whether two values are the same.
func sameJSON(t *testing.T, a, b any) bool {
	t.Helper()
	x, err := normalize(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := normalize(b)
	if err != nil {
		t.Fatal(err)
	}
	return equal(x, y)
}

func TestTableEventsWait(t *testing.T) {
	t.Parallel()
	type row struct {
		In struct {
			Events           [][2]any
			Cached, Incoming []json.RawMessage
		}
		Out struct {
			Event       any
			Raises      string
			CachedAfter []any `json:"cached_after"`
			Pulls       []any
		}
	}
	for i, r := range rows[row](t, "events_wait") {
		// This harness has one queue. So the events that Python has put aside come
		// first, and those that it has not looked at come after them.
		m := withEvents(t, r.In.Cached, r.In.Incoming)
		after := r.Out.CachedAfter
		for _, raw := range r.In.Incoming[min(len(r.Out.Pulls), len(r.In.Incoming)):] {
			after = append(after, raw)
		}
		var matches []EventMatch
		for _, e := range r.In.Events {
			matches = append(matches, EventMatch{Name: e[0].(string), Pattern: e[1]})
		}
		// No row needs an event that comes later, so the context may have ended.
		ctx, cancel := context.WithTimeout(t.Context(), 0)
		ev, err := m.EventsWait(ctx, matches...)
		cancel()
		if r.Out.Event != nil && !sameJSON(t, ev, r.Out.Event) {
			t.Errorf("row %d: %v, want %v", i, ev, r.Out.Event)
		}
		if r.Out.Event == nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("row %d: %v, %v", i, ev, err)
		}
		if left := m.Events(); len(left)+len(after) > 0 && !sameJSON(t, left, after) {
			t.Errorf("row %d: left is %v, want %v", i, left, after)
		}
	}
}

func TestTableGetQMPEvents(t *testing.T) {
	t.Parallel()
	type row struct {
		In struct {
			Method           string
			Wait             bool
			Cached, Incoming []json.RawMessage
		}
		Out    struct{ Result any }
		Raises string
	}
	for i, r := range rows[row](t, "get_qmp_events") {
		m := withEvents(t, r.In.Cached, r.In.Incoming)
		if r.In.Method == "get_qmp_events" {
			// The oldest is first here. In the table, events that were put aside come
			// after newer ones.
			if all := m.Events(); !sameJSON(t, all, slices.Concat(r.In.Cached, r.In.Incoming)) {
				t.Errorf("row %d: %v", i, all)
			}
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 0)
		ev, err := m.NextEvent(ctx)
		cancel()
		switch {
		case r.Raises != "":
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("row %d: %v", i, err)
			}
		case !sameJSON(t, ev, r.Out.Result):
			t.Errorf("row %d: %v, want %v", i, ev, r.Out.Result)
		}
	}
}

func TestTableQMPArgs(t *testing.T) {
	t.Parallel()
	type row struct {
		In struct {
			Cmd, Method string
			Kwargs      map[string]any
			ArgsDict    map[string]any  `json:"args_dict"`
			ConvKeys    *bool           `json:"conv_keys"`
			Reply       json.RawMessage `json:"reply"`
		}
		Out struct {
			Sent []struct {
				Name       string
				Args, Kwds map[string]any
			}
			Returned   any
			QuitIssued bool `json:"quit_issued"`
		}
		Raises string
	}
	var cannotBeSaid int
	for i, r := range rows[row](t, "qmp_args") {
		if r.Raises != "" {
			cannotBeSaid++ // two kinds of arguments at once
			continue
		}
		// The type of the arguments says whether names are converted.
		var args any = Args(r.In.Kwargs)
		switch {
		case r.In.ArgsDict != nil:
			args = r.In.ArgsDict
		case r.In.Method == "", r.In.ConvKeys == nil || *r.In.ConvKeys:
		default:
			args = r.In.Kwargs
		}
		if r.In.ConvKeys != nil && !*r.In.ConvKeys {
			args = r.In.Kwargs
		}
		var sent qmptest.Message
		reply := qmptest.Return(`{}`)
		if r.In.Reply != nil {
			reply = qmptest.Reply(`{"strange": 1, "id": $id}`)
		}
		player := qmptest.Play(t, &qmptest.ScriptOptions{Network: qmptest.SocketPair},
			qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`),
			qmptest.ExpectFunc("the command", func(m qmptest.Message) error { sent = m; return nil }), reply)
		m := New("none", nil)
		m.run = &run{machine: m}
		if err := m.client.Attach(t.Context(), player.Conn()); err != nil {
			t.Fatal(err)
		}
		var got any
		var err error
		if r.In.Method == "command" {
			got, err = m.Command(t.Context(), r.In.Cmd, args)
		} else {
			got, err = m.QMP(t.Context(), r.In.Cmd, args)
		}
		if err != nil {
			t.Errorf("row %d: %v", i, err)
		}
		if !sameJSON(t, got, r.Out.Returned) {
			t.Errorf("row %d: returned %v, want %v", i, got, r.Out.Returned)
		}
		if m.run.quit.Load() != r.Out.QuitIssued {
			t.Errorf("row %d: a quit is noted: %v", i, m.run.quit.Load())
		}
		if err := m.client.Close(); err != nil {
			t.Error(err)
		}
		if err := player.Wait(); err != nil {
			t.Error(err)
		}
		want := r.Out.Sent[0].Args
		if want == nil {
			want = r.Out.Sent[0].Kwds
		}
		arguments := sent.Arguments
		if arguments == nil {
			arguments = json.RawMessage(`{}`)
		}
		if sent.Name != r.Out.Sent[0].Name || !sameJSON(t, arguments, want) {
			t.Errorf("row %d: sent %v, want %v", i, sent, want)
		}
	}
	if cannotBeSaid != 3 {
		t.Errorf("%d rows were left out", cannotBeSaid)
	}
}

// If several names become the same, the one that is sorted first is sent every time,
// which is the one with dashes.
func TestArgsThatBecomeOne(t *testing.T) {
	t.Parallel()
	for range 50 {
		got := Args{"a_b-c": 1, "a-b_c": 2, "a_b_c": 3, "d_e": 4, "d-e": 5, "_": 6, "": 7}.converted()
		if want := map[string]any{"a-b-c": 2, "d-e": 5, "-": 6, "": 7}; !sameJSON(t, got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}

// An event in the error of a wait has its secrets masked.
func TestWaitInVainShowsNoSecret(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	event := json.RawMessage(`{"event": "A", "data": {"device": "https://u:hunter2@host/x"}}`)
	m := withEvents(t, []json.RawMessage{event, event})
	_, before := m.EventWait(over, "A", map[string]any{"data": map[string]any{}})
	for _, match := range []any{map[string]any{"data": map[string]any{"device": "y"}}, map[string]any{"data": map[string]any{}}} {
		_, err := m.EventWait(over, "A", match)
		if before != nil || err != nil && (strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "host/x")) {
			t.Errorf("%v, %v", before, err)
		}
		if err == nil {
			_, err = m.EventWait(over, "A", match)
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the event that was taken: %v", err)
			}
		}
	}
}

// The error of a wait that has failed says which events came instead, and which call
// took an event that matches.
func TestWaitInVain(t *testing.T) {
	t.Parallel()
	events := []json.RawMessage{
		json.RawMessage(`{"event": "A", "data": {"n": 1}}`),
		json.RawMessage(`{"event": "B"}`),
		json.RawMessage(`{"event": "A", "data": {"n": 2}}`),
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	n := func(i int) any { return map[string]any{"data": map[string]any{"n": i}} }
	for name, tt := range map[string]struct {
		before func(m *Machine)
		n      int
		want   []string
	}{
		"no match": {func(*Machine) {}, 3, []string{
			"3 other events, the last of them A, B, A", `one of that name does not match: {"event": "A", "data": {"n": 2}}`,
		}},
		"taken by Events": {func(m *Machine) { m.Events() }, 1, []string{
			"there are no other events", `one that matches came before and was taken by Events: {"event": "A", "data": {"n": 1}}`,
		}},
		"cleared": {func(m *Machine) { m.ClearEvents() }, 2, []string{`was dropped by ClearEvents: {"event": "A", "data": {"n": 2}}`}},
		"waited for": {func(m *Machine) { _, _ = m.EventWait(over, "A", nil) }, 1, []string{
			"2 other events, the last of them B, A", "was taken by an earlier wait",
		}},
		"ended": {func(m *Machine) { m.events.end(ErrNotRunning) }, 3, []string{"is not running", "the last of them A, B, A"}},
	} {
		m := withEvents(t, events)
		tt.before(m)
		_, err := m.EventWait(over, "A", n(tt.n))
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: no %q in %v", name, want, err)
			}
		}
	}
	// The number of events that are kept for errors has a limit, and the next launch
	// drops them.
	m := New("none", nil)
	m.events.reset()
	again, err := async.ParseEvent(events[0])
	if err != nil {
		t.Fatal(err)
	}
	for range 10 * keptGone {
		m.events.put(again)
		m.ClearEvents()
	}
	if n := len(m.events.gone); n != keptGone {
		t.Errorf("%d events are remembered", n)
	}
	m.events.reset()
	if _, err := m.EventWait(over, "A", nil); strings.Contains(err.Error(), "came before") {
		t.Errorf("after a new launch: %v", err)
	}
}

func TestEventThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	raw := json.RawMessage(`{"event": "LONG", "data": ` + string(bytes.Repeat([]byte("9"), 5000)) + `}`)
	m := withEvents(t, []json.RawMessage{raw})
	ev, err := m.EventWait(t.Context(), "LONG", nil)
	if err != nil || ev["event"] != "LONG" {
		t.Errorf("%v, %v", ev, err)
	}
}
