package faults

import (
	"context"
	"slices"
	"syscall"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// reconnects are the faults of a client with Options.Reconnect: its connection ends, and
// what comes next fails in each phase.
var reconnects = slices.Concat([]fault{
	endsAgain("an end of file, and a server that is there at once", 1, nil, nil),
	endsAgain("a server that is not there for a while", 3, []syscall.Errno{syscall.ECONNREFUSED, syscall.ENOENT}, nil),
	endsAgain("a socket that this user may not connect to for a while", 3, []syscall.Errno{syscall.EACCES, syscall.EACCES}, nil),
	endsAgain("the next connection ends before the greeting", 2, nil, []qmptest.Step{qmptest.HangUp()}),
	endsAgain("the next connection is reset before the greeting", 2, nil, []qmptest.Step{qmptest.Reset()}),
	endsAgain("the next server never greets", 2+5, nil, []qmptest.Step{qmptest.Stall()}),
	endsAgain("the next server speaks another protocol", 2, nil, []qmptest.Step{qmptest.Send("SSH-2.0-OpenSSH_9.2\r\n"), qmptest.ExpectEOF()}),
	endsAgain("the next connection ends before qmp_capabilities is answered", 2, nil, []qmptest.Step{qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.HangUp()}),
	endsAgain("the next server never answers qmp_capabilities", 2+8, nil, []qmptest.Step{qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Stall()}),
	endsAgain("the next server refuses qmp_capabilities", 2, nil, []qmptest.Step{qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.ReturnError("CommandNotFound", "no"), qmptest.ExpectEOF()}),
	endsAgain("the next connection ends while OnConnect waits for a reply", 2, nil, script("", qmptest.Expect("set-up"), qmptest.HangUp())),
	endsAgain("OnConnect fails", 2, nil, script("", qmptest.Expect("set-up"), qmptest.ReturnError("GenericError", "no"), qmptest.ExpectEOF())),
	endsAgain("OnConnect gets no reply", 2+8, nil, script("", qmptest.Expect("set-up"), qmptest.Stall())),
	endsAgain("the next connection ends directly after OnConnect", 2, nil, script("", qmptest.Expect("set-up"), qmptest.Return(`{}`), qmptest.HangUp())),
}, []fault{
	{
		rule: "E14", what: "a server that does not come again, with Options.Reconnect", then: "every call fails at once when the policy gives up",
		options: async.Options{Backoff: everySecond, Reconnect: &async.Reconnect{}},
		steps:   script("", qmptest.Expect("x"), qmptest.HangUp()),
		run: func(a *attempt) {
			a.loses()
			a.failDials(100, syscall.ECONNREFUSED)
			want := "StateError"
			if a.layer == "legacy" {
				want = "ExecInterruptedError, GaveUpError, io.EOF, ECONNREFUSED"
			}
			_, err := a.next(waitLimit)
			a.ends("an event wait", err, want)
			a.took(3 * time.Second)
			_, err = a.execute(connectLimit, "y", nil)
			a.ends("the command", err, "StateError")
			a.says(err, "gave up connecting again")
			a.took(0)
			a.wasDialled(4)
			a.ends("Disconnect", a.end(), "GaveUpError, io.EOF, ECONNREFUSED")
		},
	},
	{
		rule: "E14", what: "a server that greets and hangs up again and again, with Options.Reconnect", then: "the client waits longer and longer, and dials six times in a minute",
		options: async.Options{Backoff: growing, Reconnect: &async.Reconnect{}},
		steps:   append(script("", qmptest.Expect("x"), qmptest.HangUp()), hangingUp(5)...),
		run: func(a *attempt) {
			a.loses()
			time.Sleep(time.Minute)
			a.wasDialled(6)
			want := "io.EOF"
			if a.layer == "legacy" { // no call has met the end of the last connection
				want = "no error"
			}
			a.ends("Disconnect", a.end(), want)
		},
	},
	{
		rule: "E14", what: "this side disconnects while the client connects again", then: "the client is idle at once",
		options: async.Options{Backoff: everySecond, Reconnect: &async.Reconnect{}},
		steps:   script("", qmptest.Expect("x"), qmptest.HangUp()),
		run: func(a *attempt) {
			a.loses()
			events := a.waiting()
			time.Sleep(time.Second / 2)
			a.began = time.Now()
			a.ends("Disconnect", a.end(), "io.EOF")
			a.heard(<-events, nil, "ErrClosed")
			a.took(0)
			a.wasDialled(1)
		},
	},
	{
		rule: "E14", what: "commands while the client connects again, with Reconnect.Wait", then: "they wait within their time limits, and the server gets those that are left",
		options: async.Options{Backoff: everySecond, Reconnect: &async.Reconnect{Wait: true}},
		steps: slices.Concat(script("", qmptest.Expect("x"), qmptest.HangUp(), qmptest.Accept()),
			script("", qmptest.Expect("y"), qmptest.Return(`1`))),
		run: func(a *attempt) {
			a.connected()
			_, err := a.execute(0, "x", nil)
			a.ends("the command", err, "ExecInterruptedError (sent), io.EOF")
			_, err = a.execute(time.Second/2, "short", nil)
			a.ends("a command with a short time limit", err, "ExecInterruptedError (not sent), context.DeadlineExceeded")
			a.gives("y", `1`)
			a.took(time.Second)
			a.ends("Disconnect", a.end(), "no error")
		},
	},
})

// loses connects and loses the connection while the command x is pending. In the gap a
// command fails at once. The notice of the end is read; in legacy there is none.
func (a *attempt) loses() {
	a.Helper()
	a.connected()
	_, err := a.execute(0, "x", nil)
	a.ends("the command", err, "ExecInterruptedError (sent), io.EOF")
	_, err = a.execute(0, "gap", nil)
	a.ends("a command in the gap", err, "StateError")
	a.says(err, "EOF", "connecting again")
	if a.layer != "legacy" {
		_, err = a.next(waitLimit)
		a.ends("the next read", err, "ExecInterruptedError, io.EOF")
	}
	a.took(0)
}

// endsAgain returns a fault in which a connection ends while a command is pending, the
// next dials fail, and the next connection ends as second says, unless that is nil. The
// last connection is good. took is how long all that takes, in seconds: one for each
// attempt, and the time limits.
func endsAgain(what string, took int, dials []syscall.Errno, second []qmptest.Step) fault {
	good := func(steps ...qmptest.Step) []qmptest.Step {
		return script("", append([]qmptest.Step{qmptest.Expect("set-up"), qmptest.Return(`{}`)}, steps...)...)
	}
	if second != nil {
		second = append(second, qmptest.Accept())
	}
	return fault{
		rule: "E14", what: what + ", with Options.Reconnect", then: "the client is connected again, reads go on across the gap, and OnConnect comes first",
		options: async.Options{Backoff: async.Every(time.Second), Reconnect: &async.Reconnect{
			GreetingTimeout: 5 * time.Second, AttemptTimeout: 8 * time.Second,
			OnConnect: func(ctx context.Context, c async.Caller) error {
				_, err := async.Call[struct{}](ctx, c, "set-up", nil)
				return err
			},
		}},
		steps: slices.Concat(good(qmptest.Expect("x"), qmptest.HangUp(), qmptest.Accept()), second,
			good(qmptest.Event("AGAIN", ""), qmptest.Expect("y"), qmptest.Return(`1`))),
		run: func(a *attempt) {
			a.loses()
			a.failDialsWith(dials)
			for {
				ev, err := a.next(waitLimit)
				if err != nil && a.layer != "legacy" { // one more notice, if the second connection was made
					a.ends("the next read", err, "ExecInterruptedError, io.EOF")
					continue
				}
				a.is("the read across the gap", ev, err, "AGAIN")
				break
			}
			a.took(time.Duration(took) * time.Second)
			synctest.Wait()
			a.gives("y", `1`)
			a.ends("Disconnect", a.end(), "no error")
			a.hears()
		},
	}
}

// growing returns a policy that waits for 1, 2, 4, 8, 16 and then 32 seconds.
func growing() async.Backoff { return &doubled{} }

type doubled struct{ next time.Duration }

func (d *doubled) Reset() { d.next = time.Second }

func (d *doubled) NextBackOff() time.Duration {
	now := d.next
	d.next *= 2
	return now
}

// hangingUp returns the steps of n connections that end after the handshake. During the
// pause both sides finish the handshake: otherwise the client may see the end before it
// is connected, and then this is a failed attempt and not a session.
func hangingUp(n int) (steps []qmptest.Step) {
	for range n {
		steps = append(append(steps, qmptest.Accept()), script("", qmptest.Pause(time.Millisecond), qmptest.HangUp())...)
	}
	return steps
}
