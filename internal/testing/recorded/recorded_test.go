package recorded_test

import (
	"context"
	stdjson "encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/qapitest"
	"github.com/goqmp/qmp/internal/testing/recorded"
	"github.com/goqmp/qmp/qapi"
	"github.com/goqmp/qmp/qapi/qga"
	"github.com/goqmp/qmp/qapi/support"
)

// A misfit is a way in which a reply or event does not fit the schema.
type misfit string

const (
	fits      misfit = ""
	short     misfit = "it lacks members that the schema requires" // what it has is kept
	otherType misfit = "it is of another type"                     // decoding it is an error
	noResult  misfit = "the command has no result"
)

// marks is why most scripts of the recorded scenarios do not fit.
const marks = `the scenario is about connections and ids; a value such as {"n": 1} only tells one reply from another`

// fabricated has the replies and events that no QEMU has sent and that do not fit the
// schema. Everything else has to. file is the beginning of the file's name.
var fabricated = []struct {
	file, name string
	misfit     misfit
	reason     string
}{
	{"legacy/testdata/scenarios/", "query-status", short, marks},
	{"legacy/testdata/scenarios/disconnect-close-then-connect-again.json", "query-status", otherType, marks},
	{"legacy/testdata/scenarios/cmd-quit-with-shutdown-event-and-eof.json", "SHUTDOWN", short, "the scenario is about the end of file; the event is only a name"},
	{"legacy/protocol_test.go", "SHUTDOWN", short, "the test is about the end of file; the event is only a name"},
	{"internal/testing/transcripts/exceptions.go", "query-status", short, marks},
	{"compat/iotests/testdata/helpers.json", "BLOCK_JOB_COMPLETED", short, "a pattern for events, not an event"},
	{"compat/iotests/testdata/helpers.json", "BLOCK_JOB_READY", short, "a pattern for events, or an event with only the members that patterns ask for"},
	{"compat/machine/testdata/helpers.json", "BLOCK_JOB_COMPLETED", short, "a pattern for events, not an event"},
	{"compat/machine/testdata/helpers.json", "BLOCK_JOB_READY", short, "a pattern for events, or an event with only the members that patterns ask for"},
	{"compat/machine/fuzz_test.go", "BLOCK_JOB_READY", short, "the seed of a fuzz test, which changes it anyway"},
	{"async/rule_e05_listener_test.go", "BLOCK_JOB_READY", short, "the test is about how a large integer is decoded"},
	{"async/rule_e11_quit_test.go", "SHUTDOWN", short, "the test is about how a connection ends; the event is only a name"},
	{"async/rule_e15_files_unix_test.go", "add-fd", short, "the test is about file descriptors, and does not read the value"},
	{"async/rule_e15_files_unix_test.go", "add-fd", otherType, "the test is about file descriptors; the value only tells one reply from another"},
	{"async/rule_e15_sendmsg_unix_test.go", "add-fd", short, "the test is about file descriptors, and does not read the value"},
	{"async/rule_e16_hooks_test.go", "set_password", noResult, "the test is about tracers; the value only tells one reply from another"},
	{"async/rule_e16_tracer_unix_test.go", "set_password", noResult, "the test is about tracers; the value only tells one reply from another"},
	{"async/rule_e16_secrets_test.go", "query-status", short, "the test is about which values a log shows"},
	{"async/rule_e16_secrets_test.go", "guest-file-read", short, "the test is about which values a log shows"},
	{"async/agent/resync_test.go", "guest-info", otherType, "the test is about an agent that sends nonsense"},
	{"async/group/scale_test.go", "query-status", short, "the test is about the number of members, and does not read the value"},
	{"async/record/record_test.go", "query-status", short, "the test is about the form of recordings, and does not read the value"},
	{"qapi/badinput_test.go", "JOB_STATUS_CHANGE", otherType, "the test is about an event that does not fit"},
}

// The law: each reply and each event that this project has recorded, and each that its
// tests have as a text, decodes and encodes to the same JSON.
func TestLaw(t *testing.T) {
	t.Parallel()
	results := make(map[string]func() any)
	for _, c := range append(qapi.Commands(), qga.Commands()...) {
		results[c.Name] = c.NewResult
	}
	events := make(map[string]func() any)
	for _, e := range qapi.Events() {
		events[e.Name] = e.New
	}
	var (
		replied, happened = make(map[string]int), make(map[string]int) // how many fit, by name
		excused           = make([]int, len(fabricated))
		unpaired, invents int
	)
	for _, r := range recorded.Read(t, "../../..") {
		newValue, known := results[r.Command]
		count := replied
		if r.Event != "" {
			newValue, known = events[r.Event]
			count = happened
			if r.Value == nil {
				r.Value = []byte("{}") // an event without data
			}
		}
		name := r.Command + r.Event
		switch {
		case name == "":
			unpaired++
			continue
		case !known:
			invents++ // the name is a test's own
			continue
		}
		how, detail := keeps(t, r.Value, newValue)
		if how == fits {
			count[name]++
			continue
		}
		found := false
		for i, f := range fabricated {
			if strings.HasPrefix(r.File, f.file) && name == f.name && how == f.misfit {
				excused[i]++
				found = true
				break
			}
		}
		if !found {
			t.Errorf("%s: %s: %s: %s\n%s", r.File, name, how, r.Value, detail)
		}
	}
	for i, f := range fabricated {
		if excused[i] == 0 {
			t.Errorf("%s has no %s for the reason: %s; remove it from the list", f.file, f.name, f.reason)
		}
		t.Logf("%s: %d of %s: %s: %s", f.file, excused[i], f.name, f.misfit, f.reason)
	}
	t.Logf("replies that fit: %v", replied)
	t.Logf("events that fit: %v", happened)
	t.Logf("%d replies do not say which command they answer; %d replies and events have a name that is neither a command nor an event of QEMU", unpaired, invents)
	delete(replied, "qmp_capabilities") // most scripts begin with it, and its reply is empty
	atLeast(t, "replies", replied, 130, 33)
	atLeast(t, "events", happened, 100, 10)
}

// atLeast checks that enough was checked, of enough names.
func atLeast(t *testing.T, what string, checked map[string]int, total, names int) {
	t.Helper()
	n := 0
	for of := range maps.Values(checked) {
		n += of
	}
	t.Logf("%d %s with %d names", n, what, len(checked))
	if n < total || len(checked) < names {
		t.Errorf("only %d %s with %d names were checked, want at least %d with %d", n, what, len(checked), total, names)
	}
}

// The same holds for the replies and events of the simulated machine, which are computed.
func TestSimulatedMachine(t *testing.T) {
	t.Parallel()
	vm := qmptest.Start(t, nil)
	c, err := async.Dial(t.Context(), vm.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	listener := c.NewListener(nil)
	defer listener.Close()
	known, err := qapi.QueryCommands(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	offered := make(map[string]bool)
	for _, info := range known {
		offered[info.Name] = true
	}
	replied := make(map[string]int)
	for _, info := range qapi.Commands() {
		if !offered[info.Name] || info.NewResult == nil {
			continue
		}
		cmd := async.Command{Name: info.Name}
		if info.Name == "human-monitor-command" {
			cmd.Args = qapi.HumanMonitorCommandArguments{CommandLine: "info status"}
		}
		reply, err := c.Do(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		value, err := reply.Value()
		if err != nil {
			t.Fatalf("%s: %v", info.Name, err)
		}
		if how, detail := keeps(t, value, info.NewResult); how != fits {
			t.Errorf("%s: %s: %s\n%s", info.Name, how, value, detail)
		}
		replied[info.Name]++
	}
	atLeast(t, "replies", replied, 7, 7)

	newEvent := make(map[string]func() any)
	for _, e := range qapi.Events() {
		newEvent[e.Name] = e.New
	}
	happened := make(map[string]int)
	for _, do := range []func(context.Context, async.Caller) error{qapi.Stop, qapi.Cont, qapi.SystemReset, qapi.SystemPowerdown, qapi.Quit} {
		if err := do(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for ev, err := range listener.All(t.Context()) {
		if err != nil {
			break // the machine has quit
		}
		happened[ev.Name]++
		if ev.Data == nil {
			continue
		}
		if how, detail := keeps(t, ev.Data, newEvent[ev.Name]); how != fits {
			t.Errorf("%s: %s: %s\n%s", ev.Name, how, ev.Data, detail)
		}
	}
	atLeast(t, "events", happened, 5, 5)
}

// keeps decodes a value and encodes it again. It says how the value does not fit. A value
// that only lacks members must keep those that it has.
func keeps(t *testing.T, value []byte, newValue func() any) (_ misfit, detail string) {
	t.Helper()
	if newValue == nil {
		if qapitest.SameJSON(t, value, []byte("{}")) {
			return fits, ""
		}
		return noResult, ""
	}
	v := newValue()
	if err := support.Unmarshal(value, v); err != nil {
		return otherType, err.Error()
	}
	again, err := json.Marshal(v)
	if err != nil {
		return "it cannot be encoded", err.Error()
	}
	if qapitest.SameJSON(t, value, again) {
		return fits, ""
	}
	var had, has map[string]stdjson.RawMessage
	if stdjson.Unmarshal(value, &had) == nil && stdjson.Unmarshal(again, &has) == nil && len(had) < len(has) {
		for name, member := range had {
			if !qapitest.SameJSON(t, member, has[name]) {
				return "member " + misfit(name) + " is changed", string(again)
			}
		}
		return short, ""
	}
	return "it is changed", string(again)
}
