package interactive

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/terminal"
)

// hmp is the language of the human monitor. What commands there are is in the text of its
// commands help and "help info".
type hmp struct {
	caller async.Caller

	mu       sync.Mutex
	commands []hmpCommand // guarded by mu; nil until the server has answered
	infos    []hmpCommand // what info shows; guarded by mu
}

// An hmpCommand is a command of the human monitor.
type hmpCommand struct{ name, args, help string }

func (h *hmp) load(ctx context.Context) {
	commands, err := async.HMP(ctx, h.caller, "help")
	if err != nil {
		return // the next completion asks again
	}
	infos, err := async.HMP(ctx, h.caller, "help info")
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commands = parseHelp(commands, "")
	h.infos = parseHelp(infos, "info ")
}

// helpLine is a line of help: names with "|" between them, arguments, and a text.
var helpLine = regexp.MustCompile(`^([a-z0-9_|.-]+)\s*(.*?)\s*-- (.*)$`)

// parseHelp returns the commands in a text of help, sorted. All lines of interest begin
// with prefix.
func parseHelp(text, prefix string) []hmpCommand {
	var commands []hmpCommand
	for line := range strings.SplitSeq(text, "\n") {
		line, ok := strings.CutPrefix(line, prefix)
		if !ok {
			continue
		}
		m := helpLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		for name := range strings.SplitSeq(m[1], "|") {
			if len(name) > 1 || !strings.Contains(m[1], "|") {
				commands = append(commands, hmpCommand{name, m[2], m[3]})
			}
		}
	}
	slices.SortStableFunc(commands, func(a, b hmpCommand) int { return strings.Compare(a.name, b.name) })
	return commands
}

// list returns what is known, and asks if nothing is.
func (h *hmp) list(ctx context.Context) (commands, infos []hmpCommand) {
	for range 2 {
		h.mu.Lock()
		commands, infos = h.commands, h.infos
		h.mu.Unlock()
		if commands != nil {
			return commands, infos
		}
		h.load(ctx)
	}
	return nil, nil
}

func (h *hmp) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commands, h.infos = nil, nil
}

func (h *hmp) incomplete(string) bool { return false }

func (h *hmp) split(text string) []string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if strings.TrimSpace(line) != "" {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func (h *hmp) parse(text string) (command, error) {
	text = strings.TrimSpace(text)
	name, _, _ := strings.Cut(text, " ")
	return command{name: name, run: func(ctx context.Context, c async.Caller) (string, json.RawMessage, error) {
		text, err := async.HMP(ctx, c, text)
		return text, nil, err
	}}, nil
}

// has reports whether the human monitor has a command. Before it has said so, it has help.
func (h *hmp) has(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.commands == nil {
		return name == "help"
	}
	return slices.ContainsFunc(h.commands, func(c hmpCommand) bool { return c.name == name })
}

func (h *hmp) words(builtin string) []string {
	if builtin == "events" {
		return []string{"on", "off"}
	}
	return nil
}

func (h *hmp) complete(ctx context.Context, text string, pos int) terminal.Completion {
	commands, infos := h.list(ctx)
	head := strings.TrimLeft(text[:pos], " ")
	from, word := commands, head
	first, rest, more := strings.Cut(head, " ")
	switch {
	case more && first == "info":
		from, word = infos, strings.TrimLeft(rest, " ")
	case more && (first == "help" || first == "?"):
		word = strings.TrimLeft(rest, " ")
		if what, ok := strings.CutPrefix(word, "info "); ok {
			from, word = infos, what
		}
	}
	c := terminal.Completion{Start: pos - len(word), End: pos}
	if name, _, args := strings.Cut(word, " "); args {
		for _, known := range from {
			if known.name == name {
				c.Start, c.Hint = pos, strings.TrimSpace(name+" "+known.args+" -- "+known.help)
			}
		}
		return c
	}
	for _, known := range from {
		if strings.HasPrefix(known.name, word) {
			c.Candidates = append(c.Candidates, terminal.Candidate{Text: known.name + " ", Label: known.name, Description: strings.TrimSpace(known.args + " -- " + known.help)})
		}
	}
	return c
}

func (h *hmp) help(ctx context.Context, topic string, _ int) (string, error) {
	text, err := async.HMP(ctx, h.caller, "help "+topic)
	if err == nil && strings.TrimSpace(text) == "" {
		err = fmt.Errorf("the human monitor has no help about %s", topic)
	}
	return text, err
}

func (h *hmp) usage() string {
	return `Each line is a command of the human monitor, such as "info block". help is the human
monitor's own help; /help NAME is the same for one command.`
}
