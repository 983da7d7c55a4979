package interactive

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/catalog"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/syntax"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/terminal"
)

// A language is what a person may type: commands of QMP, or of the human monitor. Its
// methods may be called concurrently.
type language interface {
	load(ctx context.Context) // asks the server what it can do
	forget()                  // another server may answer now
	incomplete(text string) bool
	split(text string) []string // the commands in a text
	parse(text string) (command, error)
	mask(text string) string // for the history
	has(name string) bool    // the server has a command of that name
	words(builtin string) []string
	complete(ctx context.Context, text string, pos int) terminal.Completion
	help(ctx context.Context, topic string, width int) (string, error)
	usage() string
}

// A command can be executed. It returns the text of the human monitor or, if value is not
// nil, JSON.
type command struct {
	name     string
	warnings []string
	quits    bool // it ends QEMU
	run      func(ctx context.Context, c async.Caller) (text string, value json.RawMessage, err error)
}

func (s *Shell) newLanguage() language {
	known := catalog.New(s.caller)
	if s.opts.HMP {
		return &hmp{caller: s.caller, catalog: known}
	}
	return &qmp{catalog: known}
}

// completeLimit is how long a completion waits for names that only the server knows. A
// server that is busy does not answer in that time, and typing goes on without them.
const completeLimit = 2 * time.Second

// complete completes what is typed.
func (s *Shell) complete(ctx context.Context, text string, pos int) terminal.Completion {
	own, ok := s.completeBuiltin(text, pos)
	if ok {
		return own
	}
	ctx, cancel := context.WithTimeout(ctx, completeLimit)
	defer cancel()
	c := s.lang.complete(ctx, text, pos)
	if len(own.Candidates) > 0 && own.Start == c.Start {
		c.Candidates = append(c.Candidates, own.Candidates...)
	}
	return c
}

// qmp is the language of QMP.
type qmp struct{ catalog *catalog.Catalog }

func (q *qmp) load(ctx context.Context) { _ = q.catalog.Load(ctx) } // what needs it asks again, and says why it fails
func (q *qmp) forget()                  { q.catalog.Forget() }

func (q *qmp) incomplete(text string) bool {
	_, rest := splitText(text)
	return rest != ""
}

func (q *qmp) split(text string) []string {
	parts, rest := splitText(text)
	if rest != "" {
		parts = append(parts, rest)
	}
	return parts
}

// splitText divides a text into commands, each of one or more lines. rest is the last one
// if it is not complete.
func splitText(text string) (commands []string, rest string) {
	for line := range strings.SplitSeq(text, "\n") {
		if rest != "" {
			line = rest + "\n" + line
		}
		_, err := syntax.Parse(line)
		switch {
		case errors.Is(err, syntax.ErrEmpty):
			rest = ""
		case errors.Is(err, syntax.ErrIncomplete):
			rest = line
		default:
			rest = ""
			commands = append(commands, line)
		}
	}
	return commands, rest
}

func (q *qmp) parse(text string) (command, error) {
	parsed, err := syntax.Parse(text)
	if err != nil {
		return command{}, err
	}
	cmd := command{name: parsed.Name, quits: quits(parsed), run: func(ctx context.Context, c async.Caller) (string, json.RawMessage, error) {
		reply, err := c.Do(ctx, parsed.Message())
		if err != nil {
			return "", nil, err
		}
		value, err := reply.Value()
		return "", value, err
	}}
	if parsed.Object != nil {
		return cmd, nil // a whole message is sent as it is
	}
	var wrong []string
	for _, p := range q.catalog.Check(parsed) {
		if p.Warning {
			cmd.warnings = append(cmd.warnings, p.Text)
		} else {
			wrong = append(wrong, p.Text)
		}
	}
	if len(wrong) > 0 {
		return cmd, errors.New(strings.Join(wrong, "\n          "))
	}
	return cmd, nil
}

// quits reports whether a command ends QEMU, also by way of the human monitor.
func quits(cmd syntax.Command) bool {
	if cmd.Name != "human-monitor-command" {
		return cmd.Name == "quit"
	}
	var args struct {
		Line string `json:"command-line"`
	}
	return json.Unmarshal(cmd.Args, &args) == nil && humanQuits(args.Line)
}

func (q *qmp) has(name string) bool {
	_, found := slices.BinarySearch(q.catalog.Commands(), name)
	return found
}

func (q *qmp) words(builtin string) []string {
	switch builtin {
	case "help":
		return append(slices.Clone(q.catalog.Commands()), q.catalog.Events()...)
	case "events":
		return append([]string{"on", "off"}, q.catalog.Events()...)
	}
	return nil
}

func (q *qmp) complete(ctx context.Context, text string, pos int) terminal.Completion {
	return completion(q.catalog.Complete(ctx, text, pos))
}

// completion returns a completion of the catalog for the terminal.
func completion(from catalog.Completion) terminal.Completion {
	c := terminal.Completion{Start: from.Start, End: from.End, Hint: from.Note}
	for _, candidate := range from.Candidates {
		text := candidate.Text
		if candidate.Space {
			text += " "
		}
		c.Candidates = append(c.Candidates, terminal.Candidate{Text: text, Label: candidate.Label, Description: candidate.Help})
	}
	return c
}

func (q *qmp) help(ctx context.Context, topic string, width int) (string, error) {
	return q.catalog.Help(ctx, topic, width)
}

func (q *qmp) usage() string {
	return `Type a command and its arguments:
    query-status
    blockdev-add driver=file node-name=file0 filename=disk.img cache.direct=true
    device_add {"driver": "virtio-blk-pci", "drive": "disk0"}
    transaction(
        blockdev-snapshot-sync node-name=disk0 snapshot-file=a.qcow2
    )
or a whole message: {"execute": "query-status"}, which is sent without a check.
help COMMAND shows its arguments.`
}
