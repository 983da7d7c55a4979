package harmless

import (
	"errors"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

var texts = []struct{ in, line, text string }{
	{"", "", ""},
	{"plain", "plain", "plain"},
	{`a\x1b`, `a\x1b`, `a\x1b`},
	{"\x1b[31mred\a", `\x1b[31mred\x07`, `\x1b[31mred\x07`},
	{"a\x00b\x7f", `a\x00b\x7f`, `a\x00b\x7f`},
	{"\u0085\u009b2J", `\u0085\u009b2J`, `\u0085\u009b2J`},
	{"\u202egpj.exe\u2066", `\u202egpj.exe\u2066`, `\u202egpj.exe\u2066`},
	{"\u2028\u2029\ufeff\u200b", `\u2028\u2029\ufeff\u200b`, `\u2028\u2029\ufeff\u200b`},
	{"\U000e0041", `\U000e0041`, `\U000e0041`},
	{"a\xffb\xc3", `a\xffb\xc3`, `a\xffb\xc3`},
	{"a\nb\r\nc\rd", "a b c d", "a\nb\nc\\x0dd"},
	{"a\tb", "a\tb", "a\tb"},
	{"grün 日本\u00a0\ufffd", "grün 日本\u00a0\ufffd", "grün 日本\u00a0\ufffd"},
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for _, tt := range texts {
		if got := Line(tt.in); got != tt.line {
			t.Errorf("Line(%q) = %q, want %q", tt.in, got, tt.line)
		}
		if got := Text(tt.in); got != tt.text {
			t.Errorf("Text(%q) = %q, want %q", tt.in, got, tt.text)
		}
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	if Error(nil) != nil || Error(io.EOF) != io.EOF {
		t.Error("a harmless error was changed")
	}
	bad := errors.New("a\x1bb")
	if got := Error(bad); got.Error() != `a\x1bb` || !errors.Is(got, bad) {
		t.Errorf("got %q", got)
	}
}

func FuzzTexts(f *testing.F) {
	for _, tt := range texts {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		line, text := Line(s), Text(s)
		for _, got := range []string{line, text} {
			if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool {
				return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r))
			}) {
				t.Errorf("%q became %q", s, got)
			}
		}
		if strings.ContainsAny(line, "\n\r") {
			t.Errorf("%q became %q, which has a line end", s, line)
		}
		if Line(line) != line || Text(text) != text {
			t.Errorf("%q is changed again", s)
		}
		if 4*len(s) < len(line) && len(s) > 0 {
			t.Errorf("%d bytes became %d", len(s), len(line))
		}
	})
}
