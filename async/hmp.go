package async

import (
	"context"
	"fmt"
	"strings"
)

// HMP executes a line of the human monitor, such as "info block", and returns what
// it prints, with line ends of one byte, "\n". The command is human-monitor-command.
//
// That command succeeds even if the line fails: only the text says so. HMP knows what
// QEMU 5.2 to 11.1 print for a failure, and returns an [*HMPError] for it:
//
//   - text that begins with "Error: ";
//   - text that begins with "unknown command: ";
//   - text that ends with the line "Try "help NAME" for more information": the
//     arguments are wrong;
//   - text that begins with "Command 'NAME' not available ";
//   - any text that a command does not print when it succeeds, if what it prints then
//     is known, or is nothing. These commands are boot_set, change, commit, cpu,
//     drive_add, drive_del, gdbserver, gpa2hpa, gpa2hva, gva2gpa, hostfwd_add,
//     hostfwd_remove, log, logfile, mouse_set, one-insn-per-tb, sendkey, singlestep,
//     trace-event and watchdog_action;
//   - "Cannot access memory" at the end of the last line of x and xp.
//
// Lines at the beginning that start with "warning: " are ignored. HMP returns the text
// along with the error.
//
// HMP cannot tell other failures from success: free text ("info snapshots" without a
// disk), no text ("info block NAME" for a name that does not exist), or text that goes
// elsewhere (qemu-io writes to QEMU's standard output). And it takes success for a
// failure if ringbuf_read prints what a guest wrote and that begins with "Error: ".
// Prefer a command of QMP if there is one: its errors are exact.
//
// Other errors are those of [Client.Execute].
func HMP(ctx context.Context, c Caller, line string) (string, error) {
	args := map[string]any{"command-line": line}
	text, err := Call[string](ctx, c, "human-monitor-command", args)
	if err != nil {
		return "", err
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if command := hmpCommand(line); hmpFailed(command, text) {
		return text, &HMPError{Command: command, Text: text}
	}
	return text, nil
}

// An HMPError says that a line of the human monitor has failed: see [HMP].
type HMPError struct {
	// Command is the name of the command, without its arguments: those may contain a
	// password.
	Command string

	// Text is everything that the human monitor printed, with line ends of one byte.
	Text string
}

// Error returns what the human monitor printed, on one line.
func (e *HMPError) Error() string {
	text := strings.TrimPrefix(strings.TrimSpace(e.Text), "Error: ")
	return fmt.Sprintf("human monitor: %s: %s", words(e.Command), words(strings.ReplaceAll(text, "\n", "; ")))
}

// hmpCommand returns the name of the command in a line. That is its first word, which
// also ends at a slash ("x/4x"), or "info" and the next word.
func hmpCommand(line string) string {
	words := strings.FieldsFunc(line, func(r rune) bool { return r == '/' || strings.ContainsRune(" \t\n\v\f\r", r) })
	switch {
	case len(words) == 0:
		return ""
	case words[0] == "info" && len(words) > 1:
		return words[0] + " " + words[1]
	}
	return words[0]
}

// hmpSuccess has, for each command, how the text may begin when it has succeeded; none
// means that it prints nothing then.
var hmpSuccess = map[string][]string{
	"change":          nil,
	"commit":          nil,
	"cpu":             nil,
	"drive_del":       nil,
	"hostfwd_add":     nil,
	"log":             nil,
	"logfile":         nil,
	"mouse_set":       nil,
	"one-insn-per-tb": nil,
	"sendkey":         nil,
	"singlestep":      nil,
	"trace-event":     nil,
	"watchdog_action": nil,

	"boot_set":  {"boot device list now set to "},
	"drive_add": {"OK"},
	"gdbserver": {"Waiting for gdb connection ", "Disabled gdbserver"},
	"gpa2hpa":   {"Host physical address for "},
	"gpa2hva":   {"Host virtual address for "},
	"gva2gpa":   {"gpa: "},
}

// hmpFailed reports whether text says that the command has failed.
func hmpFailed(command, text string) bool {
	for strings.HasPrefix(text, "warning: ") {
		_, text, _ = strings.Cut(text, "\n")
	}
	if strings.TrimSpace(text) == "" {
		return false
	}
	begins := func(prefix string) bool { return strings.HasPrefix(text, prefix) }
	trimmed := strings.TrimSpace(text)
	last := trimmed[strings.LastIndexByte(trimmed, '\n')+1:]
	switch {
	case begins("Error: "), begins("unknown command: '"),
		begins("Command '") && strings.Contains(text, "' not available "),
		strings.HasPrefix(last, `Try "help `) && strings.HasSuffix(last, `" for more information`):
		return true
	}
	switch command {
	case "x", "xp":
		return strings.HasSuffix(last, ": Cannot access memory")
	case "hostfwd_remove": // prints "removed", or else why it failed
		return !strings.HasSuffix(last, " removed")
	}
	beginnings, known := hmpSuccess[command]
	for _, beginning := range beginnings {
		if begins(beginning) {
			return false
		}
	}
	return known
}
