package syntax

import (
	"errors"
	"strings"
	"testing"
)

// Each error says where the fault is. "|" in the text is the place.
func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		incomplete bool
	}{
		{text: "|)", want: `")" without "transaction("`},
		{text: "|( a", want: `unexpected "(" (only a transaction has parentheses: transaction( ... ))`},
		{text: "|a=1", want: `expected the name of a command, got "a=1" (the command comes first: COMMAND KEY=VALUE ...)`},
		{text: `|"x" a=1`, want: "expected the name of a command"},
		{text: "exec-oob|", want: "exec-oob needs the name of a command"},
		{text: "x |a", want: `expected KEY=VALUE, got "a"`},
		{text: "x a=1 |= 2", want: "the name of the argument is missing"},
		{text: "x |a..b=1", want: `an empty name in the key "a..b"`},
		{text: "x a=1 |a=2", want: "a is given twice"},
		{text: "x a=1 |a.b=2", want: "a is given as a value, so a.b cannot be set in it"},
		{text: "x a.b=1 |a=2", want: "members of a are given already"},
		{text: "x a.0=1 |a.2=1", want: "a.1 is missing in the list"},
		{text: "x a.0=1 |a.b=1", want: "a has numbers and names as members"},
		{text: "x a=1\n|y b=2", want: "a second command on another line"},
		{text: "x a=1 |)", want: `")" without "transaction("`},
		{text: "x |(a", want: `unexpected "("`},
		{text: "transaction a=1 |( b )", want: `unexpected "("`},
		{text: "transaction( a x=1 ) |b", want: `expected KEY=VALUE, got "b"`},
		{text: "transaction( |x=1 )", want: "expected the name of a command"},
		{text: "transaction( a b=1 |( )", want: `unexpected "("`},
		{text: "transaction( a ) |actions=1", want: "actions are given already"},
		{text: `x {"a": 1}|b=2`, want: "nothing may follow the object"},
		{text: `x {"a": 1} |b=2`, want: "nothing may follow the object with the arguments"},
		{text: `x a="b"|c`, want: `unexpected "c" after the value`},
		{text: `x a={"b": 1, |"b": 2}`, want: `"b" is in the object twice`},
		{text: `x a={|b: 1}`, want: "expected the name of a member in quotes"},
		{text: `x a={"b" |1}`, want: `expected ":" after the name of a member`},
		{text: `x a=[1 |2]`, want: `expected "," or "]" in the list`},
		{text: `x a=[|b]`, want: `expected a value, got "b" (put a text into quotes)`},
		{text: `x a=[|:]`, want: `expected a value, got ":"`},
		{text: `x a="|\q"`, want: "unknown escape"},
		{text: `x a="|\ud800"`, want: "unknown escape"},
		{text: `x a="|\ud800\n"`, want: "unknown escape"},
		{text: `x a="|\ud800\u0041"`, want: "unknown escape"},
		{text: `x a="|\uzzzz"`, want: "unknown escape"},
		{text: "x a=\"|\xff\"", want: "this is not UTF-8 text"},
		{text: "x a=b|\xff", want: "this is not UTF-8 text"},
		{text: `|{"a": 1}`, want: `a message needs "execute" or "exec-oob"`},
		{text: `|{"execute": 1}`, want: "a message has one command"},
		{text: `|{"execute": "a", "exec-oob": "b"}`, want: "a message has one command"},
		{text: `{"execute": "a"} |b`, want: "nothing may follow a whole message"},

		{text: "transaction|(", want: `the transaction is not closed (end it with ")")`, incomplete: true},
		{text: "transaction|( a x=1", want: "the transaction is not closed", incomplete: true},
		{text: `x a=|"b c`, want: "the quote is not closed", incomplete: true},
		{text: `x a=|"b\`, want: "the quote is not closed", incomplete: true},
		{text: `x a=|{"b": 1`, want: `the object is not closed (end it with "}")`, incomplete: true},
		{text: `x a=|{"b"`, want: "the object is not closed", incomplete: true},
		{text: `x a={"b":|`, want: "a value is missing", incomplete: true},
		{text: `x a=|[1,`, want: "the list is not closed", incomplete: true},
		{text: `x |{`, want: "the object is not closed", incomplete: true},
		{text: `|{"execute": "x"`, want: "the object is not closed", incomplete: true},
		{text: `|{`, want: "the object is not closed", incomplete: true},
	} {
		before, after, _ := strings.Cut(tt.text, "|")
		_, err := Parse(before + after)
		var e *Error
		if !errors.As(err, &e) || e.Offset != len(before) || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrIncomplete) != tt.incomplete {
			t.Errorf("%s: %v, %+v", tt.text, err, e)
		}
	}
	deep := "x a=" + strings.Repeat("[", 2000)
	if _, err := Parse(deep); err == nil || !strings.Contains(err.Error(), "more than 1024 levels") {
		t.Error(err)
	}
}

// Columns count characters, and a text with several lines has the line.
func TestErrorPosition(t *testing.T) {
	_, err := Parse("transaction(\n  é x=1 x=2\n)")
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	line, column := e.Position()
	if line != 2 || column != 9 || e.Line() != "  é x=1 x=2" || err.Error() != "line 2, column 9: x is given twice (leave one out)" {
		t.Errorf("line %d, column %d, %q: %v", line, column, e.Line(), err)
	}
	_, err = Parse("x " + strings.Repeat("é", 60))
	if !strings.Contains(err.Error(), strings.Repeat("é", 20)+`..."`) || strings.Contains(err.Error(), strings.Repeat("é", 21)) {
		t.Error(err)
	}
}

func TestMessage(t *testing.T) {
	for _, text := range []string{"x a=1", "exec-oob x a=1", `{"exec-oob": "x", "arguments": {"a": 1}}`, `{"execute": "x"}`} {
		cmd, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		m := cmd.Message()
		whole := strings.HasPrefix(text, "{")
		if cmd.Name != "x" || cmd.OOB != strings.Contains(text, "oob") || (m.Object != nil) != whole || !whole && (m.Name != "x" || m.OOB != cmd.OOB || m.Args == nil) {
			t.Errorf("%s: %+v, %+v", text, cmd, m)
		}
	}
	if m := (Command{Name: "x"}).Message(); m.Args != nil {
		t.Errorf("%+v", m)
	}
	if wire := string(Command{Name: "x", OOB: true}.Wire()); wire != `{"exec-oob":"x"}` {
		t.Error(wire)
	}
}

func TestInteger(t *testing.T) {
	for text, want := range map[string]string{"5": "5", "-0x10": "-16", "0b11": "3", "0o17": "15", "+7": "7", "1.5": "", "1e3": "", "x": "", "": "", "0x": "", "--0x1": "", "0xzz": "", "0x_1": "", "99999999999999999999": "99999999999999999999"} {
		if n, ok := Integer(text); ok != (want != "") || ok && n != want {
			t.Errorf("%q: %q, %v", text, n, ok)
		}
	}
}
