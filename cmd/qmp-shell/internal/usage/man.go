package usage

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// Man returns the manual page in the language of man(7).
func Man(root *kong.Node) string {
	m := &page{}
	name := root.Name
	m.line(`.\" This page is generated from the options of the program. Do not edit it.`)
	m.line(`.TH %s 1 "" "" "QMP"`, quoted(strings.ToUpper(name)))
	m.line(`.SH NAME`)
	m.line(`%s \- %s`, roff(name), roff(strings.TrimSuffix(strings.ToLower(about[:1])+about[1:], ".")))
	m.line(`.SH SYNOPSIS`)
	for i, f := range forms {
		if i > 0 {
			m.line(`.br`)
		}
		m.line(`.B %s`, roff(name))
		m.line(`%s`, roff(f[0]))
	}
	m.section(description)
	m.options(shell(root))
	m.section(language)
	m.line(`.SH COMMANDS`)
	for _, c := range commands(root) {
		m.command(root, c)
	}
	m.section(statuses)
	m.section(environment)
	m.section(examples)
	m.line(`.SH SEE ALSO`)
	m.line(`.BR qemu (1),`)
	m.line(`.BR qemu\-storage\-daemon (1),`)
	m.line(`.BR qemu\-ga (8)`)
	return m.String()
}

// A page is a manual page.
type page struct{ strings.Builder }

func (m *page) line(format string, args ...any) { fmt.Fprintf(&m.Builder, format+"\n", args...) }

// section writes a section.
func (m *page) section(s section) {
	m.line(`.SH %s`, quoted(strings.ToUpper(s.title)))
	for _, i := range s.items {
		if i[0] == "" {
			m.line(`.PP`)
		} else {
			m.line(`.TP`)
			m.line(`.B %s`, quoted(i[0]))
		}
		m.line(`%s`, roff(i[1]))
	}
}

// options writes the options of a command in sections.
func (m *page) options(node *kong.Node) {
	m.line(`.SH OPTIONS`)
	for _, g := range groups(node) {
		m.line(`.SS %s`, quoted(g.title))
		m.flags(g.flags)
	}
}

// flags writes options.
func (m *page) flags(flags []*kong.Flag) {
	for _, f := range flags {
		m.line(`.TP`)
		var words []string
		if f.Short != 0 {
			words = append(words, fmt.Sprintf(`\fB%s\fR`, roff("-"+string(f.Short))))
		}
		long := fmt.Sprintf(`\fB%s\fR`, roff("--"+f.Name))
		if value := placeholder(f); value != "" {
			long += fmt.Sprintf(`=\fI%s\fR`, roff(value))
		}
		m.line(`%s`, strings.Join(append(words, long), ", "))
		m.line(`%s`, roff(f.Help+defaultOf(f.Value)))
	}
}

// command writes about a command and those below it.
func (m *page) command(root, c *kong.Node) {
	if list := commands(c); len(list) > 0 {
		for _, sub := range list {
			m.command(root, sub)
		}
		return
	}
	m.line(`.SS %s`, quoted(root.Name+" "+synopsis(c)))
	m.line(`%s`, roff(c.Help))
	for _, p := range c.Positional {
		m.line(`.TP`)
		m.line(`.I %s`, quoted(strings.ToUpper(p.Name)))
		m.line(`%s`, roff(p.Help+defaultOf(p)))
	}
	var own []*kong.Flag
	for _, f := range c.Flags {
		if f.Group == nil {
			own = append(own, f)
		}
	}
	m.flags(own)
}

// roff returns text in which no character has a meaning for roff.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

// quoted returns text as one argument of a macro.
func quoted(text string) string { return `"` + strings.ReplaceAll(roff(text), `"`, `\(dq`) + `"` }
