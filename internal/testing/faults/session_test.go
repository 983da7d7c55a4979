package faults

import (
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async/qmptest"
)

// session is what a server sends in a recorded session, in four parts: the
// beginning, the answer to qmp_capabilities, the answer to the command x, and the
// answer to the command y. The line end of a message stands at the beginning of the
// next part, so that every byte belongs to the part for which the client waits.
var session = []string{
	`{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "EARLY"}` + "\r\n" +
		`{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}`,
	"\r\n" + `{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "BETWEEN"}` + "\r\n" + `{"return": {}, "id": 1}`,
	"\r\n" + `{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP", "data": {"a": ["\"}\\", null]}}` + "\r\n" +
		`{"return": {"x": "}"}, "id": 2}`,
	"\r\n" + `{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "LATE"}` + "\r\n" +
		`{"id": 3, "error": {"class": "GenericError", "desc": "no"}}`,
}

// asks are the commands that the client sends before each part of the session.
var asks = []string{"", "qmp_capabilities", "x", "y"}

// last is the command that is pending after the last message.
const last = "z"

// first is how long the server sends nothing after the client has dialled. In that
// time the test begins to wait for events, which it cannot do before the connect.
const first = time.Second

// stages name the parts of the session on the page, and its end.
var stages = []string{"before the greeting is whole", "before qmp_capabilities is answered", "before the reply to a command is whole", "before an error reply is whole", "after the last message"}

// A place is one byte of the session, before which something happens.
type place struct {
	at     int      // how many bytes of the session come before it
	stage  int      // the part that it is in; len(session) is the end
	in     int      // how many bytes of that part come before it
	inside bool     // it is within a message
	events []string // the events before it
	steps  []qmptest.Step
}

// String is a prefix for failure texts.
func (p place) String() string {
	if p.steps == nil {
		return ""
	}
	return fmt.Sprintf("byte %d: ", p.at)
}

// places returns every place of the session, and its end.
func places() (all []place) {
	var at int
	var events []string
	for stage, part := range session {
		in := 0
		for line := range strings.SplitSeq(part, "\r\n") {
			for k := range line {
				all = append(all, place{at: at + in + k, stage: stage, in: in + k, inside: k > 0, events: events})
			}
			in += len(line)
			if _, name, ok := strings.Cut(line, `"event": "`); ok {
				name, _, _ = strings.Cut(name, `"`)
				events = append(slices.Clip(events), name)
			}
			for range "\r\n" {
				if in < len(part) {
					all = append(all, place{at: at + in, stage: stage, in: in, events: events})
					in++
				}
			}
		}
		at += len(part)
	}
	return append(all, place{at: at, stage: len(session), events: events})
}

// before returns the steps of the session up to p.
func (p place) before() []qmptest.Step {
	story := append([]qmptest.Step{qmptest.Pause(first)}, parts(0, p.stage)...)
	if p.stage < len(session) {
		story = append(story, ask(p.stage), qmptest.Send(session[p.stage][:p.in]))
	}
	return story
}

// after returns the steps of the session from p on.
func (p place) after() []qmptest.Step {
	if p.stage == len(session) {
		return nil
	}
	return append([]qmptest.Step{qmptest.Send(session[p.stage][p.in:])}, parts(p.stage+1, len(session))...)
}

// parts returns the steps of whole parts of the session.
func parts(from, to int) (story []qmptest.Step) {
	for i := from; i < to; i++ {
		story = append(story, ask(i), qmptest.Send(session[i]))
	}
	return story
}

// ask returns the step that waits for what the client sends before a part.
func ask(part int) qmptest.Step {
	if asks[part] == "" {
		return qmptest.Send("")
	}
	return qmptest.Expect(asks[part])
}

// everyByte returns the faults that happen at every byte of the session, one for
// each kind and part. When the fault happens, the connect or a command is pending,
// and so are a wait for events and a watch of the run state.
func everyByte() []fault {
	var faults []fault
	for _, kind := range []struct {
		what, between, inside string
		steps                 []qmptest.Step
	}{
		{"end of file", "io.EOF", "MessageError (cut off), io.ErrUnexpectedEOF", []qmptest.Step{qmptest.HangUp()}},
		{"half-close by the server", "io.EOF", "MessageError (cut off), io.ErrUnexpectedEOF", []qmptest.Step{qmptest.HalfClose(), qmptest.Stall()}},
		{"reset", "ECONNRESET", "ECONNRESET", []qmptest.Step{qmptest.Reset()}},
		{"stall", "context.DeadlineExceeded", "context.DeadlineExceeded", []qmptest.Step{qmptest.Stall()}},
	} {
		for stage, at := range stages {
			f := fault{rule: "E6 E10", what: kind.what + " " + at}
			for _, p := range places() {
				if p.stage == stage {
					p.steps = p.before()
					if stage == len(session) {
						p.steps = append(p.steps, qmptest.Expect(last))
					}
					p.steps = append(p.steps, kind.steps...)
					f.places = append(f.places, p)
				}
			}
			limit := time.Duration(0) // every call ends at once
			if kind.what == "stall" {
				limit = connectLimit
			}
			f.run = func(a *attempt) { a.breaksOff(kind.between, kind.inside, limit) }
			faults = append(faults, f)
		}
	}
	split := fault{rule: "E10", what: "a pause of a second at any byte", then: "no event is lost, and every command is answered"}
	for _, p := range places() {
		p.steps = slices.Concat(p.before(), []qmptest.Step{qmptest.Pause(time.Second)}, p.after())
		split.places = append(split.places, p)
	}
	split.run = func(a *attempt) {
		connects := together(a.connect)
		events := a.waiting()
		a.ends("connect", <-connects, "no error")
		a.gives("x", `{"x": "}"}`)
		_, err := a.execute(connectLimit, "y", nil)
		a.ends("a refused command", err, "ExecuteError")
		synctest.Wait()
		a.ends("Disconnect", a.end(), "no error")
		a.heard(<-events, []string{"EARLY", "BETWEEN", "STOP", "LATE"}, "ErrClosed")
	}
	return append(faults, split)
}

// breaksOff is the client's side of a session in which the server hangs up, or
// sends nothing more, at the attempt's place. between and inside are the causes
// that the caller sees if the place is between two messages or within one. limit is
// how long a call waits; 0 means that it ends at once.
func (a *attempt) breaksOff(between, inside string, limit time.Duration) {
	cause := between
	if a.place.inside {
		cause = inside
	}
	broken := a.place.inside || limit > 0
	part := func(name string) string {
		if broken && cause != "ECONNRESET" {
			return name + ", "
		}
		return ""
	}
	connects := together(a.connect)
	events := a.waiting()
	err := <-connects
	switch a.place.stage {
	case 0:
		a.ends("connect", err, "ConnectError, "+part("GreetingError")+cause)
	case 1:
		a.ends("connect", err, "ConnectError, "+part("NegotiationError")+cause)
	}
	if a.place.stage >= 2 && err != nil {
		a.Fatalf("%sconnect: %v", a.place, err)
	}
	if err != nil {
		a.took(max(first, limit))
		a.heard(<-events, a.place.events, "StateError")
		a.took(0)
		return
	}
	a.took(first)
	for i, command := range append(asks[2:], last) {
		v, err := a.execute(connectLimit, command, nil)
		switch {
		case a.place.stage == i+2:
			a.ends("the command", err, "ExecInterruptedError (sent), "+cause)
			a.took(limit)
		case command == "x":
			a.is(command, v, err, `{"x": "}"}`)
		case command == "y":
			if outcome(err) != "ExecuteError" {
				a.Errorf("%s%s: got error %v, want the server's ExecuteError", a.place, command, err)
			}
		}
		if err != nil && command != "y" || a.place.stage == i+2 {
			break
		}
	}
	wantEvents := "ExecInterruptedError, " + cause
	if limit > 0 {
		wantEvents = cause // only the wait has ended, not the connection
	}
	a.heard(<-events, a.place.events, wantEvents)
	synctest.Wait()
	wantEnd := cause
	if limit > 0 {
		wantEnd = "no error"
	}
	a.ends("Disconnect", a.end(), wantEnd)
}
