package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// Helpers of the fault lists: parts of scripts, hooks, and the faults that differ
// only in how a connection ends.

// script returns the steps of a connection: a greeting with capabilities, which are
// separated by blanks, the negotiation, and then steps.
func script(capabilities string, steps ...qmptest.Step) []qmptest.Step {
	return append([]qmptest.Step{
		qmptest.Greet(strings.Fields(capabilities)...),
		qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`),
	}, steps...)
}

// events returns a step that sends n events.
func events(n int) qmptest.Step {
	return qmptest.Send(strings.Repeat(`{"event": "MANY"}`+"\r\n", n))
}

// long is a JSON string of a little more than 64 KiB.
var long = `"` + strings.Repeat("x", 64<<10) + `"`

// endsPending returns a fault in which steps end the connection while a command is
// pending. Every caller sees the same cause.
func endsPending(rule, what, cause string, steps ...qmptest.Step) fault {
	return fault{
		rule: rule, what: what, then: "every call ends at once",
		steps: script("", append([]qmptest.Step{qmptest.Expect("x"), qmptest.Pause(time.Second)}, steps...)...),
		run: func(a *attempt) {
			a.connected()
			events := a.waiting()
			_, err := a.execute(0, "x", nil)
			a.took(time.Second)
			a.ends("the command", err, "ExecInterruptedError (sent), "+cause)
			a.heard(<-events, nil, "ExecInterruptedError, "+cause)
			a.took(0)
			synctest.Wait()
			a.ends("Disconnect", a.end(), cause)
		},
	}
}

// fiftyTimes returns the steps of fifty connections.
func fiftyTimes() (steps []qmptest.Step) {
	for range 50 {
		steps = append(append(steps, qmptest.Accept()), script("", qmptest.Expect("x"), qmptest.Return(`1`), qmptest.ExpectEOF())...)
	}
	return steps
}

// times returns n times step, and then the others.
func times(n int, step qmptest.Step, others ...qmptest.Step) (steps []qmptest.Step) {
	for range n {
		steps = append(steps, step)
	}
	return append(steps, others...)
}

// takesFile returns a step that waits for a command with one descriptor. The legacy
// layer sends the descriptor before the command.
func takesFile() qmptest.Step {
	return qmptest.Do("take a descriptor", func(p *qmptest.Peer) error {
		m, err := p.Next()
		if err == nil && m.FDs != 1 {
			err = fmt.Errorf("%d descriptors came with %s, want 1", m.FDs, m.Raw)
		}
		return err
	})
}

// replace returns a hook that replaces text by other in messages that contain text
// and all of in.
func replace(text, other string, in ...string) func(json.RawMessage) json.RawMessage {
	return func(m json.RawMessage) json.RawMessage {
		for _, t := range append(in, text) {
			if !bytes.Contains(m, []byte(t)) {
				return nil
			}
		}
		return bytes.ReplaceAll(m, []byte(text), []byte(other))
	}
}

// wasDialled requires that the client has dialled n times.
func (a *attempt) wasDialled(n int) {
	a.Helper()
	a.dialing.Lock()
	defer a.dialing.Unlock()
	if a.dialled != n {
		a.Errorf("dialled %d times, want %d", a.dialled, n)
	}
}

// everySecond returns a policy that retries three times, a second apart.
func everySecond() async.Backoff {
	return backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Second), 3)
}
