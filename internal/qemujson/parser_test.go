package qemujson

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// inputs is a file of what was sent to QEMU, and what QEMU answered. Each input is a line,
// quoted, and each line of QEMU's answer follows it, indented. TestAgreesWithQEMU writes it.
func inputs(t testing.TB, version string) (in []string, answers []string) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + version + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if answer, ok := strings.CutPrefix(line, "\t"); ok {
			answers[len(answers)-1] += answer
			continue
		}
		input, err := strconv.Unquote(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s: %q: %v", version, line, err)
		}
		in, answers = append(in, input), append(answers, "")
	}
	return in, answers
}

// answer returns what QEMU answers to input, after a message of negotiation. Every object in
// input is a command that lacks its name.
func answer(positions bool, input string, chunk int) string {
	p := Parser{Positions: positions}
	p.Feed([]byte(negotiation), func(Result) {})
	var out strings.Builder
	emit := func(r Result) {
		switch {
		case r.Fault != "":
			fmt.Fprintf(&out, "{\"error\": {\"class\": \"GenericError\", \"desc\": %s}}\n", AppendText(nil, r.Fault))
		case r.Value[0] != '{':
			out.WriteString("{\"error\": {\"class\": \"GenericError\", \"desc\": \"QMP input must be a JSON object\"}}\n")
		default:
			out.WriteString("object\n")
		}
	}
	for b := []byte(input); len(b) > 0; {
		n := min(chunk, len(b))
		p.Feed(b[:n], emit)
		b = b[n:]
	}
	return out.String()
}

const negotiation = `{"execute":"qmp_capabilities"}`

// What QEMU 7.2 and 11.1 answered to many inputs, this package answers, however they are
// cut. (An object is an object.)
func TestAnswersOfQEMU(t *testing.T) {
	t.Parallel()
	for version, positions := range map[string]bool{"7.2": false, "11.1": true} {
		in, want := inputs(t, version)
		if len(in) < 300 {
			t.Fatalf("%s: only %d inputs", version, len(in))
		}
		for i := range in {
			for _, chunk := range []int{len(in[i]), 1, 3} {
				if got := answer(positions, in[i], chunk); got != want[i] {
					t.Errorf("QEMU %s, %q:\n%s want\n%s", version, in[i], got, want[i])
				}
			}
		}
	}
}

// A value is returned as JSON: in double quotes and ASCII, with the numbers as they came.
func TestValue(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]string{
		`{'a':'b"c','d':[1,-0,1.50e+2,12345678901234567890123]}`:       `{"a": "b\"c", "d": [1, -0, 1.50e+2, 12345678901234567890123]}`,
		`{"é":"\u00e9\ud83d\ude00\/\b\f\n\r\t\\\u0000` + "\x7f" + `"}`: `{"\u00E9": "\u00E9\uD83D\uDE00/\b\f\n\r\t\\\u0000\u007F"}`,
		"{\"\xc0\x80\" : {} , 'x' : [ ] }":                             `{"\u0000": {}, "x": []}`,
		"[true,false,null]":                                            "[true, false, null]",
	} {
		var got []string
		p := Parser{}
		p.Feed([]byte(input), func(r Result) { got = append(got, string(r.Value)+r.Fault) })
		if len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %s", input, got, want)
		}
	}
}

// The limits of a message are QEMU's, or that of MaxBytes. After such a fault the parser goes
// on.
func TestLimits(t *testing.T) {
	t.Parallel()
	const next = ` {"next":1}`
	for _, test := range []struct {
		name, input string
		max         int
		positions   bool
		want        []string
	}{
		{"deep enough", strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + next, 0, false, []string{"array", "object"}},
		{"too deep", strings.Repeat("[", MaxDepth+1) + next, 0, false, []string{"JSON nesting depth limit exceeded", "object"}},
		{"too deep in 11.1", strings.Repeat("[", MaxDepth+1) + "@" + strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1) + next, 0, true, []string{"JSON nesting depth limit exceeded", "JSON nesting depth limit exceeded", "object"}},
		{"long string", `"` + strings.Repeat("x", 60) + `"` + "\n" + next, 50, false, []string{"JSON token size limit exceeded", "JSON parse error, invalid keyword 'xxxxxxxxxx'", "stray", "object"}},
		{"many small tokens", `["aaaaaaaaaa","bbbbbbbbbb","cccccccccc"` + "\xff\n" + next, 30, false, []string{"JSON token size limit exceeded", "stray", "object"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			p := Parser{MaxBytes: test.max, Positions: test.positions}
			p.Feed([]byte(test.input), func(r Result) {
				switch {
				case r.Fault == "" && r.Value[0] == '{':
					got = append(got, "object")
				case r.Fault == "":
					got = append(got, "array")
				case strings.Contains(r.Fault, "stray"):
					got = append(got, "stray")
				default:
					got = append(got, r.Fault)
				}
			})
			if test.want != nil && strings.Join(got, "; ") != strings.Join(test.want, "; ") {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	var got []string
	p := Parser{}
	p.Feed(append([]byte("["), bytes.Repeat([]byte("1,"), MaxTokens/2)...), func(r Result) { got = append(got, r.Fault) })
	if len(got) != 1 || got[0] != "JSON token count limit exceeded" {
		t.Errorf("after %d tokens: %q", MaxTokens+1, got)
	}
}

// A text that QEMU prints is in ASCII, and ends at a 0 byte.
func TestAppendText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a\"\\\n\x01\x7f":          `"a\"\\\n\u0001\u007F"`,
		"é\U0001F600":              `"\u00E9\uD83D\uDE00"`,
		"\xff\xe2\x82\xed\xa0\x80": `"\uFFFD\uFFFD\uFFFD"`,
		"a\x00b":                   `"a"`,
		"\uffff":                   `"\uFFFD"`,
	} {
		if got := AppendText(nil, in); string(got) != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
