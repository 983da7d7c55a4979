package script

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
)

// A Match is a condition for the data of an event.
type Match struct {
	path output.Path
	want string // as it was written
}

// ParseMatch parses a condition, KEY=VALUE. The key is a path in the event's data. The value
// is a text, or JSON.
func ParseMatch(text string) (Match, error) {
	key, want, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return Match{}, fmt.Errorf("condition %q: write KEY=VALUE, such as device=drive0", text)
	}
	path, err := output.ParsePath(key)
	return Match{path, want}, err
}

// Holds reports whether the condition holds for ev.
func (m Match) Holds(ev async.Event) bool {
	value, err := m.path.Get(ev.Data)
	if err != nil {
		return false
	}
	var text string
	if bytes.HasPrefix(value, []byte(`"`)) && json.Unmarshal(value, &text) == nil && text == m.want {
		return true
	}
	var a, b bytes.Buffer
	return json.Compact(&a, value) == nil && json.Compact(&b, []byte(m.want)) == nil && bytes.Equal(a.Bytes(), b.Bytes())
}
