package tools

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/goqmp/qmp/async"
)

// A Chord is keys that are pressed together, by their names in QEMU (QKeyCode), such as
// shift and a.
type Chord []string

// plainKeys has the keys of a US keyboard whose character needs no other key, and shifted
// those that need shift.
var (
	plainKeys = map[rune]string{
		' ': "spc", '\n': "ret", '\t': "tab", '\b': "backspace", '\x1b': "esc",
		'-': "minus", '=': "equal", '[': "bracket_left", ']': "bracket_right", '\\': "backslash",
		';': "semicolon", '\'': "apostrophe", '`': "grave_accent", ',': "comma", '.': "dot", '/': "slash",
	}
	shiftedKeys = map[rune]string{
		'!': "1", '@': "2", '#': "3", '$': "4", '%': "5", '^': "6", '&': "7", '*': "8", '(': "9", ')': "0",
		'_': "minus", '+': "equal", '{': "bracket_left", '}': "bracket_right", '|': "backslash",
		':': "semicolon", '"': "apostrophe", '~': "grave_accent", '<': "comma", '>': "dot", '?': "slash",
	}
)

// Keys returns the keys that type text on a US keyboard. The error names the first
// character that such a keyboard does not have.
func Keys(text string) ([]Chord, error) {
	var chords []Chord
	for i, r := range text {
		switch key, ok := plainKeys[r]; {
		case ok:
			chords = append(chords, Chord{key})
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			chords = append(chords, Chord{string(r)})
		case 'A' <= r && r <= 'Z':
			chords = append(chords, Chord{"shift", strings.ToLower(string(r))})
		case shiftedKeys[r] != "":
			chords = append(chords, Chord{"shift", shiftedKeys[r]})
		default:
			return nil, fmt.Errorf("a US keyboard does not have the character %q (number %d of the text)", r, len([]rune(text[:i]))+1)
		}
	}
	return chords, nil
}

// ParseChord parses the names of keys that are pressed together, such as ctrl-alt-delete.
func ParseChord(text string) (Chord, error) {
	keys := strings.Split(text, "-")
	for _, key := range keys {
		if key == "" {
			return nil, fmt.Errorf("keys %q: write the names of keys with a dash between them, such as ctrl-alt-delete; the key - is minus", text)
		}
	}
	return keys, nil
}

// Type presses chords, one after another, at most rate in a second, and returns when the
// last one was released.
//
// QEMU puts the keys into a queue, from which the guest's keyboard takes them, and waits
// for the hold time after each press and each release. So the hold time is such that a
// chord takes less time than it has: the queue stays empty, and a keyboard, which is a
// small queue too, does not drop what comes. While the guest is paused, the keys wait.
func Type(ctx context.Context, c async.Caller, chords []Chord, rate float64) error {
	every := max(time.Duration(float64(time.Second)/rate), time.Millisecond)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for i, chord := range chords {
		type value struct {
			Type string `json:"type"`
			Data string `json:"data"`
		}
		keys := make([]value, len(chord))
		for k, name := range chord {
			keys[k] = value{"qcode", name}
		}
		hold := every.Milliseconds() / int64(2*len(chord)+1)
		_, err := async.Call[any](ctx, c, "send-key", async.Members{{Name: "keys", Value: keys}, {Name: "hold-time", Value: max(1, hold)}})
		if err != nil {
			return fmt.Errorf("%d of %d keys were sent: %w", i, len(chords), err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d keys were sent: %w", i+1, len(chords), context.Cause(ctx))
		}
	}
	return nil
}
