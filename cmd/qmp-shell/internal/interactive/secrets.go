package interactive

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/syntax"
	"github.com/goqmp/qmp/internal/secrets"
)

// mask returns a command as the history keeps it: with known secrets masked. It is "" if
// the text cannot be kept, because it is not a command that the server has, and may have a
// secret: the names of commands tell where their secrets are.
func (q *qmp) mask(text string) string {
	cmd, err := syntax.Parse(text)
	if err != nil {
		if mayHaveSecret(text) {
			return ""
		}
		return text
	}
	wire := cmd.Wire()
	masked := async.MaskCommand(wire)
	if bytes.Equal(masked, wire) {
		if !q.has(cmd.Name) && mayHaveSecret(text) {
			return ""
		}
		return text
	}
	out := text
	for i := len(cmd.Keys) - 1; i >= 0; i-- {
		k := cmd.Keys[i]
		if !bytes.Equal(valueAt(wire, k.Path), valueAt(masked, k.Path)) {
			out = out[:k.Value] + written(valueAt(masked, k.Path)) + out[k.End:]
		}
	}
	// What was made means the masked command, or the masked command itself is kept.
	if again, err := syntax.Parse(out); err == nil && bytes.Equal(again.Wire(), masked) {
		return out
	}
	return string(masked)
}

// written returns how a masked value is written in a line.
func written(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return syntax.Quote(text)
	}
	return string(value) // an object or a list with a secret in it
}

// valueAt returns the value at a path in the arguments of a command.
func valueAt(wire []byte, path []string) json.RawMessage {
	var message struct {
		Arguments json.RawMessage `json:"arguments"`
	}
	if json.Unmarshal(wire, &message) != nil {
		return nil
	}
	value := message.Arguments
	for _, name := range path {
		var object map[string]json.RawMessage
		var list []json.RawMessage
		switch {
		case json.Unmarshal(value, &object) == nil:
			value = object[name]
		case json.Unmarshal(value, &list) == nil:
			i := 0
			for _, r := range name {
				i = 10*i + int(r-'0')
			}
			if i < 0 || i >= len(list) {
				return nil
			}
			value = list[i]
		default:
			return nil
		}
	}
	return value
}

// secretWords are parts of names of members and commands that have to do with secrets. A
// text that is not a command, because of a typing error, is not kept if it has one.
var secretWords = []string{"passw", "secret", "cookie", "key", "data", "token", "value"}

func mayHaveSecret(text string) bool {
	text = strings.ToLower(text)
	for _, word := range secretWords {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// mask returns a line of the human monitor as the history keeps it. It has the arguments only
// of commands that are known to take no secret.
func (h *hmp) mask(text string) string { return secrets.Line(text) }
