package agent_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/qapi/qga"
)

var update = flag.Bool("update", false, "write the table of faults in docs/recipes/agent.md")

// recorded is what an agent of QEMU 7.2 sent in a session: after the resynchronization,
// and in reply to each command. The list of commands is shortened.
var recorded = []struct{ asked, reply string }{
	{"guest-sync-delimited", `{"error": {"class": "GenericError", "desc": "JSON parse error, stray '\uFFFD'"}}` + "\n\xff" + `{"return": $number}` + "\n"},
	{"guest-info", `{"return": {"version": "7.2.22", "supported_commands": [{"enabled": true, "name": "guest-exec", "success-response": true}, ` +
		`{"enabled": true, "name": "guest-exec-status"}, {"enabled": true, "name": "guest-sync"}, {"enabled": true, "name": "guest-ping"}]}, "id": $id}` + "\n"},
	{"guest-exec", `{"return": {"pid": 5835}, "id": $id}` + "\n"},
	{"guest-exec-status", `{"return": {"exitcode": 0, "out-data": "aGkK", "exited": true}, "id": $id}` + "\n"},
	{"guest-ping", `{"return": {}, "id": $id}` + "\n"},
}

// What happens at a byte of the session. Each returns whether the agent goes on with the
// session after it.
var faultKinds = []struct {
	name   string
	happen func(conn *qmptest.PipeConn) (goOn bool)
}{
	{"end of file", func(conn *qmptest.PipeConn) bool { conn.Close(); return false }},
	{"reset", func(conn *qmptest.PipeConn) bool { conn.Reset(); return false }},
	{"stall", func(*qmptest.PipeConn) bool { return false }},
	{"garbage, the byte 0", func(conn *qmptest.PipeConn) bool { _, _ = conn.Write([]byte{0}); return true }},
	{"a pause of a second", func(*qmptest.PipeConn) bool { time.Sleep(time.Second); return true }},
	{"the agent restarts", nil},
}

// A faultyAgent plays the session, and one fault at one byte of it.
type faultyAgent struct {
	conn    *qmptest.PipeConn
	part    string // the command whose reply has the fault; "" after the fault
	at      int    // how many bytes of that reply come before the fault, as recorded has it
	kind    int    // of faultKinds
	stalled bool   // it only reads
}

// serve plays the session until the client hangs up.
func (f *faultyAgent) serve() {
	defer f.conn.Close()
	var got []byte
	buf := make([]byte, 4096)
	for {
		n, err := f.conn.Read(buf)
		if err != nil {
			return
		}
		got = append(got, buf[:n]...)
		if message := strings.ReplaceAll(string(got), "\xff", ""); json.Valid([]byte(message)) {
			got = nil
			f.answer(message)
		}
	}
}

func (f *faultyAgent) answer(message string) {
	var command struct {
		Execute   string
		Arguments struct{ ID int64 }
		ID        int64
	}
	if err := json.Unmarshal([]byte(message), &command); err != nil {
		panic(err)
	}
	fill := strings.NewReplacer("$number", fmt.Sprint(command.Arguments.ID), "$id", fmt.Sprint(command.ID))
	send := func(text string) { _, _ = f.conn.Write([]byte(fill.Replace(text))) }
	reply := `{"return": $number, "id": $id}` + "\n" // to guest-sync
	for _, r := range recorded {
		if r.asked == command.Execute {
			reply = r.reply
		}
	}
	switch {
	case f.stalled:
		return
	case f.part != command.Execute:
		send(reply)
		return
	}
	f.part = ""
	send(reply[:f.at])
	time.Sleep(time.Millisecond) // until the client waits for what comes next
	switch happen := faultKinds[f.kind].happen; {
	case happen == nil: // the rest of this reply is lost, and the next one comes whole
	case happen(f.conn):
		send(reply[f.at:])
	default:
		f.stalled = true
	}
}

// places returns the places in a recorded reply at which a fault can happen: before each
// byte. A number and an id have different lengths on the wire, so they count as one byte.
func places(reply string) (all []int) {
	for at := 0; at < len(reply); at++ {
		all = append(all, at)
		for _, name := range []string{"$number", "$id"} {
			if strings.HasPrefix(reply[at:], name) {
				at += len(name) - 1
			}
		}
	}
	return all
}

// whatCallersSee plays the session with a fault, and returns what each call returned.
func whatCallersSee(t *testing.T, part string, at, kind int) (seen string) {
	synctest.Test(t, func(t *testing.T) {
		client, server := qmptest.Pipe()
		f := &faultyAgent{conn: server, part: part, at: at, kind: kind}
		served := make(chan struct{})
		go func() {
			f.serve()
			close(served)
		}()
		defer func() { <-served }() // the client has closed its connection
		call := func(what string, limit time.Duration, f func(ctx context.Context) error) bool {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			err := f(ctx)
			if seen != "" {
				seen += "<br>"
			}
			seen += what + ": " + nameOf(err)
			return err == nil
		}
		var a *agent.Client
		connected := call("Dial", 100*time.Second, func(ctx context.Context) (err error) {
			a, err = agent.Attach(ctx, client, nil)
			return err
		})
		if !connected {
			return
		}
		call("Output", 40*time.Second, func(ctx context.Context) error {
			out, err := a.Command(ctx, "echo", "hi").Output()
			if err == nil && string(out) != "hi\n" {
				t.Errorf("byte %d of %s: the output is %q", at, part, out)
			}
			return err
		})
		call("guest-ping", 40*time.Second, func(ctx context.Context) error { return qga.GuestPing(ctx, a) })
		_ = a.Close()
	})
	return seen
}

// nameOf names an error as errors.As and errors.Is find it.
func nameOf(err error) string {
	if err == nil {
		return "no error"
	}
	var names []string
	interrupted, ok := errors.AsType[*async.ExecInterruptedError](err)
	for _, known := range []struct {
		name string
		is   bool
	}{
		{"LostReplyError", errors.As(err, new(*agent.LostReplyError))},
		{"LostProcessError", errors.As(err, new(*agent.LostProcessError))},
		{"ConnectError", errors.As(err, new(*async.ConnectError))},
		{"StateError", errors.As(err, new(*async.StateError))},
		{"ExecInterruptedError", ok},
		{"(sent)", ok && interrupted.Sent},
		{"MessageError", errors.As(err, new(*async.MessageError))},
		{"io.EOF", errors.Is(err, io.EOF)},
		{"ECONNRESET", errors.Is(err, syscall.ECONNRESET)},
		{"context.DeadlineExceeded", errors.Is(err, context.DeadlineExceeded)},
	} {
		if known.is {
			names = append(names, known.name)
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf("%T", err)
	}
	return strings.ReplaceAll(strings.Join(names, ", "), ", (sent)", " (sent)")
}

// TestFaults plays each fault at every byte of the recorded session, and compares what the
// callers see with the table in docs/recipes/agent.md. With -update, and without the race
// detector, it writes the table.
func TestFaults(t *testing.T) {
	const page, begin, end = "../../docs/recipes/agent.md", "<!-- The faults: written by TestFaults of async/agent, with -update. -->\n", "<!-- The end of the faults. -->\n"
	step, all := 1, !testing.Short() && !underRace
	if !all {
		step = 11 // the race detector makes this slow; `make cover` plays all
	}
	counts := make(map[[2]string]map[string]int) // by kind and part of the session
	for kind, k := range faultKinds {
		for _, part := range recorded {
			row := [2]string{k.name, part.asked}
			counts[row] = make(map[string]int)
			for i, at := range places(part.reply) {
				if i%step == 0 {
					counts[row][whatCallersSee(t, part.asked, at, kind)]++
				}
			}
		}
	}
	var table strings.Builder
	table.WriteString("\n| before each byte of | happens | the callers see | times |\n| --- | --- | --- | --- |\n")
	for _, k := range faultKinds {
		for _, part := range recorded {
			seen := counts[[2]string{k.name, part.asked}]
			for _, what := range slices.SortedFunc(maps.Keys(seen), func(a, b string) int {
				return cmp.Or(cmp.Compare(seen[b], seen[a]), cmp.Compare(a, b))
			}) {
				fmt.Fprintf(&table, "| the reply to %s | %s | %s | %d |\n", part.asked, k.name, what, seen[what])
			}
		}
	}
	table.WriteString("\n")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	want, after, ok2 := strings.Cut(rest, end)
	switch {
	case !ok1 || !ok2:
		t.Fatalf("%s does not have %q and %q", page, begin, end)
	case !all:
		for line := range strings.Lines(table.String()) {
			if cut := strings.LastIndex(strings.TrimSuffix(line, " |\n"), "|"); cut > 0 && !strings.Contains(want, line[:cut]) {
				t.Errorf("%s does not have: %s", page, line)
			}
		}
	case *update:
		if err := os.WriteFile(page, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	case want != table.String():
		t.Errorf("the table in %s differs; if this is intended: go test ./async/agent -run TestFaults -update; got\n%s", page, &table)
	}
}
