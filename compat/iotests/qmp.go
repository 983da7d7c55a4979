package iotests

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/secrets"
)

// QMP executes a command and returns the whole reply, which may be an error reply. It is
// vm.qmp of an iotest. args is nil, a [Dict], a [machine.Args] for names with
// underscores, or any value that is encoded as a JSON object. The test fails only if no
// reply comes.
func (vm *VM) QMP(cmd string, args any) Dict {
	vm.it.Helper()
	ctx, cancel := vm.it.withTimeout()
	defer cancel()
	vm.it.note(vm.name + ": " + command(cmd, args))
	reply, err := vm.Machine.QMP(ctx, cmd, args)
	if err != nil {
		vm.fail(err.Error(), "command", command(cmd, args))
	}
	return reply
}

// Cmd executes a command, which has to succeed, and returns the value of the reply. It is
// vm.cmd of an iotest.
func (vm *VM) Cmd(cmd string, args any) any {
	vm.it.Helper()
	reply := vm.QMP(cmd, args)
	value, ok := reply["return"]
	if !ok {
		vm.fail("the command failed", "command", command(cmd, args), "reply", FormatJSON(reply))
	}
	return value
}

// CmdError executes a command that QEMU has to refuse, and returns QEMU's error.
func (vm *VM) CmdError(cmd string, args any) *async.ExecuteError {
	vm.it.Helper()
	ctx, cancel := vm.it.withTimeout()
	defer cancel()
	vm.it.note(vm.name + ": " + command(cmd, args))
	value, err := vm.Machine.Command(ctx, cmd, args)
	var refused *async.ExecuteError
	switch {
	case err == nil:
		vm.fail("QEMU had to refuse the command, but it succeeded", "command", command(cmd, args), "reply", FormatJSON(Dict{"return": value}))
	case !errors.As(err, &refused):
		vm.fail(err.Error(), "command", command(cmd, args))
	}
	return refused
}

// CmdInto is [VM.Cmd], with the value decoded into a T by the rule of [async.Call].
func CmdInto[T any](vm *VM, cmd string, args any) T {
	vm.it.Helper()
	return Get[T](vm.it, Dict{"return": vm.Cmd(cmd, args)}, "return")
}

// QMPLog is [VM.QMP], and logs the command and the reply, both changed by the filters. As
// in an iotest the logged command always has arguments, {} if there are none.
func (vm *VM) QMPLog(cmd string, args any, filters ...Filter) Dict {
	vm.it.Helper()
	return vm.qmpLog(vm.it.Log, cmd, args, filters)
}

// QMPLogIndent is [VM.QMPLog], and logs command and reply on several lines each.
func (vm *VM) QMPLogIndent(cmd string, args any, filters ...Filter) Dict {
	vm.it.Helper()
	return vm.qmpLog(vm.it.LogIndent, cmd, args, filters)
}

func (vm *VM) qmpLog(log func(any, ...Filter), cmd string, args any, filters []Filter) Dict {
	vm.it.Helper()
	logged := message(cmd, args)
	if len(logged) == 1 {
		logged = append(logged, async.Member{Name: "arguments", Value: Dict{}})
	}
	log(logged, filters...)
	reply := vm.QMP(cmd, args)
	log(reply, filters...)
	return reply
}

// message returns a command as it is sent, "execute" before "arguments".
func message(cmd string, args any) async.Members {
	m := async.Members{{Name: "execute", Value: cmd}}
	underscores := false
	if a, ok := args.(machine.Args); ok {
		args, underscores = sentArgs(a), true
	}
	if args != nil {
		m = append(m, async.Member{Name: "arguments", Value: OrderedQMP(args, underscores)})
	}
	return m
}

// sentArgs returns the args that are sent. If two names differ only by '_' and '-',
// [machine.Args] sends one of them.
func sentArgs(args machine.Args) Dict {
	sent, taken := make(Dict, len(args)), make(map[string]bool, len(args))
	for _, name := range slices.Sorted(maps.Keys(args)) {
		if dashed := strings.ReplaceAll(name, "_", "-"); !taken[dashed] {
			taken[dashed] = true
			sent[name] = args[name]
		}
	}
	return sent
}

// command returns a command as JSON, for failures.
func command(cmd string, args any) string {
	return string(secrets.InFailure([]byte(FormatJSON(message(cmd, args)))))
}

// HMP executes a line of the human monitor and returns what QEMU prints, unchanged. A line
// that failed does not fail the test: the human monitor has no status. [VM.HMPCmd]
// recognizes failures by their text.
func (vm *VM) HMP(line string) string {
	vm.it.Helper()
	if vm.daemon {
		vm.fail("a storage daemon has no human monitor", "command", secrets.Line(line))
	}
	return CmdInto[string](vm, "human-monitor-command", Dict{"command-line": line})
}

// HMPLog is [VM.HMP], and logs the command human-monitor-command and its reply as
// [VM.QMPLog] does.
func (vm *VM) HMPLog(line string, filters ...Filter) string {
	vm.it.Helper()
	if vm.daemon {
		vm.fail("a storage daemon has no human monitor", "command", secrets.Line(line))
	}
	reply := vm.QMPLog("human-monitor-command", Dict{"command-line": line}, filters...)
	return Get[string](vm.it, reply, "return")
}

// HMPQemuIO executes a command of qemu-io, such as "write 0 64k", inside the VM, on a
// drive or a node. It returns what QEMU printed, and what qemu-io printed. A command that
// failed does not fail the test. For commands that have to succeed use [VM.IO].
//
// A command such as aio_write goes on in the background, and prints its result later.
// The next call returns that text.
func (vm *VM) HMPQemuIO(drive, command string) string {
	vm.it.Helper()
	refusal, output := vm.qemuIO(drive, command)
	return refusal + output
}

// HMPQemuIODevice is [VM.HMPQemuIO] on the drive of a device. device is the id or the QOM
// path of the device.
func (vm *VM) HMPQemuIODevice(device, command string) string {
	vm.it.Helper()
	return vm.HMPQemuIO("-d "+device, command)
}

// HMPQemuIOLog is [VM.HMPQemuIO], and logs the command human-monitor-command and its
// reply as [VM.QMPLog] does. It does not log what qemu-io prints, which is not in the
// reply but on QEMU's standard output.
func (vm *VM) HMPQemuIOLog(drive, command string, filters ...Filter) string {
	vm.it.Helper()
	vm.noteBreak(command)
	refusal := vm.HMPLog(qemuIOLine(drive, command), filters...)
	return strings.ReplaceAll(refusal, "\r\n", "\n") + vm.newOutput()
}

// qemuIOLine returns the line of the human monitor that executes a command of qemu-io.
func qemuIOLine(target, command string) string { return "qemu-io " + target + ` "` + command + `"` }

// qemuIO executes a command of qemu-io inside the VM. refusal says why QEMU did not
// execute it, and is "" if it did. output is what the command has written to the standard
// output of the process.
func (vm *VM) qemuIO(target, command string) (refusal, output string) {
	vm.it.Helper()
	vm.noteBreak(command)
	refusal = vm.HMP(qemuIOLine(target, command))
	return strings.ReplaceAll(refusal, "\r\n", "\n"), vm.newOutput()
}

// newOutput returns what the process has written since the last call.
func (vm *VM) newOutput() string {
	log := vm.Machine.Log()
	text := log[min(vm.seen, len(log)):]
	vm.seen = len(log)
	return text
}

// IO executes commands of qemu-io inside the VM, on a drive or a node, and returns their
// output. The test fails unless all commands succeed. A read with a pattern succeeds only
// if it finds that pattern. Each read and write has to print what it has done, unless it
// has the option -q. If a command goes on in the background, as aio_write does, IO does
// not find out whether it succeeds.
func (vm *VM) IO(drive string, commands ...string) string {
	vm.it.Helper()
	vm.newOutput() // earlier output does not belong to these commands
	var all strings.Builder
	for _, c := range commands {
		refusal, output := vm.qemuIO(drive, c)
		if refusal != "" || ioFailed(output) || ioSilent(c, output) {
			vm.it.fail(vm.name+": qemu-io failed", "drive", drive, "command", c, "output", refusal+output)
		}
		all.WriteString(output)
	}
	return all.String()
}

// ioDump matches a line of the hex dump that the option -v of read prints.
var ioDump = regexp.MustCompile(`^[0-9a-f]{8,}:  [0-9a-f]{2} `)

// ioFailed reports whether the output of a command of qemu-io says that it failed. The
// human monitor has no status, so ioFailed looks for words.
func ioFailed(text string) bool {
	for line := range strings.Lines(strings.ToLower(text)) {
		if ioDump.MatchString(line) {
			continue // bytes of the disk may look like any word
		}
		for _, sign := range []string{"failed", "not found", "could not", "cannot", "invalid", "bad argument", "usage", "error", "no such"} {
			if strings.Contains(line, sign) {
				return true
			}
		}
	}
	return false
}

// ioSilent reports whether a read or write without the option -q has no output. As such
// a command always prints what it has done, its output has been lost then, and nobody
// knows whether it worked.
func ioSilent(command, output string) bool {
	words := strings.Fields(command)
	if len(words) == 0 || !slices.Contains([]string{"read", "r", "readv", "write", "w", "writev"}, words[0]) {
		return false
	}
	quiet := slices.ContainsFunc(words[1:], func(word string) bool {
		return strings.HasPrefix(word, "-") && strings.Contains(word, "q")
	})
	return !quiet && strings.TrimSpace(output) == ""
}

// Events removes all events from the queue and returns them. It does not wait. When a
// call returns a reply, the queue has all events that came before that reply.
func (vm *VM) Events() []Dict { return vm.Machine.Events() }

// ClearEvents drops all events in the queue.
func (vm *VM) ClearEvents() { vm.Machine.ClearEvents() }

// EventWait removes from the queue the oldest event that has the given name and matches
// pattern, by [machine.Match], and returns it. If there is none, it waits for one. A nil
// pattern matches all. Other events stay in the queue. If this QEMU has no event of that
// name, the test fails immediately.
func (vm *VM) EventWait(name string, pattern any) Dict {
	vm.it.Helper()
	return vm.EventsWait(machine.EventMatch{Name: name, Pattern: pattern})
}

// EventsWait is [VM.EventWait] for the oldest event that one of matches describes.
func (vm *VM) EventsWait(matches ...machine.EventMatch) Dict {
	vm.it.Helper()
	event, ok := vm.takeEvent(matches...)
	if ok {
		return event
	}
	if len(matches) == 0 {
		vm.fail("EventsWait needs at least one description of an event")
	}
	ctx, cancel := vm.it.withTimeout()
	defer cancel()
	for _, m := range matches {
		vm.mustKnowEvents(ctx, m.Name)
	}
	event, err := vm.Machine.EventsWait(ctx, matches...)
	if err != nil {
		vm.noEvent(err, matches)
	}
	return event
}

// noEvent fails the test because a wait for an event has ended with err.
func (vm *VM) noEvent(err error, matches []machine.EventMatch) {
	vm.it.Helper()
	var wanted []string
	jobs := ""
	for _, m := range matches {
		wanted = append(wanted, m.Name+" "+FormatJSON(m.Pattern))
		if strings.HasPrefix(m.Name, "JOB_") || strings.HasPrefix(m.Name, "BLOCK_JOB_") {
			jobs = vm.tryCommand("query-jobs")
		}
	}
	vm.fail(err.Error(), "waited for", strings.Join(wanted, "\n"), "jobs", jobs)
}

// takeEvent removes from the queue the oldest event that one of matches describes, and
// returns it. If there is none, ok is false: takeEvent does not wait. The test fails only
// if a pattern cannot be encoded. If the machine has ended, the next call that waits
// reports that.
func (vm *VM) takeEvent(matches ...machine.EventMatch) (event Dict, ok bool) {
	vm.it.Helper()
	for _, m := range matches {
		if _, err := normalize(m.Pattern); err != nil {
			vm.fail(fmt.Sprintf("the pattern for %s cannot be encoded: %v", m.Name, err))
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	event, err := vm.Machine.EventsWait(ended, matches...)
	return event, err == nil
}

// tryCommand executes a command without arguments and returns its value as JSON, to be shown
// in a failure. It waits for at most 5 seconds, as the VM may not answer any more.
func (vm *VM) tryCommand(cmd string) string {
	if !vm.Machine.Running() {
		return ""
	}
	ctx, cancel := context.WithTimeout(vm.it.Context(), min(vm.it.timeout, 5*time.Second))
	defer cancel()
	value, err := vm.Machine.Command(ctx, cmd, nil)
	if err != nil {
		return err.Error()
	}
	return FormatJSON(value)
}

// eventNames returns the names of events, separated by blanks.
func eventNames(events []Dict) string {
	names := make([]string, len(events))
	for i, event := range events {
		names[i] = fmt.Sprint(event["event"])
	}
	return strings.Join(names, " ")
}

// EventsLog removes all events from the queue, logs those of the given names, and returns
// all. Without names it logs all.
func (vm *VM) EventsLog(names ...string) []Dict {
	events := vm.Events()
	for _, event := range events {
		name, _ := event["event"].(string)
		if len(names) == 0 || slices.Contains(names, name) {
			vm.it.Log(event)
		}
	}
	return events
}

// NoEvent fails the test if the queue has an event that has the given name and matches
// pattern, as for [VM.EventWait]. It first executes a command, so that the queue has
// every event that QEMU has sent before. It does not wait for later events: call it
// after a command whose reply QEMU sends only after the event would have been sent.
//
// NoEvent also fails the test if it cannot tell: the VM does not answer, this QEMU has
// no such event, or pattern cannot be encoded.
func (vm *VM) NoEvent(name string, pattern any) {
	vm.it.Helper()
	ctx, cancel := vm.it.withTimeout()
	defer cancel()
	if _, err := vm.Machine.Command(ctx, "query-version", nil); err != nil {
		vm.fail("cannot tell whether QEMU has sent the event "+name+": "+err.Error(), "pattern", FormatJSON(pattern))
	}
	vm.mustKnowEvents(ctx, name)
	if event, ok := vm.takeEvent(machine.EventMatch{Name: name, Pattern: pattern}); ok {
		vm.fail("unexpected event", "event", FormatJSON(event))
	}
}

// PassFD sends the descriptor of an open file to the VM, with the command add-fd. QEMU
// puts it into a new descriptor set. PassFD returns the name of that set,
// "/dev/fdset/N", which commands take as a file name. query-fdsets shows note. The caller
// still owns f, and closes it.
//
// QEMU has to open the set in exactly the mode in which f was opened: see
// [machine.Machine.PassFD].
func (vm *VM) PassFD(f *os.File, note string) string {
	vm.it.Helper()
	ctx, cancel := vm.it.withTimeout()
	defer cancel()
	set, err := vm.Machine.PassFD(ctx, f, note)
	if err != nil {
		vm.fail(err.Error(), "command", command("add-fd", Dict{"opaque": note}))
	}
	return set
}
