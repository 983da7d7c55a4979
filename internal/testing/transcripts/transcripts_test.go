package transcripts

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/proto"
)

func mustParse(t *testing.T, text string) any {
	t.Helper()
	v, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// Text writes a parsed value as it was written.
func TestValuesStayAsTheyAreWritten(t *testing.T) {
	for _, text := range []string{
		`{"b": 1, "a": 1.0, "c": [0, 0.0, -0, 1e5, 340282366920938463463374607431768211456], "b": null}`,
		`["\u00e9\u4e2d\ud83d\ude00", "\ud800", "\udc00\ud800", "a\udfffb", "\"\\/\n\r\t\u0000\u007f"]`,
		`{"\ud83d": false, "": true}`,
		`[]`, `{}`, `""`, `{"$other": 1}`, `{"$repeat": ["x", 2], "more": 1}`,
	} {
		if got := Text(mustParse(t, text)); got != text {
			t.Errorf("%s became %s", text, got)
		}
	}
}

func TestLongForms(t *testing.T) {
	for text, want := range map[string]any{
		`{"$repeat": ["ab", 3]}`:                 "ababab",
		`{"$list": [{"a": 1}, 2]}`:               []any{Object{{"a", Number("1")}}, Object{{"a", Number("1")}}},
		`{"$nest": 3}`:                           []any{[]any{[]any{}}},
		`{"$float": "inf"}`:                      Float(math.Inf(1)),
		`{"x": {"$repeat": ["-", 0]}, "y": "$"}`: Object{{"x", ""}, {"y", "$"}},
	} {
		if diff := cmp.Diff(want, mustParse(t, text)); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	for _, text := range []string{`{"$repeat": ["ab"]}`, `{"$repeat": [1, 2]}`, `{"$list": [1, -1.5]}`, `{"$nest": 0}`, `{"$float": "x"}`, `1 2`, `{`, `[1,]`} {
		if v, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s is %v", text, v)
		}
	}
}

func TestEqual(t *testing.T) {
	beyond, _ := new(big.Int).SetString("18446744073709551616", 10)
	for _, tt := range []struct {
		want string
		got  any
		same bool
	}{
		{`1`, int64(1), true},
		{`1`, 1.0, false},
		{`1`, 1, false},
		{`1`, true, false},
		{`1`, uint64(1), false},
		{`1.0`, 1.0, true},
		{`1.0`, int64(1), false},
		{`1e400`, math.Inf(1), true},
		{`0.0`, math.Copysign(0, -1), false},
		{`-0`, int64(0), true},
		{`0`, false, false},
		{`9223372036854775807`, int64(math.MaxInt64), true},
		{`9223372036854775808`, uint64(1 << 63), true},
		{`9223372036854775808`, float64(1 << 63), false},
		{`18446744073709551616`, beyond, true},
		{`18446744073709551617`, beyond, false},
		{`{"$float": "nan"}`, math.NaN(), true},
		{`{"$float": "nan"}`, 0.0, false},
		{`null`, nil, true},
		{`null`, false, false},
		{`null`, map[string]any{}, false},
		{`"a\ud800"`, "a\ufffd", true},
		{`"a"`, "b", false},
		{`[]`, []any{}, true},
		{`[]`, nil, false},
		{`[1]`, []any{}, false},
		{`{"a": 1, "a": 2}`, map[string]any{"a": int64(2)}, true},
		{`{"a": 1}`, map[string]any{}, false},
		{`{}`, map[string]any{"a": nil}, false},
		{`{"a": {"b": [1]}}`, map[string]any{"a": map[string]any{"b": []any{int64(2)}}}, false},
	} {
		if err := Equal(mustParse(t, tt.want), tt.got); (err == nil) != tt.same {
			t.Errorf("%s against %s: %v", tt.want, describe(tt.got), err)
		}
	}
}

func TestSameWire(t *testing.T) {
	for _, tt := range []struct {
		a, b           string
		ordered, exact bool
		same           bool
	}{
		{`{"a":1,"b":2}`, `{"b":2,"a":1}`, true, true, false},
		{`{"a":1,"b":2}`, `{"b":2,"a":1}`, false, true, true},
		{`{"a":[{"c":1,"d":2}]}`, `{"a":[{"d":2,"c":1}]}`, false, true, true},
		{`{"a":1}`, `{"a":1,"b":2}`, false, true, false},
		{`1.0`, `1`, true, true, false},
		{`1.0`, `1`, true, false, true},
		{`1e3`, `1000.0`, true, false, true},
		{`1`, `2`, true, false, false},
		{`[1]`, `{}`, true, false, false},
		{`"1"`, `1`, true, false, false},
		{`"\u00e9"`, `"é"`, true, true, true},
	} {
		err := SameWire(mustParse(t, tt.a), mustParse(t, tt.b), tt.ordered, tt.exact)
		if (err == nil) != tt.same {
			t.Errorf("%s against %s: %v", tt.a, tt.b, err)
		}
	}
}

// Each form of the arguments becomes the same JSON, except for the order of members
// and the way in which a number is written.
func TestForms(t *testing.T) {
	const text = `{"z":1.0,"a":{"y":18446744073709551616,"b":[true,null,{"d":"é","c":-1}]}}`
	for _, form := range []Form{Raw, Members, Map} {
		raw, err := proto.AppendObject(nil, form.Go(mustParse(t, text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := SameWire(mustParse(t, text), mustParse(t, string(raw)), form != Map, form == Raw); err != nil {
			t.Errorf("%v: %v", form, err)
		}
	}
	if _, err := proto.AppendObject(nil, Raw.Go(mustParse(t, `{"a":{"$float":"nan"}}`))); err == nil {
		t.Error("NaN was encoded")
	}
	if _, err := proto.AppendObject(nil, Map.Go(mustParse(t, `{"a":"\ud800"}`))); err == nil {
		t.Error("a lone surrogate was encoded")
	}
}

func TestAnswering(t *testing.T) {
	for _, tt := range []struct {
		name         string
		waiting      string // the ids of unanswered commands; "caps" is that of qmp_capabilities
		unattributed bool
		pieces       []string
		want         string
		left         string // the ids of commands that are still unanswered
	}{
		{"a success", "1 2", false, []string{`{"return": {}}` + "\r\n"}, `{"return": {}, "id": 1}` + "\r\n", "2"},
		{"an error", "1", false, []string{`{"error": {"class": "C", "desc": "}"}}`}, `{"error": {"class": "C", "desc": "}"}, "id": 1}`, ""},
		{"two in one go", "1 2", false, []string{`{"return": 1}{"return": 2} `}, `{"return": 1, "id": 1}{"return": 2, "id": 2} `, ""},
		{"in pieces", "1", false, []string{`{"ret`, `urn": "\`, `"}{`, `"`, ` }`, "\n"}, `{"return": "\"}{" , "id": 1}` + "\n", ""},
		{"an empty object", "1", false, []string{`{ }`}, `{ "id": 1}`, ""},
		{"a null id", "1", false, []string{`{"id": null, "return": 1}`}, `{"id": null, "return": 1, "id": 1}`, ""},
		{"its own id", "1 2", false, []string{`{"return": 1, "id": 1}{"return": 2}`}, `{"return": 1, "id": 1}{"return": 2, "id": 2}`, ""},
		{"an unknown id", "1", false, []string{`{"return": 1, "id": "x"}{"return": 1, "id": [1]}`}, `{"return": 1, "id": "x"}{"return": 1, "id": [1]}`, "1"},
		{"any id answers the handshake", "caps 2", false, []string{`{"return": 1, "id": 7}{"return": 2}`}, `{"return": 1, "id": 7}{"return": 2, "id": 2}`, ""},
		{"no unanswered command", "", false, []string{`{"return": 1}{"error": 1}`}, `{"return": 1}{"error": 1}`, ""},
		{"events and greetings", "1", false, []string{`{"event": "A"}{"QMP": 1, "return": 1}`}, `{"event": "A"}{"QMP": 1, "return": 1}`, "1"},
		{"an error that cannot be attributed", "1 2", true, []string{`{"error": {}}{"return": 2}`}, `{"error": {}}{"return": 2, "id": 2}`, ""},
		{"not JSON", "1", false, []string{`{'return': 1}{"return": 1,}[1]17 "x" {"return": NaN}`}, `{'return': 1}{"return": 1,}[1]17 "x" {"return": NaN}`, "1"},
		{"after a byte order mark", "1", false, []string{"\xef\xbb\xbf" + `{"return": 1}`}, "\xef\xbb\xbf" + `{"return": 1}`, "1"},
		{"cut off", "1", false, []string{`{"return": {"a"`}, `{"return": {"a"`, "1"},
		{"closed too often", "1", false, []string{`}]{"return": 1}`}, `}]{"return": 1}`, "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := answering{unattributed: tt.unattributed}
			for _, id := range strings.Fields(tt.waiting) {
				name := "x"
				if id == "caps" {
					name = "qmp_capabilities"
				}
				a.received(name, id, nil)
			}
			var got string
			for _, piece := range tt.pieces {
				got += string(a.answer([]byte(piece)))
			}
			if got != tt.want {
				t.Errorf("sent %s, want %s", got, tt.want)
			}
			var left []string
			for _, w := range a.waiting {
				left = append(left, w.id)
			}
			if s := strings.Join(left, " "); s != tt.left {
				t.Errorf("still unanswered: %q, want %q", s, tt.left)
			}
		})
	}
}

// An id that is literally in the recording stands for the id of the command that was
// recorded with it.
func TestAnsweringLiterals(t *testing.T) {
	var a answering
	a.received("x", "5", "__qmp#00000")
	a.received("x", "6", "$id")
	a.received("x", `"own"`, "own")
	if want := map[string]string{"__qmp#00000": "5"}; cmp.Diff(want, a.literals) != "" || a.waiting != nil {
		t.Errorf("literals %v, waiting %v", a.literals, a.waiting)
	}
}

// check finds every difference from a recorded outcome that matters, and no other.
func TestOutcomes(t *testing.T) {
	connect := func(stage async.ConnectStage, err error) error { return &async.ConnectError{Stage: stage, Err: err} }
	state := &async.StateError{State: async.Idle, Required: async.Running}
	timeout := &async.ExecInterruptedError{Err: &async.TimeoutError{}}
	notJSON := &async.MessageError{Reason: async.NotJSON, Err: io.EOF}
	for _, tt := range []struct {
		want string // the members of a call
		call string
		got  any
		err  error
		ok   bool
	}{
		{`"returns": null`, "close", nil, nil, true},
		{`"returns": null`, "close", nil, io.EOF, false},
		{`"returns": {"return": 1, "id": null}`, "cmd", map[string]any{"return": int64(1)}, nil, true},
		{`"returns": {"return": 1, "id": "a"}`, "cmd", map[string]any{"return": int64(1)}, nil, false},
		{`"returns": {"return": 1, "id": "__qmp#00000"}`, "cmd", map[string]any{"return": int64(1)}, nil, true},
		{`"returns": {"return": 1}`, "cmd", map[string]any{"return": int64(1), "id": int64(3)}, nil, false},
		{`"returns": {"id": null}`, "pull_event", map[string]any{"id": nil}, nil, true},
		{`"hangs": true, "limit_ms": 5`, "cmd", nil, nil, false},

		{`"raises": {"class": "EOFError"}`, "close", nil, io.EOF, true},
		{`"raises": {"class": "EOFError"}`, "close", nil, nil, false},
		{`"raises": {"class": "EOFError"}`, "close", nil, syscall.ECONNRESET, false},
		{`"raises": {"class": "ConnectionResetError", "message": "[Errno 104] x"}`, "close", nil, fmt.Errorf("x: %w", syscall.ECONNRESET), true},
		{`"raises": {"class": "ConnectionResetError", "message": "[Errno 104] x"}`, "close", nil, io.EOF, false},
		{`"raises": {"class": "TimeoutError"}`, "cmd", nil, timeout, true},
		{`"raises": {"class": "TimeoutError"}`, "cmd", nil, &async.ExecInterruptedError{Err: io.EOF}, false},
		{`"raises": {"class": "ExecInterruptedError"}`, "cmd", nil, &async.ExecInterruptedError{Err: io.EOF}, true},
		{`"raises": {"class": "ExecInterruptedError"}`, "cmd", nil, timeout, false},
		{`"raises": {"class": "StateError", "state": "IDLE", "required": "RUNNING"}`, "cmd", nil, state, true},
		{`"raises": {"class": "StateError", "state": "RUNNING", "required": "IDLE"}`, "cmd", nil, state, false},
		{`"raises": {"class": "ConnectError", "error_message": "Failed to establish session", "cause": {"class": "EOFError"}}`, "connect", nil, connect(async.StageSession, io.EOF), true},
		{`"raises": {"class": "ConnectError", "error_message": "Failed to establish session", "cause": {"class": "EOFError"}}`, "connect", nil, connect(async.StageConnection, io.EOF), false},
		{`"raises": {"class": "ConnectError", "cause": {"class": "EOFError"}}`, "connect", nil, connect("", notJSON.Err), true},
		{`"raises": {"class": "ConnectError", "cause": {"class": "OSError", "message": "[Errno 2] x"}}`, "connect", nil, connect("", syscall.EACCES), false},
		{`"raises": {"class": "ConnectError", "cause": {"class": "OSError", "message": "too long"}}`, "connect", nil, connect("", errors.New("x")), true},
		{
			`"raises": {"class": "ConnectError", "cause": {"class": "GreetingError", "cause": {"class": "KeyError"}}}`, "connect", nil,
			connect("", &async.GreetingError{}), true,
		},
		{
			`"raises": {"class": "ConnectError", "cause": {"class": "GreetingError", "cause": {"class": "UnexpectedTypeError"}}}`, "connect", nil,
			connect("", &async.GreetingError{Err: notJSON}), false,
		},
		{`"raises": {"class": "ExecuteError", "error_class": "C", "desc": "d"}`, "command", nil, &async.ExecuteError{Class: "C", Desc: "d"}, true},
		{`"raises": {"class": "ExecuteError", "error_class": "C", "desc": "d"}`, "command", nil, &async.ExecuteError{Class: "C", Desc: "e"}, false},
		{`"raises": {"class": "DeserializationError"}`, "close", nil, notJSON, true},
		{`"raises": {"class": "UnexpectedTypeError"}`, "close", nil, notJSON, false},
		{`"raises": {"class": "MessageError", "reason": "too large"}`, "close", nil, notJSON, false},
		{`"raises": {"class": "ValueError", "message": "$line-too-long"}`, "close", nil, &async.MessageError{Reason: async.TooLarge, Err: io.EOF}, true},
		{`"raises": {"class": "ValueError", "message": "ID ('5') must be a string."}`, "cmd", nil, &async.InvalidIDError{}, true},
		{`"raises": {"class": "AssertionError"}`, "cmd", nil, errors.New("x"), false},
		{`"raises": {"class": "NewError"}`, "cmd", nil, errors.New("x"), false},
	} {
		f := fields{}
		call := f.call(mustParse(t, `{"call": "`+tt.call+`", `+tt.want+`}`))
		if f.err != nil {
			t.Fatal(f.err)
		}
		err := (&Suite{}).check(call.Outcome, tt.got, tt.err, isReply(tt.call))
		if (err == nil) != tt.ok {
			t.Errorf("%s for %s, %v: %v", tt.want, describe(tt.got), tt.err, err)
		}
	}
}

// A member of a scenario that the replayer does not know is an error.
func TestUnknownMembersAreErrors(t *testing.T) {
	for _, text := range []string{
		`{"name": "a", "colour": "red"}`,
		`{"client": [{"call": "close", "return": null}]}`,
		`{"client": [{"call": "close", "raises": {"klass": "X"}}]}`,
		`{"client": [{"call": "close", "raises": {}}]}`,
		`{"client": [{"call": "close", "elapsed_ms": {"min": "x"}}]}`,
		`{"server": [{"send": 1, "expect": 2}]}`,
		`{"server": {}}`, `{"role": "both"}`, `[]`, `{`,
	} {
		if _, err := NewScenario([]byte(text)); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
	for _, step := range []string{`{"sent": 1}`, `{"send_hex": "0"}`, `{"send_raw": [1]}`, `{"expect_raw": 5}`, `{"sleep_ms": "x"}`, `{"mark": 1}`, `{"expect_fd": {"n": 1}}`} {
		sc, err := NewScenario([]byte(`{"server": [` + step + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (&script{scenario: sc}).steps(); err == nil {
			t.Errorf("%s: no error", step)
		}
	}
}

func TestObservedDifferences(t *testing.T) {
	sc, err := NewScenario([]byte(`{
		"server": [{"accept": true}, {"expect": null}],
		"client": [{"call": "connect", "args": {"negotiate": true}, "returns": 1}, {"call": "close", "returns": null}],
		"observed": {"7.2": "same", "0.0.6": {
			"client": {"0": {"raises": {"class": "EOFError"}}}, "server": {"1": {"expect": 5}}, "client_ends_after": 0}}}`))
	if err != nil {
		t.Fatal(err)
	}
	same, ok, err := sc.For(V72)
	if err != nil || !ok || len(same.Client) != 2 || !same.Client[0].Outcome.HasReturns {
		t.Errorf("7.2: %+v, %v, %v", same, ok, err)
	}
	other, ok, err := sc.For(V006)
	if err != nil || !ok || len(other.Client) != 1 || other.Client[0].Outcome.Raises == nil || other.Client[0].Args == nil || other.Server[1].Arg != any(Number("5")) {
		t.Errorf("0.0.6: %+v, %v, %v", other, ok, err)
	}
	if _, ok, _ := (&Scenario{versions: []string{V72}}).For(V006); ok {
		t.Error("a scenario of 7.2 alone applies to 0.0.6")
	}
}

// An exception that requires what the recording requires anyway is an error.
func TestExceptionsAreNeeded(t *testing.T) {
	sc, err := NewScenario([]byte(`{"client": [{"call": "close", "returns": {"a": 1}}, {"call": "close", "raises": {"class": "EOFError"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for outcome, needed := range map[string]bool{
		`{"returns": {"a": 1}}`: false, `{"returns": {"a": 1.0}}`: true, `{"raises": {"class": "EOFError"}}`: true, ``: true,
		`{"raises": {"class": "Timeout", "what": 1}}`: false, // an unknown member
	} {
		_, err := (&Exception{Scenario: "x", Client: map[int]string{0: outcome}}).apply(sc)
		if (err == nil) != needed {
			t.Errorf("%s: %v", outcome, err)
		}
	}
	if _, err := (&Exception{Scenario: "x", Client: map[int]string{7: nothing}}).apply(sc); err == nil {
		t.Error("no error for call 7, which does not exist")
	}
}

func TestWaits(t *testing.T) {
	for text, want := range map[string]Wait{
		`false`: {}, `0`: {}, `0.0`: {}, `null`: {}, `true`: {Forever: true},
		`1`: {Limited: true, For: 1e9}, `0.25`: {Limited: true, For: 25e7}, `-0.5`: {Limited: true, For: -5e8},
	} {
		call := Call{Args: Object{{"wait", mustParse(t, text)}}}
		if got, err := call.EventWait(); got != want || err != nil {
			t.Errorf("wait=%s is %+v, %v", text, got, err)
		}
	}
	if _, err := (Call{Args: Object{{"wait", "x"}}}).EventWait(); err == nil {
		t.Error("no error for a wait that is a text")
	}
	call := Call{Args: Object{{"timeout", nil}}}
	if got, err := call.Seconds("timeout", defaultAccept); !got.Forever || err != nil {
		t.Errorf("timeout=null is %+v, %v", got, err)
	}
	if got, err := (Call{}).Seconds("timeout", defaultAccept); got != defaultAccept || err != nil {
		t.Errorf("no timeout is %+v, %v", got, err)
	}
}

// Only time limits that no call reaches are stretched.
func TestStretching(t *testing.T) {
	sc, err := NewScenario([]byte(`{"client": [
		{"call": "settimeout", "args": {"timeout": 0.2}, "returns": null},
		{"call": "connect", "returns": null},
		{"call": "settimeout", "args": {"timeout": 0.2}, "returns": null},
		{"call": "cmd", "returns": {}},
		{"call": "settimeout", "args": {"timeout": 0.2}, "returns": null},
		{"call": "cmd", "returns": {}},
		{"call": "command", "raises": {"class": "TimeoutError"}},
		{"call": "pull_event", "args": {"wait": 1.5}, "returns": {}},
		{"call": "pull_event", "args": {"wait": 1.5}, "raises": {"class": "TimeoutError"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]bool{0: false, 2: true, 4: false, 7: true, 8: false} {
		if sc.inTime(i) != want {
			t.Errorf("call %d is stretched: %v", i, !want)
		}
	}
	got := Object{{"wait", Number("1.5")}, {"timeout", Number("-1")}, {"x", Number("1")}}.stretched()
	if Compact(got) != `{"wait":30,"timeout":-1,"x":1}` {
		t.Error(Compact(got))
	}
}
