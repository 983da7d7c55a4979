package interactive

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/catalog"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/terminal"
)

// hmp is the language of the human monitor.
type hmp struct {
	caller  async.Caller
	catalog *catalog.Catalog
}

func (h *hmp) load(context.Context) {} // the first completion asks
func (h *hmp) forget()              { h.catalog.Forget() }

func (h *hmp) incomplete(string) bool { return false }

func (h *hmp) split(text string) []string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

func (h *hmp) parse(text string) (command, error) {
	name, _, _ := strings.Cut(text, " ")
	return command{name: name, quits: humanQuits(text), run: func(ctx context.Context, c async.Caller) (string, json.RawMessage, error) {
		text, err := async.HMP(ctx, c, text)
		return text, nil, err
	}}, nil
}

// humanQuits reports whether a line of the human monitor ends QEMU.
func humanQuits(line string) bool {
	words := strings.Fields(line)
	return len(words) > 0 && (words[0] == "quit" || words[0] == "q")
}

// has reports whether the human monitor has a command with the name of one of the shell's
// own: it has help.
func (h *hmp) has(name string) bool { return name == "help" }

func (h *hmp) words(builtin string) []string {
	if builtin == "events" {
		return []string{"on", "off"}
	}
	return nil
}

func (h *hmp) complete(ctx context.Context, text string, pos int) terminal.Completion {
	return completion(h.catalog.CompleteHuman(ctx, text, pos))
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
