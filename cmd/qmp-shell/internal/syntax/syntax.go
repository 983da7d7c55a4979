// Package syntax is the language of the shell's command lines.
//
//	cmd, err := syntax.Parse("block-dirty-bitmap-add node=disk name=b0 granularity=65536")
//	if errors.Is(err, syntax.ErrIncomplete) {
//		// ask for another line, and parse both together
//	}
//	reply, err := client.Do(ctx, cmd.Message())
//
// The language is that of QEMU's old qmp-shell:
//
//	command key=value ...          a command and its arguments
//	command {"key": value, ...}    all arguments as one object
//	exec-oob command key=value     the same, executed out of band
//	transaction( action ... )      a transaction, on one line or on several
//	{"execute": "command", ...}    a whole message
//	# text                         a comment, on a line of its own
//
// A key with dots names a member inside an argument: cache.direct=true is the argument
// cache, an object whose member direct is true. If the names in an object are the
// numbers 0, 1, 2 and so on, it is a list.
//
// A value is one of these:
//
//   - a JSON or Python literal that begins with { or [. It may contain spaces, strings
//     in either quotes, True, False and None, and numbers that begin with 0x, 0o or 0b;
//   - a text in single or double quotes, with the escapes of JSON and Python;
//   - a whole number in decimal notation. It may have any size, and is sent exactly;
//   - true and false, in upper or lower case, null and None;
//   - any other word is a text. It ends at a space, but a part in quotes may contain
//     spaces. Such quotes are a part of the text.
//
// So size=5 is a number and size="5" is a text; 0x10 and 1.5 are texts.
package syntax

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/async"
)

// A Command is what a person typed, ready to be sent.
type Command struct {
	Name string         // such as "query-status"
	Args jsontext.Value // the arguments, a JSON object; nil if a whole message has none
	OOB  bool           // out of band

	// Object is the whole message if the person typed one, as JSON, else nil.
	Object jsontext.Value

	// Keys has the arguments that the person typed, in the order of the text. It is nil
	// for a whole message.
	Keys []Key
}

// A Key is an argument in the text of a command.
type Key struct {
	Path  []string // such as ["cache", "direct"]; in a transaction ["actions", "0", "data", "node"]
	Start int      // where the key begins in the text, in bytes
	Value int      // where its value begins
	End   int      // where its value ends
}

// Message returns the command for the engine.
func (c Command) Message() async.Command {
	if c.Object != nil {
		return async.Command{Object: c.Object}
	}
	cmd := async.Command{Name: c.Name, OOB: c.OOB}
	if c.Args != nil {
		cmd.Args = c.Args
	}
	return cmd
}

// Wire returns the message as JSON, without the id that the engine adds.
func (c Command) Wire() []byte {
	if c.Object != nil {
		return slices.Clone(c.Object)
	}
	execute := "execute"
	if c.OOB {
		execute = "exec-oob"
	}
	wire := appendText([]byte(`{"`+execute+`":`), c.Name)
	if c.Args != nil {
		wire = append(append(wire, `,"arguments":`...), c.Args...)
	}
	return append(wire, '}')
}

// Parse parses the text of one command, which may have several lines. A text that ends
// too early is an [*Error] for which errors.Is(err, [ErrIncomplete]) is true: the rest
// may come on further lines. A text without a command, only white space and comments, is
// [ErrEmpty]. Every other error is an [*Error], which says where the fault is.
func Parse(text string) (Command, error) {
	p := parser{text: text, words: words(text)}
	if len(p.words) == 0 {
		return Command{}, ErrEmpty
	}
	first := p.words[0]
	if strings.HasPrefix(text[first.start:], "{") {
		return p.message(first)
	}
	cmd, err := p.command()
	if err != nil {
		return Command{}, err
	}
	return cmd, nil
}

// A parser reads the words of a text.
type parser struct {
	text  string
	words []word
	next  int // the index of the next word
	keys  []Key
}

// peek returns the next word, or one of the kind endOfText.
func (p *parser) peek() word {
	if p.next == len(p.words) {
		return word{kind: endOfText, start: len(p.text), end: len(p.text), eq: -1}
	}
	return p.words[p.next]
}

// message parses a whole message.
func (p *parser) message(w word) (Command, error) {
	lit := literal{text: p.text, pos: w.start}
	obj, err := lit.value(nil, 0)
	if err != nil {
		return Command{}, err
	}
	if rest := strings.TrimSpace(p.text[lit.pos:]); rest != "" {
		at := lit.pos + strings.Index(p.text[lit.pos:], rest)
		return Command{}, p.fail(at, "nothing may follow a whole message", "give one message at a time")
	}
	cmd := Command{Object: obj}
	for name, value := range members(obj) {
		switch name {
		case "execute", "exec-oob":
			if value.Kind() != '"' || cmd.Name != "" {
				return Command{}, p.fail(w.start, "a message has one command, and its name is a text", "")
			}
			cmd.Name, cmd.OOB = textOf(value), name == "exec-oob"
		case "arguments":
			cmd.Args = value
		}
	}
	if cmd.Name == "" {
		return Command{}, p.fail(w.start, `a message needs "execute" or "exec-oob"`, `such as {"execute": "query-status"}`)
	}
	return cmd, nil
}

// command parses a command and its arguments.
func (p *parser) command() (Command, error) {
	var cmd Command
	w := p.peek()
	if p.text[w.start:w.end] == "exec-oob" {
		cmd.OOB = true
		p.next++
		if w = p.peek(); w.kind == endOfText || w.line {
			return Command{}, p.fail(w.start, "exec-oob needs the name of a command", "such as exec-oob migrate-pause")
		}
	}
	name, err := p.name(w)
	if err != nil {
		return Command{}, err
	}
	cmd.Name = name
	p.next++
	args := &tree{}
	if p.peek().kind == opening {
		if err := p.transaction(args); err != nil {
			return Command{}, err
		}
	}
	if cmd.Args, err = p.arguments(args, nil, endOfText); err != nil {
		return Command{}, err
	}
	cmd.Keys = p.keys
	return cmd, nil
}

// name returns the name of a command or an action, which is the word w.
func (p *parser) name(w word) (string, error) {
	text := p.text[w.start:w.end]
	switch {
	case w.kind == closing:
		return "", p.fail(w.start, `")" without "transaction("`, "")
	case w.kind == opening:
		return "", p.fail(w.start, "the name of a command is missing", `only a transaction has parentheses: transaction( ... )`)
	case w.eq >= 0:
		return "", p.fail(w.start, "expected the name of a command, got "+quote(text), "the command comes first: COMMAND KEY=VALUE ...")
	case strings.ContainsAny(text, "\"'{}[]"):
		return "", p.fail(w.start, "expected the name of a command, got "+quote(text), "")
	}
	return text, p.valid(w.start, w.end)
}

// transaction parses the actions of a transaction, and adds them to args.
func (p *parser) transaction(args *tree) error {
	open := p.peek()
	if p.text[p.words[p.next-1].start:p.words[p.next-1].end] != "transaction" {
		return p.fail(open.start, `unexpected "("`, `only a transaction has parentheses: transaction( ... )`)
	}
	p.next++
	actions := args.add("actions", open.start)
	actions.list = true
	for i := 0; ; i++ {
		w := p.peek()
		switch w.kind {
		case endOfText:
			return p.incomplete(open.start, `the transaction is not closed`, `end it with ")"`)
		case closing:
			p.next++
			return nil
		}
		name, err := p.name(w)
		if err != nil {
			return err
		}
		p.next++
		path := []string{"actions", itoa(i), "data"}
		data, err := p.arguments(&tree{}, path, closing)
		if err != nil {
			return err
		}
		action := actions.add(itoa(i), w.start)
		action.add("type", w.start).value = appendText(nil, name)
		action.add("data", w.start).value = data
	}
}

// arguments parses key=value pairs, or one object, into args. It stops at the end of the
// command, or of an action of a transaction if end is closing.
func (p *parser) arguments(args *tree, path []string, end kind) (jsontext.Value, error) {
	for count := 0; ; count++ {
		w := p.peek()
		switch {
		case w.kind == endOfText, w.kind == closing && end == closing, end == closing && count > 0 && w.line && w.eq < 0:
			return args.json(p)
		case w.kind == closing:
			return nil, p.fail(w.start, `")" without "transaction("`, "")
		case w.line && end != closing:
			return nil, p.fail(w.start, "a second command on another line", "give one command at a time")
		case w.kind == opening:
			return nil, p.fail(w.start, `unexpected "("`, "put a text with parentheses into quotes")
		case count == 0 && strings.HasPrefix(p.text[w.start:], "{") && len(args.members) == 0:
			return p.object(w, path, end)
		case w.eq < 0 && end == closing:
			return args.json(p) // the next action
		case w.eq < 0:
			return nil, p.fail(w.start, "expected KEY=VALUE, got "+quote(p.text[w.start:w.end]),
				"an argument has a name, as in id=disk0; no spaces around the =")
		}
		if err := p.argument(args, path, w); err != nil {
			return nil, err
		}
		p.next++
	}
}

// object parses arguments that are one object.
func (p *parser) object(w word, path []string, end kind) (jsontext.Value, error) {
	lit := literal{text: p.text, pos: w.start}
	obj, err := lit.value(nil, len(path))
	if err != nil {
		return nil, err
	}
	if lit.pos != w.end {
		return nil, p.fail(lit.pos, "nothing may follow the object", "put a space between the object and what follows")
	}
	p.next++
	after := p.peek()
	if after.kind == endOfText || end == closing && after.eq < 0 {
		return obj, nil
	}
	return nil, p.fail(after.start, "nothing may follow the object with the arguments", "put all arguments into the object, or write all as KEY=VALUE")
}

// argument parses a key=value pair and adds it to args.
func (p *parser) argument(args *tree, path []string, w word) error {
	if w.eq == w.start {
		return p.fail(w.start, "the name of the argument is missing", "KEY=VALUE, without spaces around the =")
	}
	if err := p.valid(w.start, w.end); err != nil {
		return err
	}
	names := strings.Split(p.text[w.start:w.eq], ".")
	if i := slices.Index(names, ""); i >= 0 {
		return p.fail(w.start, "an empty name in the key "+quote(p.text[w.start:w.eq]), "write one dot between two names")
	}
	value, err := p.value(w)
	if err != nil {
		return err
	}
	p.keys = append(p.keys, Key{Path: slices.Concat(path, names), Start: w.start, Value: w.eq + 1, End: w.end})
	return args.set(p, w.start, names, value)
}

// value returns the value of a key=value pair as JSON.
func (p *parser) value(w word) (jsontext.Value, error) {
	begin := w.eq + 1
	text := p.text[begin:w.end]
	if text == "" || !strings.ContainsRune("\"'{[", rune(text[0])) {
		return bare(text), nil
	}
	lit := literal{text: p.text, pos: begin}
	v, err := lit.value(nil, 0)
	if err != nil {
		return nil, err
	}
	if lit.pos != w.end {
		return nil, p.fail(lit.pos, "unexpected "+quote(p.text[lit.pos:w.end])+" after the value", "put a space between two arguments")
	}
	return v, nil
}
