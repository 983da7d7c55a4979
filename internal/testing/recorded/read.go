// Package recorded reads what this project has recorded of QMP: transcripts, recordings, logs,
// documents, and scripts of tests. Its test checks that the types of package qapi keep all of it.
package recorded

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A Message is a successful reply or an event that a file of this project has.
type Message struct {
	File    string         // relative to the top of the tree
	Command string         // of a reply: which command it answers; "" if the file does not say so
	Event   string         // of an event: its name
	Value   jsontext.Value // the value of the reply, or the event's data; nil if the event has none
}

// Name returns the name of the command or event.
func (r Message) Name() string { return r.Command + r.Event }

// Read returns the replies and events of all recordings, transcripts, logs,
// documents and test programs below root. Those that a test program computes are not
// among them.
func Read(t *testing.T, root string) []Message {
	t.Helper()
	r := &recordings{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".git" {
				return fs.SkipDir
			}
			return nil
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return r.read(filepath.ToSlash(name), path)
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.all
}

// recordings reads files, one after another.
type recordings struct {
	all     []Message
	file    string
	log     bool   // a file in which the reply follows its command at once, or is missing
	waiting []sent // the commands of the file that have no reply yet, oldest first

	// texts has the string constants of the folder of the Go file being read.
	texts map[string]string
}

// lax are the options for texts that recordings have on purpose: duplicate names, and
// strings that are not UTF-8.
var lax = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// sent is a command. id is JSON, or "" if the command has none.
type sent struct{ name, id string }

// read reads a file, if it is of a kind that has messages.
func (r *recordings) read(name, path string) error {
	r.file, r.waiting = name, nil
	ext := filepath.Ext(name)
	r.log = ext != ".json" && ext != ".jsonl"
	switch ext {
	case ".go":
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "examples/") || strings.HasPrefix(name, "internal/testing/") {
			return r.program(path)
		}
		return nil
	case ".json", ".jsonl", ".golden", ".out", ".md", ".py", ".gz":
	default:
		return nil
	}
	content, err := os.ReadFile(path)
	switch {
	case err != nil:
		return err
	case ext == ".gz":
		return r.introspection(content)
	case strings.HasPrefix(name, "legacy/testdata/scenarios"):
		return r.scenario(content)
	}
	r.scan(content)
	return nil
}

// scenario reads the steps of a transcript's server. What the client returns is what the
// server has sent.
func (r *recordings) scenario(file []byte) error {
	var scenario struct {
		Server []map[string]jsontext.Value `json:"server"`
	}
	if err := json.Unmarshal(file, &scenario, lax); err != nil {
		return err
	}
	var raw strings.Builder // what several steps send together
	for _, step := range scenario.Server {
		for name, arg := range step { // each step has one member
			switch name {
			case "send_raw":
				raw.WriteString(text(arg))
				continue
			case "sleep_ms":
				continue
			case "accept", "dial":
				r.waiting = nil
			}
			r.scan([]byte(raw.String()))
			raw.Reset()
			r.value(arg)
		}
	}
	r.scan([]byte(raw.String()))
	return nil
}

// introspection reads a result of query-qmp-schema.
func (r *recordings) introspection(packed []byte) error {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	value, err := io.ReadAll(z)
	r.all = append(r.all, Message{File: r.file, Command: "query-qmp-schema", Value: value})
	return err
}

// words are what a text with a message has at least one of.
var words = []string{"execute", "exec-oob", "return", "event", "error"}

// scan reads the messages in a text. Between them there may be anything.
func (r *recordings) scan(text []byte) {
	if !slices.ContainsFunc(words, func(word string) bool { return bytes.Contains(text, []byte(word)) }) {
		return // most texts of Go programs
	}
	for {
		i := bytes.IndexAny(text, "{[")
		if i < 0 {
			return
		}
		text = text[i:]
		dec := decoder(text)
		value, err := dec.ReadValue()
		if err != nil {
			text = text[1:]
			continue
		}
		r.value(value.Clone())
		text = text[dec.InputOffset():]
	}
}

func decoder(text []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(text), lax)
}

// value reads the messages in a value, in their order.
func (r *recordings) value(v jsontext.Value) {
	switch v.Kind() {
	case '{':
		if !r.message(v) {
			r.members(v, func(_ string, value jsontext.Value) { r.value(value) })
		}
	case '[':
		var items []jsontext.Value
		if json.Unmarshal(v, &items, lax) == nil {
			for _, item := range items {
				r.value(item)
			}
		}
	case '"':
		r.scan([]byte(text(v)))
	}
}

// members calls f for each member of an object, in their order.
func (r *recordings) members(object jsontext.Value, f func(name string, value jsontext.Value)) {
	dec := decoder(object)
	if _, err := dec.ReadToken(); err != nil {
		return
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return
		}
		key := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return
		}
		f(key, value.Clone())
	}
}

// message notes an object, and reports whether it is a message.
func (r *recordings) message(object jsontext.Value) bool {
	m := make(map[string]jsontext.Value)
	r.members(object, func(name string, value jsontext.Value) { m[name] = value })
	id := string(m["id"])
	for _, execute := range []string{"execute", "exec-oob"} {
		if name := m[execute]; name.Kind() == '"' {
			r.waiting = append(r.waiting, sent{text(name), id})
			return true
		}
	}
	switch {
	case m["event"].Kind() == '"':
		r.all = append(r.all, Message{File: r.file, Event: text(m["event"]), Value: m["data"]})
	case m["return"] != nil:
		r.all = append(r.all, Message{File: r.file, Command: r.answered(id), Value: m["return"]})
	case m["error"].Kind() == '{':
		r.answered(id)
	default:
		return false
	}
	return true
}

// answered returns the command that a reply with this id answers.
func (r *recordings) answered(id string) string {
	i := slices.IndexFunc(r.waiting, func(s sent) bool { return s.id == id })
	if r.log {
		i = len(r.waiting) - 1
	}
	if i < 0 {
		return ""
	}
	name := r.waiting[i].name
	r.waiting = slices.Delete(r.waiting, i, i+1)
	if r.log {
		r.waiting = nil
	}
	return name
}

func text(v jsontext.Value) string {
	var s string
	if json.Unmarshal(v, &s, lax) != nil {
		return ""
	}
	return s
}
