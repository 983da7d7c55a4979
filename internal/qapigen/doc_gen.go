package qapigen

import (
	"fmt"
	"strings"
)

// doc writes the comment of a definition: its name, the releases that have it, and a
// link to QEMU's manual.
func (g *generator) doc(goName, what string, d *Definition, extra ...string) {
	g.p("// %s is %s.%s\n", goName, what, g.life(d.Since, d.Removed, d.Features, d.If))
	for _, line := range extra {
		if line != "" {
			g.p("//\n// %s\n", line)
		}
	}
	if link := g.link(d); link != "" {
		g.p("//\n// See %s\n", link)
	}
	if has(d.Features, "deprecated") {
		g.p("//\n// Deprecated: QEMU marks %s as deprecated.\n", d.Name)
	}
}

// life returns sentences that say in which releases and builds something exists, each
// with a space before it.
func (g *generator) life(since, removed string, features []Feature, cond Condition) string {
	var b strings.Builder
	if since != "" {
		fmt.Fprintf(&b, " Since %s.", since)
	}
	if removed != "" {
		fmt.Fprintf(&b, " Removed in %s.", removed)
	}
	if has(features, "unstable") {
		b.WriteString(" Unstable.")
	}
	if cond != "" {
		fmt.Fprintf(&b, " If %s.", cond)
	}
	return b.String()
}

// link returns the address of d in QEMU's manual, or "" if there is no manual.
func (g *generator) link(d *Definition) string {
	if g.Reference == "" {
		return ""
	}
	if g.Anchors == "" || d.Removed != "" {
		return g.Reference
	}
	kind := string(d.Kind)
	if d.Kind == Struct || d.Kind == Union {
		kind = "object"
	}
	return fmt.Sprintf("%s#%s-%s-%s.%s", g.Reference, kind, g.Anchors, d.Module, d.Name)
}

// note returns the comment at the end of the line of a member or value, or "". It says
// in which releases and builds that exists. It leaves out since if that equals born,
// the first release of the whole type.
func (g *generator) note(since, born, removed string, features []Feature, cond Condition) string {
	if since == born {
		since = ""
	}
	text := g.life(since, removed, features, cond)
	if has(features, "deprecated") {
		text += " Deprecated."
	}
	if text == "" {
		return ""
	}
	text = strings.TrimSuffix(strings.TrimSpace(text), ".")
	return " // " + strings.ToLower(text[:1]) + text[1:]
}
