package catalog

import (
	"reflect"
	"strings"
	"testing"

	"github.com/goqmp/qmp/cmd/qmp-shell/internal/syntax"
	"github.com/goqmp/qmp/qapi/qga"
)

// A guest agent has no introspection. It names its commands, and package qga knows their
// arguments.
func newAgent() *machine {
	return &machine{replies: map[string]string{
		"guest-info": `{"version":"10.0.2","supported_commands":[
			{"name":"guest-ping","enabled":true,"success-response":true},
			{"name":"guest-file-seek","enabled":true,"success-response":true},
			{"name":"guest-exec","enabled":true,"success-response":true},
			{"name":"guest-network-get-interfaces","enabled":true,"success-response":true},
			{"name":"guest-shutdown","enabled":false,"success-response":false},
			{"name":"guest-of-the-future","enabled":true,"success-response":true}]}`,
	}}
}

// complete returns the labels of what may be written at the end of text.
func complete(t *testing.T, c *Catalog, text string) string {
	t.Helper()
	return strings.Join(labels(c.Complete(t.Context(), text, len(text))), " ")
}

// problems returns what Check says about text, one on a line. A warning begins with "(".
func problems(t *testing.T, c *Catalog, text string) string {
	t.Helper()
	cmd, err := syntax.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, p := range c.Check(cmd) {
		if p.Warning {
			p.Text = "(" + p.Text + ")"
		}
		lines = append(lines, p.Text)
	}
	return strings.Join(lines, "\n")
}

func TestAgent(t *testing.T) {
	c := loaded(t, newAgent())
	if c.Version() != "10.0.2" || !strings.Contains(c.Note(), "no introspection") || c.Events() != nil {
		t.Errorf("%q, %q", c.Version(), c.Note())
	}
	for text, want := range map[string]string{
		"guest-":                            "guest-exec guest-file-seek guest-network-get-interfaces guest-of-the-future guest-ping",
		"guest-file-seek ":                  "handle offset whence",
		"guest-file-seek whence=":           "set cur end",
		"guest-exec path=/bin/ls arg.":      "0",
		"guest-exec capture-output=s":       "stdout stderr separated",
		"guest-exec path=x capture-output=": "none stdout stderr separated merged true false",
		"guest-of-the-future ":              "",
	} {
		if got := complete(t, c, text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"guest-ping":                   "",
		"guest-of-the-future x=1":      "",
		"guest-pin":                    `the guest agent has no command "guest-pin": did you mean guest-ping?`,
		"guest-shutdown":               "guest-shutdown is disabled in the guest agent",
		"guest-exec pth=/bin/ls":       `(guest-exec has no argument "pth": did you mean path?)` + "\n(guest-exec needs path (string))",
		"guest-file-seek whence=3":     "(guest-file-seek needs handle (int))\n(guest-file-seek needs offset (int))",
		"guest-file-seek handle=x":     `(handle takes an int, and this is the string "x")` + "\n(guest-file-seek needs offset (int))\n(guest-file-seek needs whence (int or set|cur|end))",
		`guest-exec path="" arg="a"`:   `(arg takes a list [string], and this is the string "a")`,
		`guest-exec path="" arg=["a"]`: "",
	} {
		if got := problems(t, c, text); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", text, got, want)
		}
	}
	for topic, want := range map[string]string{
		"guest-file-seek":              "Result: object GuestFileSeekOptions\n  position: int\n  eof: bool",
		"guest-network-get-interfaces": "Note: the guest agent has no introspection",
		"GuestNetworkInterface":        "hardware-address",
	} {
		if got, err := c.Help(t.Context(), topic, 80); err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %v\n%s\nwant\n%s", topic, err, got, want)
		}
	}
}

// Each enum in the arguments of the agent's commands has its values in the table.
func TestAgentEnums(t *testing.T) {
	var visit func(typ reflect.Type)
	visit = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice:
			visit(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				visit(typ.Field(i).Type)
			}
		case reflect.String:
			if typ.Name() != "string" && strings.HasPrefix(typ.String(), "qga.") && enumValues[typ] == nil {
				t.Errorf("%s has no values", typ)
			}
		}
	}
	for _, cmd := range qga.Commands() {
		if cmd.NewArguments != nil {
			visit(reflect.TypeOf(cmd.NewArguments()))
		}
	}
}

// A QEMU without introspection names its commands, or not even that.
func TestOldQEMU(t *testing.T) {
	m := &machine{replies: map[string]string{
		"query-commands": `[{"name":"query-status"},{"name":"set_link"},{"name":"blockdev-add"},{"name":"vendor-command"}]`,
		"query-version":  `{"qemu":{"major":2,"minor":4,"micro":0},"package":""}`,
	}}
	c := loaded(t, m)
	if c.Version() != "2.4.0" || !strings.Contains(c.Note(), "no introspection") {
		t.Errorf("%q, %q", c.Version(), c.Note())
	}
	for text, want := range map[string]string{
		"":                           "blockdev-add query-status set_link vendor-command",
		"set_link ":                  "name up",
		"blockdev-add driver=q nod":  "node-name",
		"vendor-command ":            "",
		"query-status no-arguments=": "",
	} {
		if got := complete(t, c, text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"set_link name=5 up=true":             `(name takes a string, and this is the number 5: write name="5")`,
		"blockdev-add driver=file filename=x": "",
		"vendor-command x=1":                  "",
		"migrate-set-parameters multifd=true": `QEMU has no command "migrate-set-parameters": it is there since 2.4, but not in every build of QEMU`,
		"query-jobs":                          `QEMU has no command "query-jobs": this QEMU is 2.4.0, which is too old: it is there since 3.0`,
	} {
		if got := problems(t, c, text); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", text, got, want)
		}
	}

	silent := loaded(t, &machine{replies: map[string]string{}})
	if got := complete(t, silent, "query-statu"); got != "query-status" || !strings.Contains(silent.Note(), "says nothing about itself") || len(silent.Events()) < 50 {
		t.Errorf("%q, %q", got, silent.Note())
	}
	if got := problems(t, silent, "no-such-command"); got != `(QEMU has no command "no-such-command")` {
		t.Error(got)
	}
}
