package interactive

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/terminal"
)

// A builtin is a command of the shell itself.
type builtin struct {
	name, args, help string
	run              func(s *Shell, words []string)
}

// builtins are the shell's own commands. A slash before the name always means the shell's
// command. Without it the name means the server's command if the server has one.
var builtins []builtin

func init() { // the commands refer to the list
	builtins = []builtin{
		{"help", "[NAME]", "explain a command or an event, or list the shell's own commands and keys", (*Shell).help},
		{"events", "[N | on | off | NAME... | -NAME...]", "show the last events; or print all events, none, only the events NAME, or not those; NAME may be a pattern, such as BLOCK_*. JOB_STATUS_CHANGE is not printed until you ask for it: bars show jobs", (*Shell).eventsCommand},
		{"jobs", "", "show the jobs and the migration that are going on", (*Shell).jobsCommand},
		{"history", "[TEXT]", "show the last lines, or those that contain TEXT", (*Shell).historyCommand},
		{"verbose", "[on | off]", "print what goes over the wire, or do not", (*Shell).verboseCommand},
		{"exit", "", "leave the shell; the machine is not changed by that", func(s *Shell, _ []string) { s.leave() }},
	}
}

// own returns the shell's own command that text names, or nil.
func (s *Shell) own(text string) *builtin {
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil
	}
	name, slash := strings.CutPrefix(words[0], "/")
	i := slices.IndexFunc(builtins, func(b builtin) bool { return b.name == name })
	if i < 0 || !slash && s.lang.has(name) {
		return nil
	}
	return &builtins[i]
}

// builtin executes text if it is a command of the shell. It reports false if it is not.
func (s *Shell) builtin(text string) bool {
	words := strings.Fields(text)
	if len(words) == 0 {
		return true
	}
	if b := s.own(text); b != nil {
		b.run(s, words[1:])
		return true
	}
	if name, slash := strings.CutPrefix(words[0], "/"); slash {
		s.print(s.style.bad("the shell has no command /" + oneLine(name) + "; /help lists its commands"))
		return true
	}
	return false
}

// help explains.
func (s *Shell) help(words []string) {
	if len(words) == 0 {
		s.print(s.overview())
		return
	}
	if i := slices.IndexFunc(builtins, func(b builtin) bool { return b.name == strings.TrimPrefix(words[0], "/") }); i >= 0 {
		b := builtins[i]
		s.print(strings.TrimRight("/"+b.name+" "+b.args, " ") + "\n" + wrap("", b.help, 4, s.width()))
		return
	}
	topic := strings.Join(words, " ")
	width := s.width()
	s.tasks.Go(func() {
		text, err := s.lang.help(s.ctx, topic, width)
		s.box.post(func() {
			if err != nil {
				s.print(s.style.bad(output.Text(err.Error())))
				return
			}
			s.print(strings.TrimRight(output.Text(text), "\n"))
		})
	})
}

// keys are the rows of help about keys.
var keys = [][2]string{
	{"Tab", "complete; again: choose from the menu; Shift-Tab goes back, Esc closes it"},
	{"Enter", "execute; in an open transaction( or object: begin another line"},
	{"Alt-Enter", "begin another line"},
	{"Up, Down", "earlier and later lines that begin with what is typed"},
	{"Ctrl-R", "search the history; again: an older line"},
	{"Ctrl-C", "delete the line; if it is empty: give up on the newest command"},
	{"Ctrl-D", "leave, if the line is empty"},
	{"Ctrl-A, Ctrl-E", "go to the beginning, to the end"},
	{"Ctrl-W", "delete the word before the cursor"},
	{"Ctrl-U, Ctrl-K", "delete everything before, after the cursor; Ctrl-Y inserts it"},
	{"Ctrl-_", "undo"},
	{"Ctrl-L, Ctrl-Z", "clear the screen, suspend the shell"},
}

// overview is what help without a name prints.
func (s *Shell) overview() string {
	var b strings.Builder
	width := s.width()
	fmt.Fprintf(&b, "%s\n\n", s.lang.usage())
	b.WriteString("The shell's own commands:\n")
	for _, c := range builtins {
		fmt.Fprintf(&b, "    %s\n%s\n", strings.TrimRight("/"+c.name+" "+c.args, " "), wrap("", c.help, 8, width))
	}
	b.WriteString(wrap("", "The slash may be left out, unless the server has a command of that name.", 0, width) + "\n")
	if !s.opts.Agent {
		b.WriteString(wrap("", "quit is a command of QEMU: it ends the machine. The shell asks before it sends it.", 0, width) + "\n")
	}
	b.WriteString("\nKeys:\n")
	for _, k := range keys {
		b.WriteString(wrap("    "+k[0], k[1], 20, width) + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// wrap returns text in rows of at most width columns, the first one after head, and all from
// the column indent on.
func wrap(head, text string, indent, width int) string {
	pad := strings.Repeat(" ", indent)
	rows := strings.Split(ansi.Wordwrap(text, max(width-indent, 20), ""), "\n")
	for i, row := range rows {
		rows[i] = strings.TrimRight(pad+row, " ")
	}
	if head != "" {
		rows[0] = head + pad[min(len(head), len(pad)):] + strings.TrimLeft(rows[0], " ")
	}
	return strings.Join(rows, "\n")
}

// defaultEvents is how many events the command events shows.
const defaultEvents = 20

// eventsCommand shows events, or sets which ones are printed.
func (s *Shell) eventsCommand(words []string) {
	n := defaultEvents
	if len(words) == 1 {
		if number, err := strconv.Atoi(words[0]); err == nil && number >= 0 {
			n, words = number, nil
		}
	}
	if len(words) > 0 {
		next, err := s.filter.set(words)
		if err != nil {
			s.print(s.style.bad(output.Text(err.Error())))
			return
		}
		s.filter = next
		s.print(s.style.dim(output.Text(next.String())))
		return
	}
	kept := s.ring[max(len(s.ring)-n, 0):]
	var lines []string
	for _, ev := range kept {
		lines = append(lines, s.eventText(ev, nil))
	}
	if len(s.ring) == 0 {
		lines = append(lines, "no events have come")
	}
	lines = append(lines, s.style.dim(output.Text(s.filter.String())))
	s.print(strings.Join(lines, "\n"))
}

// jobsCommand shows what is going on.
func (s *Shell) jobsCommand([]string) {
	var lines []string
	for _, bar := range s.board.Bars() {
		lines = append(lines, output.Text(bar.Render(s.width())))
	}
	for _, r := range s.running {
		lines = append(lines, oneLine(r.name)+": no reply yet")
	}
	if len(lines) == 0 {
		lines = []string{"no job, no migration and no command is going on"}
	}
	s.print(strings.Join(lines, "\n"))
}

// historyCommand shows lines.
func (s *Shell) historyCommand(words []string) {
	text := strings.Join(words, " ")
	var found []string
	for _, line := range s.history.Entries() {
		if strings.Contains(line, text) {
			found = append(found, output.Text(line))
		}
	}
	s.print(strings.Join(found[max(len(found)-50, 0):], "\n"))
}

// verboseCommand switches the printing of messages.
func (s *Shell) verboseCommand(words []string) {
	switch {
	case len(words) == 0:
		s.verbose = !s.verbose
	case words[0] == "on", words[0] == "off":
		s.verbose = words[0] == "on"
	default:
		s.print(s.style.bad(output.Text(errors.New("verbose takes on or off").Error())))
		return
	}
	text := "messages are not printed"
	if s.verbose {
		text = "messages are printed, with known secrets masked; the shell's own questions are not"
	}
	s.print(s.style.dim(text))
}

// completeBuiltin completes the shell's own commands. ok is false if text is not one.
func (s *Shell) completeBuiltin(text string, pos int) (c terminal.Completion, ok bool) {
	head := strings.TrimLeft(text[:pos], " ")
	start := pos - len(head)
	first, rest, more := strings.Cut(head, " ")
	name := strings.TrimPrefix(first, "/")
	if !more {
		c = terminal.Completion{Start: start, End: pos}
		slash := strings.HasPrefix(first, "/")
		for _, b := range builtins {
			if strings.HasPrefix(b.name, name) && (slash || !s.lang.has(b.name)) {
				prefix := ""
				if slash {
					prefix = "/"
				}
				c.Candidates = append(c.Candidates, terminal.Candidate{Text: prefix + b.name + " ", Label: prefix + b.name, Description: "the shell's own: " + b.help})
			}
		}
		return c, slash
	}
	i := slices.IndexFunc(builtins, func(b builtin) bool { return b.name == name })
	if i < 0 || first == name && s.lang.has(name) {
		return c, false
	}
	word := rest[strings.LastIndexByte(rest, ' ')+1:]
	c = terminal.Completion{Start: pos - len(word), End: pos, Hint: "/" + builtins[i].name + " " + builtins[i].args}
	for _, w := range s.lang.words(name) {
		minus := ""
		if name == "events" && strings.HasPrefix(word, "-") {
			minus = "-"
		}
		if strings.HasPrefix(w, strings.TrimPrefix(word, minus)) {
			c.Candidates = append(c.Candidates, terminal.Candidate{Text: minus + w + " ", Label: minus + w})
		}
	}
	return c, true
}
