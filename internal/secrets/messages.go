// Package secrets knows where QEMU and its guest agent take and return secrets: in
// commands, in replies, on the command line. It replaces them by "***", for a log, an
// error or a recording.
//
// The tables were made from the schemas of QEMU 5.2 to 11.1. A test compares them with
// each schema that it can get, and fails if there is a member that looks like a secret
// and that is neither masked nor known to be harmless.
package secrets

import (
	"bytes"
	"slices"
	"strings"

	"github.com/goqmp/qmp/internal/proto"
)

// sent has, for each command, the names of the members of its arguments that hold
// secrets, at any depth.
var sent = map[string][]string{
	"object-add":               {"data", "password"},
	"blockdev-add":             {"cookie"}, // of an HTTP server
	"blockdev-reopen":          {"cookie"},
	"x-blockdev-reopen":        {"cookie"},
	"blockdev-create":          {"cookie"}, // of a node that it takes inline
	"qom-set":                  {"value"},
	"set_password":             {"password"},
	"change-vnc-password":      {"password"},
	"change":                   {"arg"}, // the password of VNC; until 5.2
	"block_passwd":             {"password"},
	"netdev_add":               {"txcookie", "rxcookie"}, // of L2TPv3
	"human-monitor-command":    {"command-line"},
	"send-key":                 {"keys"}, // somebody may type a password
	"input-send-event":         {"events"},
	"ringbuf-write":            {"data"},
	"sev-inject-launch-secret": {"secret"},
	"guest-set-user-password":  {"password"},
	"guest-exec":               {"env", "input-data"},
	"guest-file-write":         {"buf-b64"},
}

// returned has, for each command, the names of the members of its reply that hold
// secrets, at any depth.
var returned = map[string][]string{
	"qom-get":           {"return"},
	"qom-list-get":      {"value"},
	"ringbuf-read":      {"return"}, // what a guest wrote
	"guest-file-read":   {"buf-b64"},
	"guest-exec-status": {"out-data", "err-data"},
}

// linesThatRead are the commands of the human monitor that print what a secret object
// has, the memory of the guest, or the contents of a disk or a serial port.
var linesThatRead = []string{"qom-get", "x", "xp", "ringbuf_read", "qemu-io", "i", "sum"}

// Sent returns the names of the members that hold secrets in the arguments of a command.
func Sent(command string) []string { return sent[command] }

// Unknown is what [InReply] returns for a command that is not known.
var Unknown = []string{"return"}

// InReply returns the names of the members that hold secrets in the reply to a command
// with these arguments, as JSON.
func InReply(command string, args []byte) []string {
	if command == hmp {
		if slices.Contains(linesThatRead, lineCommand(lineOf(args))) {
			return Unknown
		}
	}
	return returned[command]
}

const hmp = "human-monitor-command"

// lineOf returns the line in the arguments of human-monitor-command.
func lineOf(args []byte) (line string) {
	proto.Members(args, func(name string, value []byte) bool {
		if name == "command-line" {
			line, _ = proto.Text(value)
		}
		return true
	})
	return line
}

// lineCommand returns the first word of a line of the human monitor. A slash and a
// format may follow it: "xp/4x".
func lineCommand(line string) string {
	words := strings.FieldsFunc(line, func(r rune) bool { return r == '/' || strings.ContainsRune(" \t\n\v\f\r", r) })
	if len(words) == 0 {
		return ""
	}
	return words[0]
}

// Command returns msg, one whole command, with its secrets masked.
func Command(msg []byte) []byte { return mask(msg, sent[proto.ParseCommand(msg).Name]) }

// InFailure is like Command, for the failure of a test: a line of the human monitor is
// shown as [Line] shows it.
func InFailure(msg []byte) []byte {
	cmd := proto.ParseCommand(msg)
	if cmd.Name != hmp {
		if masked := mask(msg, sent[cmd.Name]); bytes.Contains(masked, []byte(Mask)) {
			return masked
		}
		return msg // with its white space
	}
	line := lineOf(cmd.Arguments)
	return proto.ReplaceTexts(msg, func(text string) string {
		if text == line {
			return Line(text)
		}
		return text
	})
}

// Reply returns msg, one whole reply, with its secrets masked. hidden is what [InReply]
// has returned for its command.
func Reply(msg []byte, hidden []string) []byte { return mask(msg, hidden) }

// Event returns msg, one whole event, with its secrets masked. No event has a member for
// a secret, but the name of a file may have a password in it.
func Event(msg []byte) []byte { return mask(msg, nil) }

func mask(msg []byte, names []string) []byte {
	if names != nil {
		msg = proto.Mask(msg, names)
	}
	// Most messages have no file name with a secret. Look before reading every text.
	if !bytes.Contains(msg, []byte("://")) && !bytes.Contains(msg, []byte(jsonName)) && !bytes.ContainsAny(msg, `\`) && !bytes.Contains(msg, []byte(":key=")) && !bytes.Contains(msg, []byte("systemd")) {
		return msg
	}
	return proto.ReplaceTexts(msg, Text)
}

// Line returns a line of the human monitor, for the failure of a test or the history of a
// shell. It has the arguments only if the command is known to take no secret.
func Line(line string) string {
	if command := lineCommand(line); !slices.Contains(openLines, command) {
		if command == strings.TrimSpace(line) {
			return line
		}
		return command + " " + Mask
	}
	return Text(line)
}

// openLines are commands of the human monitor that take no secret.
var openLines = []string{
	"?", "balloon", "block_job_cancel", "block_job_complete", "block_job_pause", "block_job_resume", "block_job_set_speed",
	"block_resize", "boot_set", "chardev-remove", "commit", "cont", "c", "cpu", "delvm", "device_add", "device_del", "drive_backup",
	"drive_del", "drive_mirror", "eject", "help", "hostfwd_add", "hostfwd_remove", "info", "loadvm", "log", "logfile",
	"migrate_set_capability", "netdev_del", "object_del", "print", "p", "qemu-io", "qom-get", "qom-list", "quit", "q", "savevm",
	"screendump", "set_link", "snapshot_blkdev", "snapshot_blkdev_internal", "snapshot_delete_blkdev_internal", "stop", "s",
	"system_powerdown", "system_reset", "system_wakeup", "trace-event", "watchdog_action", "x", "xp",
}
