package transcripts

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	qmpsync "github.com/goqmp/qmp/sync"
)

// A Suite makes the calls of transcripts in Go.
type Suite struct {
	// Name is the package under test.
	Name string

	// Version is the one whose outcomes are required.
	Version string

	// New is the constructor. What it returns is asked to close in the end.
	New func(Setup) (Client, error)

	// ParseAddress is the call that needs no object. Its value is a text, or a
	// list of a text and an int64.
	ParseAddress func(text string) (any, error)

	// Classes checks errors that only the package under test has, by the name of
	// the class in Python.
	Classes map[string]func(*Raises, error) error
}

// A Setup is what the constructor is given.
type Setup struct {
	Addr     string
	Conn     net.Conn // in place of the address, unless nil
	Server   bool
	Nickname string
	Sync     qmpsync.Options // limits that an exception has set
}

// A Client is the object under test.
type Client interface {
	// Call makes one call. Its value is in the types of package legacy, with
	// []any for any list, and nil for no value.
	Call(Call) (any, error)
	// Sync is the client below, by which the replayer learns how far it has read.
	Sync() *qmpsync.Client
}

// ErrNoSuchCall says that there is no call of that name.
var ErrNoSuchCall = errors.New("no such call")

const (
	// scriptLimit is how long a script may take, and callLimit a call that is
	// not to hang: long enough for a machine that is busy with other things.
	scriptLimit = 4 * time.Minute
	callLimit   = 2 * time.Minute
	// stretch is how many times longer a call may wait for what does come.
	stretch = 20
	// slack is how much later than recorded a call may return.
	slack = 10 * time.Second
	// settleLimit bounds the wait for what was sent to be read.
	settleLimit = 10 * time.Second
)

// replay plays sc, changed by the exception x unless that is nil, with arguments
// in the given form.
func (s *Suite) replay(t *testing.T, sc *Scenario, x *Exception, form Form) {
	if x != nil {
		var err error
		if sc, err = x.apply(sc); err != nil {
			t.Fatal(err)
		}
	}
	script := &script{scenario: sc, form: form, over: make(chan struct{})}
	script.answers.unattributed = sc.unattributed()
	at, err := newPlace(t, script, qmptest.ScriptOptions{Limit: scriptLimit, MayStop: sc.MayStop})
	if err != nil {
		t.Fatal(err)
	}
	r := &replay{suite: s, t: t, scenario: sc, script: script, place: at}
	if x != nil && x.Options != nil {
		x.Options(&r.options)
	}
	// Behind everything else, and before the script is waited for.
	t.Cleanup(func() {
		r.end()
		close(script.over)
	})
	for i, call := range sc.Client {
		call.form = form
		if sc.inTime(i) {
			call.Args = call.Args.stretched()
		}
		if err := r.play(call); err != nil {
			t.Fatalf("call %d, %s(%s): %v", i, call.Name, shorten(Text(call.Args)), err)
		}
	}
}

// inTime reports whether call i sets a time limit that nothing runs into. Such a
// limit only has to be there, and on a busy machine it had better be long.
func (s *Scenario) inTime(i int) bool {
	if s.Client[i].Name != "settimeout" {
		return s.Client[i].Outcome.HasReturns
	}
	limits := false
	for _, call := range s.Client[i+1:] {
		switch call.Name {
		case "settimeout":
			return limits
		case "cmd", "cmd_obj", "cmd_raw", "command":
			limits = true
			if r := call.Outcome.Raises; r != nil && r.Class == "TimeoutError" {
				return false
			}
		}
	}
	return limits
}

// stretched returns the arguments with longer limits of time.
func (o Object) stretched() Object {
	longer := slices.Clone(o)
	for i, m := range longer {
		n, ok := m.Value.(Number)
		if !ok || m.Name != "wait" && m.Name != "timeout" {
			continue
		}
		if s, err := n.Seconds(); err == nil && s > 0 {
			longer[i].Value = Number(strconv.FormatFloat(s*stretch, 'f', -1, 64))
		}
	}
	return longer
}

// replay is one scenario under way.
type replay struct {
	suite    *Suite
	t        *testing.T
	scenario *Scenario
	script   *script
	place    *place
	options  qmpsync.Options

	object Client
	heard  *qmpsync.EventListener // counts the events that have been read; nobody takes any
	taken  int                    // how many of them calls have returned, or thrown away
	late   bool                   // the last command timed out: what comes meanwhile may take longer
	marked time.Time              // when the call before set a mark; zero if it did not
	closes []func()
}

func (r *replay) end() {
	for _, f := range r.closes {
		f()
	}
}

func (r *replay) play(call Call) error {
	switch call.Name {
	case "mark", "await_mark":
		if r.place.player == nil {
			return errors.New("there is no script to share marks with")
		}
		if call.Name == "mark" {
			r.marked = time.Now()
			r.place.player.Mark("client " + call.Text("mark"))
			return nil
		}
		r.place.player.AwaitMark("server " + call.Text("mark"))
		return r.settle()
	case "sleep_ms":
		v, _ := call.Args.Get("ms")
		n, err := count(v)
		time.Sleep(time.Duration(n) * time.Millisecond)
		return errors.Join(err, r.settle())
	}
	r.awaitEvents(call)
	type result struct {
		value any
		err   error
	}
	done := make(chan result, 1)
	start := time.Now()
	// What the script does behind a mark takes its time from there, not from when
	// this goroutine came to run again.
	begun := start
	if !r.marked.IsZero() {
		begun = r.marked
	}
	r.marked = time.Time{}
	go func() {
		v, err := r.call(call)
		done <- result{v, err}
	}()
	limit := callLimit
	if call.Outcome.Hangs > 0 {
		limit = call.Outcome.Hangs
	}
	select {
	case res := <-done:
		took := time.Since(start)
		r.note(call, res.value)
		if err := call.Outcome.check(res.value, res.err, r.suite.Classes, isReply(call.Name)); err != nil {
			return err
		}
		if least := time.Since(begun); least < call.AtLeast {
			return fmt.Errorf("it took %v, want %v at least", least, call.AtLeast)
		}
		if call.AtMost > 0 && took > call.AtMost+slack {
			return fmt.Errorf("it took %v, want about %v at most", took, call.AtMost)
		}
		return nil
	case <-time.After(limit):
		r.closes = append(r.closes, func() { <-done }) // it ends with the object
		if call.Outcome.Hangs > 0 {
			return nil
		}
		return fmt.Errorf("it is not back after %v, want %s", limit, call.Outcome)
	}
}

// call makes a call of the library.
func (r *replay) call(call Call) (any, error) {
	switch call.Name {
	case "parse_address":
		return r.suite.ParseAddress(call.Text("address"))
	case "new":
		return nil, r.construct(call)
	}
	if r.object == nil {
		if err := r.construct(Call{}); err != nil {
			return nil, fmt.Errorf("the constructor, which the transcript leaves out: %w", err)
		}
	}
	if call.Name == "get_events until" {
		return r.gather(call)
	}
	return r.object.Call(call)
}

// gather calls get_events until it has returned so many events. How many calls
// that takes depends on how the events were read.
func (r *replay) gather(call Call) (any, error) {
	v, _ := call.Args.Get("events")
	n, err := count(v)
	if err != nil {
		return nil, err
	}
	call.Name = "get_events"
	all := []any{}
	for len(all) < n {
		v, err := r.object.Call(call)
		if err != nil {
			return all, err
		}
		events, _ := v.([]any)
		if len(events) == 0 {
			return all, errors.New("get_events waited and returned none")
		}
		all = append(all, events...)
	}
	return all, nil
}

func (r *replay) construct(call Call) error {
	setup := Setup{
		Addr: r.place.addr, Conn: r.place.conn,
		Server: call.IsTrue("server", false), Nickname: call.Text("nickname"),
		Sync: r.options,
	}
	if v, ok := call.Args.Get("address"); ok {
		addr, ok := v.(string)
		if !ok {
			return fmt.Errorf("address %s is not understood", Text(v))
		}
		setup.Addr, setup.Conn = addr, nil
	}
	o, err := r.suite.New(setup)
	if err != nil {
		return err
	}
	r.object = o
	r.heard = o.Sync().NewListener(nil)
	r.closes = append([]func(){func() { o.Sync().Close() }}, r.closes...)
	return nil
}

// settle waits until the client has read what the script has sent, and noticed
// what it has done: the recordings sleep there. This library reads all the time,
// so both come to pass by themselves.
func (r *replay) settle() error {
	if r.object == nil {
		return nil
	}
	c := r.object.Sync()
	for until := time.Now().Add(settleLimit); time.Now().Before(until); time.Sleep(time.Millisecond) {
		sent := r.script.done()
		if c.Runstate() != async.Running || r.heard.Len() >= sent.events && !sent.ended {
			return nil
		}
	}
	return nil // the calls behind it will say what is missing
}

// note follows the events that calls take off the queue.
func (r *replay) note(call Call, value any) {
	switch call.Name {
	case "cmd", "cmd_obj", "cmd_raw", "command":
		raised := call.Outcome.Raises
		r.late = raised != nil && raised.Class == "TimeoutError"
	case "pull_event":
		if value != nil {
			r.taken++
		}
	case "get_events":
		events, _ := value.([]any)
		r.taken += len(events)
	case "clear_events":
		r.taken = r.heard.Len()
	}
}

// awaitEvents waits until the events are there that a call is to return without
// waiting, if a command timed out while they were to come: how long the server
// takes to send them has nothing to do with that limit. Behind a reply they have
// to be there.
func (r *replay) awaitEvents(call Call) {
	if !r.late {
		return
	}
	n := 0
	switch want := call.Outcome.Returns.(type) {
	case []any:
		n = len(want)
	case Object:
		n = 1
	}
	if call.Name != "get_events" && call.Name != "pull_event" {
		return
	}
	for until := time.Now().Add(settleLimit); time.Now().Before(until) && r.heard.Len() < r.taken+n; {
		time.Sleep(time.Millisecond)
	}
}

// isReply reports whether a call returns a whole reply, in which an id that is
// null does not show.
func isReply(name string) bool { return name == "cmd" || name == "cmd_obj" || name == "cmd_raw" }

// check holds a call's outcome against the recorded one.
func (o Outcome) check(value any, err error, classes map[string]func(*Raises, error) error, reply bool) error {
	switch {
	case o.Hangs > 0:
		return fmt.Errorf("returned %s, %v; want that it waits for %v at least", describe(value), err, o.Hangs)
	case o.Raises != nil:
		if err == nil {
			return fmt.Errorf("returned %s, want %s", describe(value), o.Raises)
		}
		return o.Raises.check(err, classes)
	case err != nil:
		return fmt.Errorf("error %w (%T), want %s", err, err, o)
	}
	want := o.Returns
	if w, ok := want.(Object); ok && isFromServer(w, reply) {
		want = w.Without("id")
	}
	return Equal(want, value)
}

// isFromServer reports whether an object that a call returned holds an id that
// the caller has not given: null, or one of the recorded client's own.
func isFromServer(o Object, reply bool) bool {
	switch id, ok := o.Get("id"); id := id.(type) {
	case nil:
		return ok && reply
	case string:
		return isAutomatic(id)
	}
	return false
}

func (o Outcome) String() string {
	switch {
	case o.Hangs > 0:
		return "no return"
	case o.Raises != nil:
		return o.Raises.String()
	}
	return shorten(Text(o.Returns))
}

// unattributed reports whether error replies without an id in the script are
// those of a server that could not tell what it refused.
func (s *Scenario) unattributed() bool {
	const family = "protocol-error-without-id-"
	return len(s.Name) > len(family) && s.Name[:len(family)] == family
}
