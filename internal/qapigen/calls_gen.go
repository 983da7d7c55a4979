package qapigen

import (
	"fmt"
	"strings"
)

// command writes a command's function, and the struct of its arguments.
func (g *generator) command(d *Definition) {
	if d.Kind != Command {
		return
	}
	name := g.funcs[d]
	arguments, mayBeNil := "", true
	members := g.Unfold(d)
	if d.Data != "" || len(members) > 0 || d.open() {
		arguments = g.argumentsName(d)
		for _, m := range members {
			mayBeNil = mayBeNil && m.Optional
		}
	}
	if arguments != "" && d.Data == "" {
		g.p("// %s are the arguments of [%s].\ntype %s struct {\n", arguments, name, arguments)
		g.fields(d)
		if d.open() {
			g.p("\n\tFurther map[string]any `json:\",embed\"` // arguments that the schema does not list\n}\n\n")
		} else {
			g.p("\n%s}\n\n", unknownField)
		}
	}
	var notes []string
	if arguments != "" && mayBeNil {
		notes = append(notes, "args may be nil.")
	}
	if d.noSuccessReply() {
		notes = append(notes, noSuccessReplyNote)
	}
	if d.AllowPreconfig {
		notes = append(notes, "It may be executed before the machine is created (-preconfig).")
	}
	g.doc(name, "the command "+d.Name, d, notes...)
	g.function(name, "", d, arguments)
	if d.AllowOOB {
		g.p("// %sOOB is [%s] out of band: the server executes it before commands that wait.\n", name, name)
		g.function(name+"OOB", "OOB", d, arguments)
	}
}

// noSuccessReplyNote is in the comment of a command whose success the server does not
// report.
const noSuccessReplyNote = `The server replies only if it refuses the command. The function waits for that for at
// most wait; 0 means [support.RefusalWait]. If no reply comes, or if the server ends the
// connection, it returns nil. If ctx ends first, it returns an error.`

// noSuccessReply reports whether the server does not reply to a command that it has
// executed (success-response: false).
func (d *Definition) noSuccessReply() bool { return d.SuccessResponse != nil && !*d.SuccessResponse }

// function writes one function of a command. variant is "" or "OOB"; arguments is the
// type of its arguments, or "".
func (g *generator) function(name, variant string, d *Definition, arguments string) {
	param, pass := "", "nil"
	if arguments != "" {
		param, pass = ", args *"+arguments, "support.Arguments(args)"
	}
	if d.noSuccessReply() {
		g.p("func %s(ctx context.Context, c async.Caller%s, wait time.Duration) error {\n\treturn support.ExecuteUnanswered(ctx, c, %q, %s, wait)\n}\n\n",
			name, param, d.Name, pass)
		return
	}
	if d.Returns.Name == "" {
		g.p("func %s(ctx context.Context, c async.Caller%s) error {\n\treturn support.Execute%s(ctx, c, %q, %s)\n}\n\n",
			name, param, variant, d.Name, pass)
		return
	}
	result := g.resultType(d)
	g.p("func %s(ctx context.Context, c async.Caller%s) (%s, error) {\n\treturn support.Call%s[%s](ctx, c, %q, %s)\n}\n\n",
		name, param, result, variant, result, d.Name, pass)
}

// resultType returns the type of a command's result: a pointer if it is a struct, and
// otherwise the type itself.
func (g *generator) resultType(d *Definition) string {
	t := g.typeName(d.Returns)
	if g.isObject(d.Returns) {
		t = "*" + t
	}
	return t
}

// event writes the struct of an event's data.
func (g *generator) event(d *Definition) {
	if d.Kind != Event {
		return
	}
	name := g.funcs[d]
	g.doc(name, "the data of the event "+d.Name, d)
	g.p("type %s struct {\n", name)
	if len(g.Unfold(d)) > 0 {
		g.fields(d)
		g.p("\n")
	}
	g.p("%s}\n\n", unknownField)
	g.p("// EventName returns %q.\nfunc (*%s) EventName() string { return %q }\n\n", d.Name, name, d.Name)
}

// tables writes the functions that need a list of all commands or all events.
func (g *generator) tables() {
	g.p("// Commands returns all commands in the schema's order, also those that QEMU has removed.\n")
	g.p("func Commands() []support.CommandInfo {\n\treturn []support.CommandInfo{\n")
	for _, d := range g.Defs {
		if d.Kind != Command {
			continue
		}
		g.p("\t\t{Name: %q%s", d.Name, g.lifeFields(d))
		if d.AllowOOB {
			g.p(", OOB: true")
		}
		if d.noSuccessReply() {
			g.p(", NoSuccessReply: true")
		}
		if d.Data != "" || len(d.Members) > 0 || d.open() {
			g.p(", NewArguments: support.New[%s]", g.argumentsName(d))
		}
		if d.Returns.Name != "" {
			g.p(", NewResult: support.New[%s]", g.typeName(d.Returns))
		}
		g.p("},\n")
	}
	g.p("\t}\n}\n\n")

	var events []*Definition
	for _, d := range g.Defs {
		if d.Kind == Event {
			events = append(events, d)
		}
	}
	if len(events) == 0 {
		return
	}
	g.p("// Events returns all events in the schema's order, also those that QEMU has removed.\n")
	g.p("func Events() []support.EventInfo {\n\treturn []support.EventInfo{\n")
	for _, d := range events {
		g.p("\t\t{Name: %q%s, New: support.New[%s]},\n", d.Name, g.lifeFields(d), g.funcs[d])
	}
	g.p("\t}\n}\n\n")

	g.p("// newEvent returns a new value for the data of an event, or nil if this package does not know the event.\n")
	g.p("func newEvent(name string) support.Event {\n\tswitch name {\n")
	for _, d := range events {
		g.p("\tcase %q:\n\t\treturn new(%s)\n", d.Name, g.funcs[d])
	}
	g.p(`	}
	return nil
}

// Decode returns the data of ev as a pointer to the struct of its event, such as
// *[%[1]s]. If this package does not know the event, Decode returns ev unchanged,
// an [async.Event]. If the data does not fit the struct, the error names the event.
func Decode(ev async.Event) (any, error) { return support.DecodeEvent(ev, newEvent(ev.Name)) }

// Wait reads events from l until one comes that has match's type and for which match
// returns true. It returns the data of that event, and drops the events before it: give
// it a listener that nothing else reads. With a nil match it returns the first event of
// the type; then name the type: Wait[%[1]s](ctx, l, nil).
//
// Errors are those of [async.EventListener.Next] and [Decode].
func Wait[E any, P support.EventOf[E]](ctx context.Context, l *async.EventListener, match func(P) bool) (P, error) {
	return support.WaitEvent[E](ctx, l, match)
}
`, g.funcs[events[0]])
}

// lifeFields returns the fields of a CommandInfo or EventInfo that say which releases
// have d.
func (g *generator) lifeFields(d *Definition) string {
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, ", %s: %q", name, value)
		}
	}
	field("Since", d.Since)
	field("Removed", d.Removed)
	deprecated := ""
	if g.History != nil {
		deprecated = g.History.lifetime(d).Deprecated
	}
	if deprecated == "" && has(d.Features, "deprecated") {
		deprecated = "unknown"
	}
	field("Deprecated", deprecated)
	return b.String()
}

// callsTest writes a table of functions, each of which calls the function of one
// command. A test checks with it what these send and return.
func (g *generator) callsTest() {
	g.p("// calls has a function for each command, and for each variant out of band.\nvar calls = []qapitest.Call{\n")
	for _, d := range g.Defs {
		if d.Kind != Command {
			continue
		}
		g.callTest(g.funcs[d], false, d)
		if d.AllowOOB {
			g.callTest(g.funcs[d]+"OOB", true, d)
		}
	}
	g.p("}\n\n// types makes an empty value of each struct, union and alternate.\nvar types = map[string]func() any{\n")
	for _, d := range g.Defs {
		if d.Kind == Struct || d.Kind == Union || d.Kind == Alternate {
			g.p("\t%q: support.New[%s.%s],\n", d.Name, g.Package, g.types[d.Name])
		}
	}
	g.p("}\n")
}

// callTest writes one entry of that table.
func (g *generator) callTest(name string, oob bool, d *Definition) {
	pass := ""
	if d.Data != "" || len(d.Members) > 0 || d.open() {
		pass = fmt.Sprintf(", args.(*%s.%s)", g.Package, g.argumentsName(d))
	}
	if d.noSuccessReply() {
		pass += ", 0"
	}
	g.p("\t{Command: %q, OOB: %v, Do: func(ctx context.Context, c async.Caller, args any) (any, error) {\n", d.Name, oob)
	if d.Returns.Name == "" {
		g.p("\t\treturn nil, %s.%s(ctx, c%s)\n\t}},\n", g.Package, name, pass)
	} else {
		g.p("\t\treturn %s.%s(ctx, c%s)\n\t}},\n", g.Package, name, pass)
	}
}
