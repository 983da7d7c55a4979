package proto

import (
	stdjson "encoding/json"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// Tests of CheckSend and ValidText in encode.go: what QEMU's parser would refuse is
// refused before it is sent.

func TestCheckSend(t *testing.T) {
	array := func(n int) string { return `{"a":[` + strings.Repeat("1,", n-1) + `1]}` } // 6+2n tokens
	for _, tt := range []struct {
		name string
		msg  string
		want error
	}{
		{"empty", `{}`, nil},
		{"depth", nested(MaxSendDepth), nil},
		{"one level more", nested(MaxSendDepth + 1), ErrDepth},
		{"depth of arrays", nestedArrays(MaxSendDepth), nil},
		{"one array more", nestedArrays(MaxSendDepth + 1), ErrDepth},
		{"deep again", `{"a":` + nested(MaxSendDepth-1) + `,"b":` + nested(MaxSendDepth-1) + `,"c":[]}`, nil},
		{"much too deep", nested(MaxDepth), ErrDepth},
		{"brackets in strings", `{"` + strings.Repeat("{[", 2000) + `":"` + strings.Repeat("[", 2000) + `"}`, nil},
		{"brackets after backslashes", `{"a\\":"\\\"` + strings.Repeat("[", 2000) + `\\","b":"\"` + strings.Repeat("{", 2000) + `"}`, nil},
		{"deep, after backslashes", `{"a\\":"\\\"]]]]}}}}\\","b":` + nested(MaxSendDepth) + `}`, ErrDepth},
		{"literals", `{"a":[true,false,null,-1.5e+5,""]}`, nil},

		{"tokens", array((MaxSendTokens - 6) / 2), nil},
		{"too many tokens", array((MaxSendTokens-6)/2 + 1), ErrTokens},
		{"one token more", `{"b":true,` + array((MaxSendTokens - 10) / 2)[1:], nil},
		{"many objects", `{"a":[{}` + strings.Repeat(",{}", MaxSendTokens/3) + `]}`, ErrTokens},
		{"many characters", `{"a":"` + strings.Repeat("x", MaxSendTokens) + `"}`, nil},

		{"last character", `{"a":"\ufdcf\ufdf0\ufffd\ud83f\udffd\udbff\udffd"}`, nil},
		{"U+FFFE", `{"a":"\ufffe"}`, ErrNoncharacter},
		{"U+FFFF", `{"a":["\\\uFFFF"]}`, ErrNoncharacter},
		{"U+FDD0", `{"\ufdd0":1}`, ErrNoncharacter},
		{"U+FDEF", `{"a":"x\ufdefx"}`, ErrNoncharacter},
		{"U+1FFFE", `{"a":"\ud83f\udffe"}`, ErrNoncharacter},
		{"U+10FFFF", `{"a":"\uDBFF\uDFFF"}`, ErrNoncharacter},
		{"after a pair", `{"a":"\ud83d\ude00\uffff"}`, ErrNoncharacter},
		{"escaped backslash", `{"a":"\\uffff","\\\\uffff":"\\\\\\uffff"}`, nil},
		{"lone surrogate at the end", `{"a":"\ud83f"}`, nil}, // AppendObject refuses it
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !stdjson.Valid([]byte(tt.msg)) {
				t.Fatalf("bad test: %.100s", tt.msg)
			}
			if err := CheckSend([]byte(tt.msg)); err != tt.want {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestValidText(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, "a": true, "\x00": true, "é😀\ufffd\ufdcf\ufdf0\U0001fffd": true,
		"\xff": false, "a\xe2\x82": false, "\xed\xa0\x80": false,
		"\ufdd0": false, "x\ufdefx": false, "\ufffe": false, "\uffff": false, "\U0001fffe": false, "\U0010ffff": false,
	} {
		if got := ValidText(s); got != want {
			t.Errorf("%q: got %v", s, got)
		}
	}
	refused := 0
	for r := range rune(utf8.MaxRune + 1) {
		if utf16.IsSurrogate(r) {
			continue
		}
		valid := ValidText(string(r))
		if !valid {
			refused++
		}
		if valid && raceEnabled && r%37 != 0 {
			continue
		}
		if err := CheckSend(AppendCommand(nil, string(r), false, nil, ID{})); (err == nil) != valid {
			t.Fatalf("%U: %v, but CheckSend says %v", r, valid, err)
		}
	}
	if refused != 66 {
		t.Errorf("%d noncharacters, Unicode has 66", refused)
	}
}
