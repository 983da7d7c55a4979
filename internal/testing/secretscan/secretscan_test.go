package secretscan

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/secrets"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// suspicious matches the names of members that may hold a secret.
var suspicious = regexp.MustCompile(`(?i)pass(w|ph|$)|secret|key|token|cookie|cred|auth|priv|nonce|pin$|session|^data$|-data$|data-?b64|buf|^env|^value$|^iv$|blob|cert|^arg$|command-line|input|^events$`)

// harmless has the reasons why a member that looks like a secret is shown. The name of a
// command and a space may stand before that of the member, for that command only.
var harmless = map[string]string{
	// The id of an object, not what the object has.
	"key-secret": "an id", "new-secret": "an id", "old-secret": "an id", "secret": "an id of a LUKS or qcow volume's secret",
	"password-secret": "an id", "proxy-password-secret": "an id", "cookie-secret": "an id", "keyid": "an id", "passwordid": "an id",
	"tls-creds": "an id", "tls-authz": "an id",

	// Settings and facts about secrets.
	"iv": "an initialization vector is public", "auth": "a method", "auth-client-required": "a method", "skipauth": "a switch",
	"host-key-check": "public", "keyslot": "a number", "key-offset": "a number", "master-key-iters": "a number", "encryption_key_missing": "a fact",
	"author-key-enabled": "a switch", "id-auth": "public keys and signatures", "dh-cert-file": "the name of a file", "session-file": "the name of a file",
	"left-command-key": "a switch", "cookie64": "a switch", "txsession": "a number that is in each packet", "rxsession": "a number that is in each packet",
	"mnonce": "a number against replays", "dea-key-wrap": "a switch", "aes-key-wrap": "a switch", "total-bytes-privileged": "a number",

	// Other things of these names.
	"key": "a key of a keyboard, or of a table of Rocker", "query-rocker-of-dpa-flows cookie": "a number of a flow",
	"guest-ssh-add-authorized-keys keys": "public keys", "guest-ssh-remove-authorized-keys keys": "public keys", "guest-ssh-get-authorized-keys keys": "public keys",
	"data": "the branch of a union, a measurement, an address or a report", "discard-data": "a number", "host-data": "public, since it is measured", "cache-data-ecc": "a setting", "metadata": "a switch",
	"value": "a number, or a setting of a device", "events": "names or masks of events, unless it is input-send-event",
	"capture-output": "a switch", "max-write-zeroes": "a number", "input": "a method", "in-bufs": "numbers",
	"guest-exec arg": "the arguments of a program are visible to all users of the guest",
	"mem-data-ecc":   "a setting", "buffer-length": "a number", "buffer-count": "a number",
	"try-poll": "a switch", "irq_pin": "a number", "MIGRATION_PASS pass": "a number", "buf-size": "a number", "sndbuf": "a number",
	"cert-subject": "a public name", "tls-certs": "a switch", "cert-chain": "public",
	"x509-dh-key-file": "the name of a file", "x509-cacert-file": "the name of a file", "x509-cert-file": "the name of a file", "x509-key-file": "the name of a file",
	"elevateprivileges": "a switch", "sasl-authz": "an id", "input-path": "the name of a file", "inputs": "numbers",
	"query-memory-devices data": "a description",
}

// A node is a type: its members, of itself, its base and its branches.
type node []member

type member struct{ name, of string }

// A schema has types by name, and what commands take and return, and events have.
type schema struct {
	types          map[string]node
	takes, returns map[string]string // types by the name of the command or event
}

// check fails the test for each suspicious member of a command, reply or event that is
// neither masked nor harmless. It returns how many it has found in all.
func (s *schema) check(t *testing.T) (found int) {
	t.Helper()
	for _, command := range slices.Sorted(maps.Keys(s.takes)) {
		found += s.walk(t, command, "argument", s.takes[command], secrets.Sent(command), make(map[string]bool))
	}
	for _, command := range slices.Sorted(maps.Keys(s.returns)) {
		hidden := secrets.InReply(command, nil)
		if slices.Contains(hidden, "return") {
			found++
			continue
		}
		found += s.walk(t, command, "result", s.returns[command], hidden, make(map[string]bool))
	}
	return found
}

func (s *schema) walk(t *testing.T, command, what, of string, masked []string, seen map[string]bool) (found int) {
	if seen[of] {
		return 0
	}
	seen[of] = true
	for _, m := range s.types[of] {
		if slices.Contains(masked, m.name) {
			found++
			continue
		}
		if suspicious.MatchString(m.name) {
			found++
			if harmless[m.name] == "" && harmless[command+" "+m.name] == "" {
				t.Errorf("%s: the %s %q (in %s) looks like a secret: mask it (package secrets), or say why it is harmless", command, what, m.name, of)
			}
		}
		found += s.walk(t, command, what, m.of, masked, seen)
	}
	return found
}

// The definitions of a schema file: those that package qapigen reads.
func definitions(t *testing.T, paths ...string) *schema {
	s := &schema{types: make(map[string]node), takes: make(map[string]string), returns: make(map[string]string)}
	for _, path := range paths {
		var file struct {
			Definitions []struct {
				Kind, Name, Data  string
				Base              any
				Members, Branches []struct {
					Name string
					Type any
				}
				Returns any
			}
		}
		text, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(text, &file)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Definitions {
			var n node
			for _, m := range d.Members {
				n = append(n, member{m.Name, typeName(m.Type)})
			}
			for _, b := range d.Branches {
				n = append(n, member{"", typeName(b.Type)})
			}
			if base, ok := d.Base.(string); ok {
				n = append(n, member{"", base})
			}
			key := d.Kind + " " + d.Name
			if d.Kind != "command" && d.Kind != "event" {
				s.types[d.Name] = n
				continue
			}
			s.takes[d.Name], s.types[key] = key, n
			if d.Data != "" {
				s.takes[d.Name] = d.Data
			}
			if d.Returns != nil {
				s.returns[d.Name] = typeName(d.Returns)
			}
		}
	}
	return s
}

// typeName returns the name of a type, or of the elements of an array.
func typeName(v any) string {
	if list, ok := v.([]any); ok && len(list) == 1 {
		v = list[0]
	}
	name, _ := v.(string)
	return name
}

// introspection returns the schema in a reply to query-qmp-schema.
func introspection(t *testing.T, text []byte) *schema {
	t.Helper()
	var list []struct {
		Name     string
		MetaType string `json:"meta-type"`
		ArgType  string `json:"arg-type"`
		RetType  string `json:"ret-type"`
		Element  string `json:"element-type"`
		Members  json.RawMessage
		Variants []struct{ Type string }
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	s := &schema{types: make(map[string]node), takes: make(map[string]string), returns: make(map[string]string)}
	for _, e := range list {
		var n node
		switch e.MetaType {
		case "command", "event":
			s.takes[e.Name] = e.ArgType
			if e.RetType != "" {
				s.returns[e.Name] = e.RetType
			}
			continue
		case "array":
			n = node{{"", e.Element}}
		case "object", "alternate":
			var members []struct{ Name, Type string }
			if err := json.Unmarshal(e.Members, &members); err != nil {
				t.Fatal(err)
			}
			for _, m := range members {
				n = append(n, member{m.Name, m.Type})
			}
			for _, v := range e.Variants {
				n = append(n, member{"", v.Type})
			}
		}
		s.types[e.Name] = n
	}
	return s
}

// Each member of the schemas of QEMU 7.2 to 11.1 and of the agent that looks like a secret
// is masked, or known to be harmless.
// Holds E16, secure.
func TestSchemas(t *testing.T) {
	t.Parallel()
	const facts = "../../qapigen/facts/"
	for _, tt := range []struct {
		schema *schema
		least  int
	}{
		{definitions(t, facts+"qemu-7.2-lost.json", facts+"qemu-11.1.json"), 100},
		{definitions(t, facts+"qemu-10.0.json"), 100},
		{definitions(t, facts+"qga-10.0.json"), 10},
		{definitions(t, facts+"qga-11.1.json"), 10},
	} {
		if n := tt.schema.check(t); n < tt.least {
			t.Errorf("only %d members look like secrets: is the schema read?", n)
		}
	}
	files, err := filepath.Glob("../../../qapi/testdata/introspection-*.json.gz")
	if err != nil || len(files) < 3 {
		t.Fatalf("introspection: %q, %v", files, err)
	}
	for _, path := range files {
		if n := introspection(t, unpack(t, path)).check(t); n < 100 {
			t.Errorf("%s: only %d members look like secrets", path, n)
		}
	}
}

func unpack(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var text json.RawMessage
	if err := json.NewDecoder(zip).Decode(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// A new member that looks like a secret is found.
func TestNewMemberIsFound(t *testing.T) {
	t.Parallel()
	s := introspection(t, []byte(`[
		{"name":"new-command","meta-type":"command","arg-type":"1","ret-type":"3"},
		{"name":"1","meta-type":"object","members":[{"name":"deep","type":"2"}]},
		{"name":"2","meta-type":"array","element-type":"3","members":null},
		{"name":"3","meta-type":"object","members":[{"name":"api-token","type":"str"}]},
		{"name":"blockdev-add","meta-type":"command","arg-type":"4","ret-type":"5"},
		{"name":"4","meta-type":"object","members":[{"name":"cookie","type":"str"}]},
		{"name":"5","meta-type":"object","members":[]}]`))
	var inner testing.T
	n := s.check(&inner)
	if !inner.Failed() || n != 3 {
		t.Errorf("found %d, failed %v; want 3, and a failure", n, inner.Failed())
	}
}

// The same for the QEMU that is installed, which may be newer, and for the options of its
// command line. (Its objects are a part of the schema since 6.0. To ask it for the
// properties of each object makes some versions crash.)
// Holds E16, secure.
func TestThisProgram_QEMU(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	c, err := async.Dial(ctx, qemutest.Monitor(t, "-machine", "none", "-display", "none"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text, err := c.Execute(ctx, "query-qmp-schema", nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := introspection(t, text).check(t); n < 100 {
		t.Errorf("only %d members look like secrets", n)
	}

	options, err := async.Call[[]struct {
		Option     string
		Parameters []struct{ Name, Type string }
	}](ctx, c, "query-command-line-options", nil)
	if err != nil || len(options) == 0 {
		t.Fatalf("options: %v, %v", options, err)
	}
	for _, o := range options {
		for _, p := range o.Parameters {
			arg := fmt.Sprintf("%s=hunter2", p.Name)
			masked := !strings.Contains(strings.Join(secrets.Args([]string{"-" + o.Option, arg}), " "), "hunter2")
			if suspicious.MatchString(p.Name) && p.Type == "string" && harmless[p.Name] == "" && !masked {
				t.Errorf("-%s %s looks like a secret", o.Option, arg)
			}
		}
	}
}
