package catalog

import (
	"context"
	"slices"
	"strings"
)

// A humanCommand is a command of the human monitor, as its help describes it.
type humanCommand struct {
	names  []string // such as "c" and "cont"
	params []string // such as "[-f]" and "device"
	help   string   // one line
}

// parseHumanHelp returns the commands that the text of "help" or "help info" describes.
// An entry is "NAME|ALIAS PARAMETERS -- DESCRIPTION"; the lines of a longer one begin
// with white space or a bracket.
func parseHumanHelp(lines []name) []humanCommand {
	var commands []humanCommand
	var entry string
	add := func() {
		about, help, ok := strings.Cut(entry, " -- ")
		words := strings.Fields(about)
		if !ok || len(words) == 0 {
			return
		}
		commands = append(commands, humanCommand{names: strings.Split(words[0], "|"), params: words[1:], help: strings.TrimSpace(help)})
	}
	for _, line := range lines {
		switch first := strings.TrimLeft(line.text, " \t"); {
		case first == "":
		case first[0] == '[' || first != line.text:
			if !strings.Contains(entry, " -- ") {
				entry += " " + first
			}
		default:
			add()
			entry = line.text
		}
	}
	add()
	return commands
}

// CompleteHuman is [Catalog.Complete] for a line of the human monitor.
func (c *Catalog) CompleteHuman(ctx context.Context, line string, cursor int) Completion {
	cursor = min(max(cursor, 0), len(line))
	start := 1 + strings.LastIndexAny(line[:cursor], " \t")
	done := Completion{Start: start, End: cursor}
	r := request{ctx: ctx, live: c.live, server: c.known(), prefix: line[start:cursor]}
	if r.server == nil {
		r.server = &server{}
	}
	names, err := r.humanWords(strings.Fields(line[:start]))
	if err != nil {
		done.Note = noAnswer(ctx, err)
	}
	for _, n := range names {
		if strings.HasPrefix(n.text, r.prefix) && !done.has(n.text) {
			done.Candidates = append(done.Candidates, Candidate{Text: n.text, Label: n.text, Help: n.help, Space: !n.more})
		}
	}
	return done
}

// humanWords returns the words that may follow others in a line of the human monitor.
func (r request) humanWords(before []string) ([]name, error) {
	topics := len(before) > 0 && (before[0] == "help" || before[0] == "?")
	if topics {
		before = before[1:]
	}
	lines, err := r.human("help", always)
	if err != nil {
		return nil, err
	}
	commands := parseHumanHelp(lines)
	isInfo := len(before) > 0 && before[0] == "info"
	if isInfo {
		if lines, err = r.human("help info", always); err != nil {
			return nil, err
		}
		commands = parseHumanHelp(lines)
		for i, cmd := range commands { // "info block [-n] ...": the name is the second word
			if len(cmd.params) > 0 {
				commands[i].names, commands[i].params = strings.Split(cmd.params[0], "|"), cmd.params[1:]
			}
		}
		before = before[1:]
	}
	if len(before) == 0 || topics {
		var names []name
		for _, cmd := range commands {
			for _, text := range cmd.names {
				names = append(names, name{text: text, help: strings.TrimSpace(strings.Join(cmd.params, " ") + "  " + cmd.help)})
			}
		}
		return names, nil
	}
	i := slices.IndexFunc(commands, func(cmd humanCommand) bool { return slices.Contains(cmd.names, before[0]) })
	if i < 0 {
		return nil, nil
	}
	return r.humanArgument(commands[i], before)
}

// humanArgument returns the values of the argument that comes after words, the first of
// which is the name of the command.
func (r request) humanArgument(cmd humanCommand, words []string) ([]name, error) {
	var flags []name
	var params []string
	for _, p := range cmd.params {
		if flag := strings.Trim(p, "[]"); strings.HasPrefix(flag, "-") {
			for f := range strings.SplitSeq(flag, "|") {
				if !slices.Contains(words, f) {
					flags = append(flags, name{text: f, help: "option of " + words[0]})
				}
			}
			continue
		}
		params = append(params, strings.Trim(p, "[],"))
	}
	given := slices.DeleteFunc(slices.Clone(words[1:]), func(w string) bool { return strings.HasPrefix(w, "-") })
	if strings.HasPrefix(r.prefix, "-") {
		return flags, nil
	}
	var names []name
	param := ""
	if len(given) < len(params) {
		param = params[len(given)]
	}
	if strings.Contains(param, "|") {
		for v := range strings.SplitSeq(param, "|") {
			names = append(names, name{text: v, help: "argument of " + words[0]})
		}
	}
	var err error
	if source := sources[humanKind(words[0], param)]; source != nil {
		if len(given) > 0 {
			r.beside = map[string]any{"path": given[0]}
		}
		var live []name
		live, err = source(r)
		names = append(live, names...)
	}
	return append(names, flags...), err
}

// humanRules are rules for commands of the human monitor. Its arguments have the names
// that the help gives.
var humanRules = []rule{
	{"device_add", "driver*", "device types"},
	{"device_del", "device", "devices"},
	{"object_del", "id", "objects"},
	{"netdev_del", "id", "netdevs"},
	{"set_link", "name", "networks"},
	{"chardev-*", "id", "chardevs"},
	{"ringbuf_*", "device", "chardevs"},
	{"nbd_server_remove", "name", "exports"},
	{"loadvm delvm", "tag", "snapshots"},
	{"trace-event", "name", "trace events"},
	{"qom-*", "path", "qom paths"},
	{"qom-get qom-set", "property", "qom properties"},
	{"block_job_*", "device", "jobs"},
	{"eject change block_* drive_* commit block qemu-io nbd_server_add", "device* nodename", "block"},
}

// humanKind returns the kind of names that an argument of a command of the human monitor
// takes, or "".
func humanKind(command, param string) string {
	for _, r := range humanRules {
		if matches(r.commands, command) && matches(r.arguments, strings.Trim(param, "[]|")) {
			return r.kind
		}
	}
	return ""
}

// humanLines are the lines of the human monitor that begin with what is typed, up to the
// end of the word at the cursor.
func humanLines(r request) ([]name, error) {
	start := 1 + strings.LastIndexAny(r.prefix, " \t")
	line := r.prefix[:start]
	r.prefix = r.prefix[start:]
	names, err := r.humanWords(strings.Fields(line))
	for i := range names {
		names[i].text, names[i].more, names[i].spaces = line+names[i].text, true, true
	}
	return names, err
}
