package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestFormat(t *testing.T) {
	const value = `{"a": [1.50, 18446744073709551616, true],` + "\n" + ` "b": {"c": "x\n\u001b[2J` + "\u009b\u202e" + `é"}, "d": [], "e": null}`
	for _, tt := range []struct {
		name string
		p    Printer
		want string
	}{
		{"one line", Printer{}, `{"a":[1.50,18446744073709551616,true],"b":{"c":"x\n\u001b[2J` + "\u009b\u202e" + `é"},"d":[],"e":null}`},
		{"safe", Printer{Safe: true}, `{"a":[1.50,18446744073709551616,true],"b":{"c":"x\n\u001b[2J\u009b\u202eé"},"d":[],"e":null}`},
		{
			"pretty",
			Printer{Pretty: true, Safe: true},
			"{\n  \"a\": [\n    1.50,\n    18446744073709551616,\n    true\n  ],\n  \"b\": {\n    \"c\": \"x\\n\\u001b[2J\\u009b\\u202eé\"\n  },\n  \"d\": [],\n  \"e\": null\n}",
		},
		{
			"color",
			Printer{Color: true, Safe: true},
			"{\x1b[1m\"a\"\x1b[0m:[\x1b[35m1.50\x1b[0m,\x1b[35m18446744073709551616\x1b[0m,\x1b[35mtrue\x1b[0m],\x1b[1m\"b\"\x1b[0m:{\x1b[1m\"c\"\x1b[0m:" +
				"\x1b[32m\"x\\n\\u001b[2J\\u009b\\u202eé\"\x1b[0m},\x1b[1m\"d\"\x1b[0m:[],\x1b[1m\"e\"\x1b[0m:\x1b[35mnull\x1b[0m}",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(tt.p.Format(json.RawMessage(value))); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestFormatRaw(t *testing.T) {
	for value, want := range map[string]string{
		`"a\"b\u009b"`: `a"b\x9b`,
		`12`:           `12`,
		`null`:         `null`,
		`{"a": "b"}`:   `{"a":"b"}`,
		"not\nJSON":    "not JSON",
	} {
		if got := string((&Printer{Raw: true, Safe: true}).Format(json.RawMessage(value))); got != want {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
}

// Colors would only be in the way in a file. That they are used on a terminal is seen by
// the tests that have a pseudo-terminal.
func TestNoColorsInAFile(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if p := New(f, true); p.Color || p.Safe || !p.Pretty {
		t.Errorf("%+v", p)
	}
	if IsTerminal(new(bytes.Buffer)) {
		t.Error("a buffer is a terminal")
	}
}

func TestPrint(t *testing.T) {
	var b bytes.Buffer
	p := New(&b, false)
	for _, v := range []string{`{ "a": 1 }`, `[]`} {
		if err := p.Print(json.RawMessage(v)); err != nil {
			t.Fatal(err)
		}
	}
	if b.String() != "{\"a\":1}\n[]\n" {
		t.Errorf("%q", b.String())
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\n":        "plain\ttext\n",
		"two\r\nlines":         "two\nlines",
		"\x1b]0;title\x07":     `\x1b]0;title\x07`,
		"c1 \u009b bidi\u202e": `c1 \x9b bidi\u202e`,
		"bad \xff é \ufffd":    `bad \xff é ` + "\ufffd",
		"over\rwritten":        `over\x0dwritten`,
	} {
		if got := Text(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestGet(t *testing.T) {
	const value = `{"a": {"b": [{"c": 1}, {"c": {}}]}, "e": {}, "n": null, "t": "x", "f": 1.0, "y": true}`
	for _, tt := range []struct{ path, want, err string }{
		{"", value, ""},
		{"/", value, ""},
		{"a/b[0]/c", "1", ""},
		{"/a/b[0]/c", "1", ""},
		{"a/b/[1]", `{"c": {}}`, ""},
		{"a/b[-1]/c", "{}", ""},
		{"f", "1.0", ""},
		{"x", "", "the result has no x: it has the members a, e, f, n, t, y"},
		{"a/b[2]", "", "the result has no a/b[2]: a/b has 2 elements"},
		{"a/b[-3]", "", "a/b has 2 elements"},
		{"a/b/c", "", "a/b is not an object, but a list"},
		{"a[0]", "", "a is not a list, but an object"},
		{"n/x", "", "n is not an object, but null"},
		{"t/x", "", "t is not an object, but a text"},
		{"f/x", "", "f is not an object, but a number"},
		{"y/x", "", "y is not an object, but a boolean"},
		{"e/x", "", "e has no members"},
	} {
		p, err := ParsePath(tt.path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Get(json.RawMessage(value))
		if _, ok := errors.AsType[*PathError](err); tt.err != "" && (!ok || !strings.Contains(err.Error(), tt.err)) || tt.err == "" && (err != nil || string(got) != tt.want) {
			t.Errorf("%q: %s, %v; want %s %s", tt.path, got, err, tt.want, tt.err)
		}
	}
	for _, bad := range []string{"a//b", "a[", "a[x]", "a[0]b", "a/", "//"} {
		if p, err := ParsePath(bad); err == nil {
			t.Errorf("%q: parsed: %+v", bad, p)
		}
	}
	for _, broken := range []string{``, `{"a"`, `[1`} {
		for _, path := range []string{"a", "[0]"} {
			p, _ := ParsePath(path)
			if got, err := p.Get(json.RawMessage(broken)); err == nil {
				t.Errorf("%q of %q: %s", path, broken, got)
			}
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"a/b[0]/c", "[-1]", "//", "a[0][1]/b", "\xff"} {
		f.Add(s, `{"a": {"b": [[1]]}}`)
	}
	f.Fuzz(func(t *testing.T, path, value string) {
		p, err := ParsePath(path)
		if err != nil {
			return
		}
		if got, err := p.Get(json.RawMessage(value)); err == nil && json.Valid([]byte(value)) && !json.Valid(got) {
			t.Errorf("%q of %s is not JSON: %s", path, value, got)
		}
	})
}

// What is printed for a terminal has the same meaning, and no character that it obeys.
func FuzzFormat(f *testing.F) {
	f.Add(`{"a": "\u001b` + "\u009b\x7f" + `", "b": [1, -2.5e3, null, true]}`)
	f.Add("\"\\\\\"")
	f.Fuzz(func(t *testing.T, value string) {
		var want bytes.Buffer
		if json.Compact(&want, []byte(value)) != nil {
			return
		}
		out := (&Printer{Safe: true, Pretty: true}).Format(json.RawMessage(value))
		if Text(string(out)) != string(out) {
			t.Errorf("a terminal may obey %q", out)
		}
		var a, b any
		if json.Unmarshal([]byte(value), &a) == nil {
			if err := json.Unmarshal(out, &b); err != nil {
				t.Errorf("%q: %v", out, err)
			}
			x, _ := json.Marshal(a)
			if y, _ := json.Marshal(b); !bytes.Equal(x, y) {
				t.Errorf("%s is now %s", x, y)
			}
		}
		painted := string((&Printer{Safe: true, Color: true}).Format(json.RawMessage(value)))
		for _, color := range []string{bold, green, magenta, plain} {
			painted = strings.ReplaceAll(painted, color, "")
		}
		if uncolored := string((&Printer{Safe: true}).Format(json.RawMessage(value))); painted != uncolored {
			t.Errorf("colors changed the text: %q, %q", painted, uncolored)
		}
	})
}
