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
)

// QMP executes a command and returns the whole reply, which may be an error reply:
// what an iotest calls vm.qmp. args is nil, a [Dict], machine.Args for names with
// underscores, or anything that encodes to a JSON object. The test fails only if
// there is no reply.
func (vm *VM) QMP(cmd string, args any) Dict {
	vm.it.Helper()
	ctx, cancel := vm.it.patience()
	defer cancel()
	vm.it.note(vm.name + ": " + command(cmd, args))
	reply, err := vm.Machine.QMP(ctx, cmd, args)
	if err != nil {
		vm.fail(err.Error(), "command", command(cmd, args))
	}
	return reply
}

// Cmd executes a command, which has to succeed, and returns its value: what an
// iotest calls vm.cmd.
func (vm *VM) Cmd(cmd string, args any) any {
	vm.it.Helper()
	reply := vm.QMP(cmd, args)
	value, ok := reply["return"]
	if !ok {
		vm.fail("the command failed", "command", command(cmd, args), "reply", FormatJSON(reply))
	}
	return value
}

// CmdError executes a command, which has to be refused, and returns the refusal.
func (vm *VM) CmdError(cmd string, args any) *async.ExecuteError {
	vm.it.Helper()
	ctx, cancel := vm.it.patience()
	defer cancel()
	vm.it.note(vm.name + ": " + command(cmd, args))
	value, err := vm.Machine.Command(ctx, cmd, args)
	var refused *async.ExecuteError
	switch {
	case err == nil:
		vm.fail("the command was to be refused, but succeeded", "command", command(cmd, args), "reply", FormatJSON(Dict{"return": value}))
	case !errors.As(err, &refused):
		vm.fail(err.Error(), "command", command(cmd, args))
	}
	return refused
}

// CmdInto is Cmd with the value decoded into a T, by the rule of [async.Call].
func CmdInto[T any](vm *VM, cmd string, args any) T {
	vm.it.Helper()
	return Get[T](vm.it, Dict{"return": vm.Cmd(cmd, args)}, "return")
}

// QMPLog is [VM.QMP] with command and reply logged. The filters go over both. The
// logged command always has arguments, as it has in an iotest: {} where there are
// none.
func (vm *VM) QMPLog(cmd string, args any, filters ...Filter) Dict {
	vm.it.Helper()
	return vm.qmpLog(vm.it.Log, cmd, args, filters)
}

// QMPLogIndent is QMPLog with command and reply over several lines.
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

// message returns a command as it is sent, members in the order that people
// expect.
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

// sentArgs returns args without those that [machine.Args] does not send because
// another one has the same name on the wire.
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

func command(cmd string, args any) string { return FormatJSON(message(cmd, args)) }

// HMP executes a command of the human monitor and returns what it writes there.
func (vm *VM) HMP(line string) string {
	vm.it.Helper()
	if vm.daemon {
		vm.fail("a storage daemon has no human monitor", "command", line)
	}
	return CmdInto[string](vm, "human-monitor-command", Dict{"command-line": line})
}

// HMPLog is HMP with the command human-monitor-command and its reply logged, as by
// [VM.QMPLog].
func (vm *VM) HMPLog(line string, filters ...Filter) string {
	vm.it.Helper()
	if vm.daemon {
		vm.fail("a storage daemon has no human monitor", "command", line)
	}
	reply := vm.QMPLog("human-monitor-command", Dict{"command-line": line}, filters...)
	return Get[string](vm.it, reply, "return")
}

// HMPQemuIO executes a command of qemu-io, such as "write 0 64k", inside the VM,
// on a drive or a node, and returns what QEMU and qemu-io said about it. There is no
// status: [VM.IO] is for commands that have to succeed.
//
// Commands that go on in the background, such as aio_write, write what became of
// them later, and it is returned by whichever call is next.
func (vm *VM) HMPQemuIO(drive, command string) string {
	vm.it.Helper()
	refusal, output := vm.qemuIO(drive, command)
	return refusal + output
}

// HMPQemuIODevice is HMPQemuIO on what a device has, by the device's id or path.
func (vm *VM) HMPQemuIODevice(device, command string) string {
	vm.it.Helper()
	return vm.HMPQemuIO("-d "+device, command)
}

// HMPQemuIOLog is HMPQemuIO with the command human-monitor-command and its reply
// logged, as by [VM.QMPLog]. What qemu-io writes is not logged: it goes to the
// process's standard output.
func (vm *VM) HMPQemuIOLog(drive, command string, filters ...Filter) string {
	vm.it.Helper()
	vm.noteBreak(command)
	refusal := vm.HMPLog(qemuIOLine(drive, command), filters...)
	return strings.ReplaceAll(refusal, "\r\n", "\n") + vm.newOutput()
}

// qemuIOLine is the line of the human monitor for a command of qemu-io.
func qemuIOLine(target, command string) string { return "qemu-io " + target + ` "` + command + `"` }

// qemuIO returns why QEMU did not even begin with a command, or "", and what the
// command wrote, which goes to the process's standard output.
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

// IO executes commands of qemu-io inside the VM, on a drive or a node, and fails
// the test unless all of them succeed, also where a read with a pattern finds
// another, and unless each read and write says what it has done (those with the
// option -q do not). It returns what they wrote. A command that is not done when QEMU
// answers, such as aio_write, is not judged.
func (vm *VM) IO(drive string, commands ...string) string {
	vm.it.Helper()
	vm.newOutput() // what came before is not theirs
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

// ioDump matches a line in which the option -v of read shows bytes of the disk.
var ioDump = regexp.MustCompile(`^[0-9a-f]{8,}:  [0-9a-f]{2} `)

// ioFailed reports whether a command of qemu-io says that it did not work. Its
// words are all there is: the human monitor has no status for it.
func ioFailed(text string) bool {
	for line := range strings.Lines(strings.ToLower(text)) {
		if ioDump.MatchString(line) {
			continue // what the disk holds may be any words
		}
		for _, sign := range []string{"failed", "not found", "could not", "cannot", "invalid", "bad argument", "usage", "error", "no such"} {
			if strings.Contains(line, sign) {
				return true
			}
		}
	}
	return false
}

// ioSilent reports whether a command that always says what it has done has said
// nothing: then its output was not seen, and cannot tell whether it worked.
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

// Events takes all events that are there and waits for none. Events that came
// before a reply are there when the call that got it returns.
func (vm *VM) Events() []Dict { return vm.Machine.Events() }

// ClearEvents drops all events that are there.
func (vm *VM) ClearEvents() { vm.Machine.ClearEvents() }

// EventWait takes the oldest event of that name which matches pattern, as
// [machine.Match] does it (nil matches all), and waits for one. Events that it
// passes over stay.
func (vm *VM) EventWait(name string, pattern any) Dict {
	vm.it.Helper()
	return vm.EventsWait(machine.EventMatch{Name: name, Pattern: pattern})
}

// EventsWait is EventWait for the oldest event that any of the descriptions
// matches. An event that this QEMU does not have fails the test at once.
func (vm *VM) EventsWait(matches ...machine.EventMatch) Dict {
	vm.it.Helper()
	event, ok := vm.takeEvent(matches...)
	if ok {
		return event
	}
	if len(matches) == 0 {
		vm.fail("no event is described that could be waited for")
	}
	ctx, cancel := vm.it.patience()
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
			jobs = vm.glance("query-jobs")
		}
	}
	vm.fail(err.Error(), "waited for", strings.Join(wanted, "\n"), "jobs", jobs)
}

// takeEvent takes the oldest event that one of the descriptions matches, if it is
// there. It does not wait, and fails the test only for a description that cannot be
// encoded: what a machine has to say that has ended comes to the next call that
// waits.
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

// glance returns what a command without arguments tells, for a failure. A VM that
// does not answer must not make that take long.
func (vm *VM) glance(cmd string) string {
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

// eventNames returns the names of events.
func eventNames(events []Dict) string {
	names := make([]string, len(events))
	for i, event := range events {
		names[i] = fmt.Sprint(event["event"])
	}
	return strings.Join(names, " ")
}

// EventsLog takes all events that are there, and logs those of the given names, or
// all if there are none.
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

// NoEvent fails the test if an event of that name which matches pattern is there.
// It asks QEMU something first, so that every event is there that QEMU has sent by
// then, and does not wait for later ones: call it after a command whose reply QEMU
// sends only after the event would have been sent. It also fails the test where it
// cannot tell: the VM does not answer, this QEMU has no such event, or pattern
// cannot be encoded.
func (vm *VM) NoEvent(name string, pattern any) {
	vm.it.Helper()
	ctx, cancel := vm.it.patience()
	defer cancel()
	if _, err := vm.Machine.Command(ctx, "query-version", nil); err != nil {
		vm.fail("whether there is an event "+name+" cannot be told: "+err.Error(), "pattern", FormatJSON(pattern))
	}
	vm.mustKnowEvents(ctx, name)
	if event, ok := vm.takeEvent(machine.EventMatch{Name: name, Pattern: pattern}); ok {
		vm.fail("an event that was not to come", "event", FormatJSON(event))
	}
}

// PassFD gives a file to the VM, along with the command add-fd, in a descriptor set
// of its own, and returns the set's name: "/dev/fdset/N", to be used as a file
// name. The file stays the caller's. note is what query-fdsets tells of it.
//
// The mode in which f was opened has to match exactly: see [machine.Machine.PassFD].
func (vm *VM) PassFD(f *os.File, note string) string {
	vm.it.Helper()
	ctx, cancel := vm.it.patience()
	defer cancel()
	set, err := vm.Machine.PassFD(ctx, f, note)
	if err != nil {
		vm.fail(err.Error(), "command", command("add-fd", Dict{"opaque": note}))
	}
	return set
}
