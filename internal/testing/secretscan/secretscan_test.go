package secretscan

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/qapigen"
	"github.com/goqmp/qmp/internal/secrets"
	"github.com/goqmp/qmp/internal/testing/qapitest"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// suspicious matches the names of members that may hold a secret.
var suspicious = regexp.MustCompile(`(?i)pass(w|ph|$)|secret|key|token|cookie|cred|auth|priv|nonce|pin$|session|^data$|-data$|data-?b64|buf|^env|^value$|^iv$|blob|cert|^arg$|command-line|input|^events$`)

// harmless has the reasons why a member that looks like a secret is shown. A name that
// may also be that of a secret has the command or event and a space before it, and is
// allowed there only. In place of the command it may have an option: "-trace events".
var harmless = map[string]string{
	// The id of an object, not what the object has.
	"key-secret": "an id", "new-secret": "an id", "old-secret": "an id",
	"password-secret": "an id", "proxy-password-secret": "an id", "cookie-secret": "an id", "keyid": "an id", "passwordid": "an id",
	"tls-creds": "an id", "tls-authz": "an id", "x-blockdev-amend secret": "an id",

	// Settings and facts about secrets.
	"object-add iv": "an initialization vector is public", "auth-client-required": "a method", "skipauth": "a switch",
	"host-key-check": "public", "keyslot": "a number", "key-offset": "a number", "master-key-iters": "a number", "encryption_key_missing": "a fact",
	"author-key-enabled": "a switch", "id-auth": "public keys and signatures", "dh-cert-file": "the name of a file", "session-file": "the name of a file",
	"left-command-key": "a switch", "cookie64": "a switch", "txsession": "a number that is in each packet", "rxsession": "a number that is in each packet",
	"mnonce": "a number against replays", "total-bytes-privileged": "a number",

	// Other things of these names.
	"query-rocker-of-dpa-flows key": "what a flow matches", "query-rocker-of-dpa-flows cookie": "a number of a flow",
	"guest-ssh-add-authorized-keys keys": "public keys", "guest-ssh-remove-authorized-keys keys": "public keys", "guest-ssh-get-authorized-keys keys": "public keys",
	"chardev-add data": branch, "chardev-change data": branch, "nbd-server-start data": branch, "transaction data": branch,
	"query-block data": branch, "query-named-block-nodes data": branch, "query-memory-devices data": branch, "query-tpm data": branch,
	"query-sev-attestation-report data": "a signed report for others", "query-sev-launch-measure data": "a measurement for others",
	"discard-data": "a number", "host-data": "public, since it is measured",
	"balloon value": "a number", "query-stats value": "a number", "query-machines value": "a default of a property",
	"migrate-set-cache-size value": "a number", "migrate_set_downtime value": "a number", "migrate_set_speed value": "a number",
	"-global value": "a setting of a device", "-trace events": "the name of a file",
	"guest-exec arg": "the arguments of a program are visible to all users of the guest",
	"buffer-length":  "a number", "buffer-count": "a number",
	"irq_pin": "a number", "MIGRATION_PASS pass": "a number", "buf-size": "a number", "sndbuf": "a number",
	"cert-subject": "a public name", "tls-certs": "a switch", "cert-chain": "public",
	"x509-dh-key-file": "the name of a file", "x509-cacert-file": "the name of a file", "x509-cert-file": "the name of a file", "x509-key-file": "the name of a file",
	"elevateprivileges": "a switch", "sasl-authz": "an id", "input-path": "the name of a file",

	// How a client authenticates.
	"VNC_CONNECTED auth": method, "VNC_INITIALIZED auth": method, "VNC_DISCONNECTED auth": method, "SPICE_INITIALIZED auth": method,
	"query-vnc auth": method, "query-vnc-servers auth": method, "query-spice auth": method,
}

// Reasons that several names have.
const (
	branch = "a branch of a union"
	method = "a method"
)

// isHarmless reports whether harmless has the member name of a command, an event or an
// option.
func isHarmless(of, name string) bool { return harmless[name] != "" || harmless[of+" "+name] != "" }

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
			if !isHarmless(command, m.name) {
				t.Errorf("%s: the %s %q (in %s) looks like a secret: mask it (package secrets), or say why it is harmless", command, what, m.name, of)
			}
		}
		found += s.walk(t, command, what, m.of, masked, seen)
	}
	return found
}

func newSchema() *schema {
	return &schema{types: make(map[string]node), takes: make(map[string]string), returns: make(map[string]string)}
}

// definitions returns the definitions of a program, "qemu" or "qga", also those that
// releases from 7.2 on had and the newest one does not.
func definitions(t *testing.T, program string) *schema {
	t.Helper()
	defs, _, err := qapigen.ReadFacts(program)
	if err != nil {
		t.Fatal(err)
	}
	s := newSchema()
	for _, d := range defs.Defs {
		var n node
		for _, m := range d.Members {
			n = append(n, member{m.Name, m.Type.Name})
		}
		for _, b := range d.Branches {
			n = append(n, member{"", b.Type.Name})
		}
		if d.Base != "" {
			n = append(n, member{"", d.Base})
		}
		if d.Kind != qapigen.Command && d.Kind != qapigen.Event {
			s.types[d.Name] = n
			continue
		}
		if d.Data != "" {
			n = append(n, member{"", d.Data})
		}
		key := string(d.Kind) + " " + d.Name // a type may have the command's name
		s.takes[d.Name], s.types[key] = key, n
		if d.Returns.Name != "" {
			s.returns[d.Name] = d.Returns.Name
		}
	}
	return s
}

// introspection returns the schema in a reply to query-qmp-schema.
func introspection(t *testing.T, text []byte) *schema {
	t.Helper()
	var infos []qapigen.Info
	if err := json.Unmarshal(text, &infos); err != nil {
		t.Fatal(err)
	}
	s := newSchema()
	for _, i := range infos {
		var n node
		switch i.MetaType {
		case "command", "event":
			s.takes[i.Name] = i.ArgType
			if i.RetType != "" {
				s.returns[i.Name] = i.RetType
			}
			continue
		case "array":
			n = node{{"", i.ElementType}}
		case "object", "alternate":
			for _, m := range i.Members {
				n = append(n, member{m.Name, m.Type})
			}
			for _, v := range i.Variants {
				n = append(n, member{"", v.Type})
			}
		}
		s.types[i.Name] = n
	}
	return s
}

// Each member of the schemas of QEMU 7.2 to 11.1 and of the agent that looks like a secret
// is masked, or known to be harmless.
// Holds E16, secure.
func TestSchemas(t *testing.T) {
	t.Parallel()
	for program, least := range map[string]int{"qemu": 100, "qga": 10} {
		if n := definitions(t, program).check(t); n < least {
			t.Errorf("%s: only %d members look like secrets: are the definitions read?", program, n)
		}
	}
	for _, release := range []string{"7.2", "10.0", "11.1"} {
		if n := introspection(t, qapitest.Introspection(t, release)).check(t); n < 100 {
			t.Errorf("QEMU %s: only %d members look like secrets: is the schema read?", release, n)
		}
	}
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

// A member of a new command is found, although a member of the same name of another
// command is harmless. The ids of secrets have names that say so in every command.
func TestNewCommandIsFound(t *testing.T) {
	t.Parallel()
	names := []string{"tls-creds", "key-secret"}
	allowed := len(names)
	for command := range harmless {
		if _, name, ok := strings.Cut(command, " "); ok {
			names = append(names, name)
		}
	}
	names = append(names, "data", "value", "iv", "events", "key", "auth", "input", "secret")
	for i, name := range names {
		s := introspection(t, fmt.Appendf(nil, `[
			{"name":"new-command","meta-type":"command","arg-type":"1","ret-type":"2"},
			{"name":"1","meta-type":"object","members":[{"name":%q,"type":"str"}]},
			{"name":"2","meta-type":"object","members":[]}]`, name))
		var inner testing.T
		if n := s.check(&inner); n != 1 || inner.Failed() != (i >= allowed) {
			t.Errorf("%s: found %d, failed %v", name, n, inner.Failed())
		}
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
			if suspicious.MatchString(p.Name) && p.Type == "string" && !isHarmless("-"+o.Option, p.Name) && !masked {
				t.Errorf("-%s %s looks like a secret", o.Option, arg)
			}
		}
	}
}
