// Tests of rule E16 (logs mask known secrets): however a command is written.
// secretCommands lists the commands.
// The code that they hold: log.go and internal/proto.
package async_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/proto"
)

// goValue returns raw as a Go value, with objects as the function object makes
// them.
func goValue(raw []byte, object func(async.Members) any) any {
	switch {
	case proto.IsObject(raw):
		var ms async.Members
		proto.Members(raw, func(name string, value []byte) bool {
			ms = append(ms, async.Member{Name: name, Value: goValue(value, object)})
			return true
		})
		return object(ms)
	case proto.IsArray(raw):
		list := []any{}
		proto.Elements(raw, func(value []byte) bool {
			list = append(list, goValue(value, object))
			return true
		})
		return list
	}
	return json.RawMessage(raw)
}

// asMap makes a map of the members; asMembers returns them as they are.
func asMap(ms async.Members) any {
	m := make(map[string]any)
	for _, member := range ms {
		m[member.Name] = member.Value
	}
	return m
}

func asMembers(ms async.Members) any { return ms }

// escapedNames returns raw in which every character of each name, and of the
// command's name, is an escape.
func escapedNames(t testing.TB, raw string, command string) json.RawMessage {
	t.Helper()
	var out bytes.Buffer
	enc := jsontext.NewEncoder(&out, jsontext.PreserveRawStrings(true))
	dec := jsontext.NewDecoder(strings.NewReader(raw))
	for {
		isName := dec.StackDepth() > 0
		if isName {
			kind, n := dec.StackIndex(dec.StackDepth())
			isName = kind == '{' && n%2 == 0
		}
		value, err := dec.ReadToken()
		if err != nil {
			break // the end
		}
		if value.Kind() == '"' && (isName || value.String() == command) {
			escaped := []byte{'"'}
			for _, c := range value.String() {
				escaped = fmt.Appendf(escaped, `\u%04X`, c)
			}
			err = enc.WriteValue(append(escaped, '"'))
		} else {
			err = enc.WriteToken(value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// A secret is masked in the log, whatever form its command has. It is sent as
// it is.
// Holds secure.
func TestE16SecretsAreMaskedHoweverTheyAreGiven(t *testing.T) {
	t.Parallel()
	forms := map[string]func(t *testing.T, name, args string) async.Command{
		"map": func(_ *testing.T, name, args string) async.Command {
			return async.Command{Name: name, Args: goValue([]byte(args), asMap)}
		},
		"members": func(_ *testing.T, name, args string) async.Command {
			return async.Command{Name: name, Args: goValue([]byte(args), asMembers)}
		},
		"struct": func(_ *testing.T, name, args string) async.Command {
			return async.Command{Object: struct {
				Execute   string          `json:"execute"`
				Arguments json.RawMessage `json:"arguments"`
			}{name, json.RawMessage(args)}}
		},
		"object of maps": func(_ *testing.T, name, args string) async.Command {
			return async.Command{Object: map[string]any{"execute": name, "arguments": goValue([]byte(args), asMap)}}
		},
		"object of members": func(_ *testing.T, name, args string) async.Command {
			return async.Command{Object: async.Members{{"id", "mine"}, {"arguments", goValue([]byte(args), asMembers)}, {"exec-oob", name}}}
		},
		"escaped names": func(t *testing.T, name, args string) async.Command {
			return async.Command{Name: name, Args: escapedNames(t, args, "")}
		},
		"object with escaped names": func(t *testing.T, name, args string) async.Command {
			return async.Command{Object: escapedNames(t, fmt.Sprintf(`{"arguments":%s,"execute":%q}`, args, name), name)}
		},
		"white space": func(_ *testing.T, name, args string) async.Command {
			spaced := strings.NewReplacer(`":`, "\" :\r\n\t", `,"`, " , \"").Replace(args)
			return async.Command{Name: name, Args: json.RawMessage(spaced)}
		},
	}
	for _, tt := range secretCommands {
		for form, command := range forms {
			t.Run(tt.name+"/"+form, func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					hidden := func(m qmptest.Message) error {
						if m.Name != tt.name || !bytes.Contains(m.Raw, []byte("hunter2")) {
							return fmt.Errorf("got %s, want %s with its secret", m.Raw, tt.name)
						}
						return nil
					}
					p := memory(t, connected("oob", qmptest.ExpectFunc(tt.name, hidden), qmptest.ReturnError("GenericError", "no"))...)
					var book logbook
					c := dial(t, p, &async.Options{Logger: book.logger()})
					reply, err := c.Do(t.Context(), command(t, tt.name, tt.args))
					wantNil(t, "Do", err)
					wantText(t, "the refusal", reply.Err(), tt.name)
					wantNil(t, "Disconnect", c.Disconnect(t.Context()))

					masked := false
					for _, r := range book.records(t) {
						m, _ := r["message"].(string)
						if r["msg"] != "qmp: sent" || !strings.Contains(m, "***") {
							continue
						}
						masked = true
						if !json.Valid([]byte(m)) || !strings.Contains(m, "shown") {
							t.Errorf("log of %s: got %s, want JSON that shows what is not a secret", tt.args, m)
						}
					}
					if !masked || strings.Contains(book.buf.String(), "hunter2") {
						t.Errorf("the log does not show %s, or shows the secret:\n%s", tt.name, book.buf.String())
					}
				})
			})
		}
	}
}
