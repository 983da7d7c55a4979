package transcripts

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/goqmp/qmp/async/qmptest"
	qmpsync "github.com/goqmp/qmp/sync"
)

// A Suite says how to make the calls of transcripts in Go.
type Suite struct {
	// Name is the package under test.
	Name string

	// Version is the version of the recorded library whose outcomes are required.
	Version string

	// New is the constructor. The replayer closes what it returns.
	New func(Setup) (Client, error)

	// ParseAddress is the one call that needs no object. Its value is a string, or
	// a list of a string and an int64.
	ParseAddress func(text string) (any, error)

	// Classes has checks for errors that only the package under test has. The key
	// is the name of the class in Python.
	Classes map[string]func(*Raises, error) error

	// Forms are the forms in which arguments are given; nil means all of them.
	Forms []Form

	// Exceptions come before those of the common table, and Strict names scenarios
	// to which the common table does not apply: they are required as recorded.
	Exceptions []Exception
	Strict     []string

	// Equal and Raised compare the outcome of a call with the recorded one. Nil
	// means the usual comparison, which is for values and errors of Go.
	Equal  func(want, got any) error
	Raised func(*Raises, error) error
}

// A Setup has the constructor's arguments.
type Setup struct {
	Addr     string
	TCP      bool     // Addr is a host and a port
	Conn     net.Conn // if it is not nil, it is used instead of Addr
	Server   bool     // listen at Addr
	Nickname string
	Sync     qmpsync.Options // has the limits that an exception sets
}

// A Client is the object under test.
type Client interface {
	// Call makes one call. Its value has the types of package legacy: []any for a
	// list, and nil for no value.
	Call(Call) (any, error)
	// Heard returns how many events the object has read.
	Heard() int
	// IsRunning reports whether the object has a session.
	IsRunning() bool
	// End closes the object. A call that has not returned yet returns then.
	End()
}

// ErrNoSuchCall says that there is no call of that name.
var ErrNoSuchCall = errors.New("no such call")

const (
	// scriptLimit is how long a script may take, and callLimit how long a call may
	// take that must return. A busy machine needs much less.
	scriptLimit = 4 * time.Minute
	callLimit   = 2 * time.Minute
	// stretch is the factor by which the time limit of a call is raised that has to
	// return before its limit.
	stretch = 20
	// slack is how much later than recorded a call may return.
	slack = 10 * time.Second
	// settleLimit is how long to wait until the client has read what was sent.
	settleLimit = 10 * time.Second
)

// replay plays sc with arguments in the given form. If x is not nil, it changes sc
// first.
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
	// This cleanup runs before the one of the script, which waits for the script.
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

// inTime reports whether call i sets a time limit that no call reaches. Then the
// limit may be longer than recorded, so that a busy machine does not reach it.
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

// stretched returns the arguments with longer time limits.
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

// A replay is a scenario being played.
type replay struct {
	suite    *Suite
	t        *testing.T
	scenario *Scenario
	script   *script
	place    *place
	options  qmpsync.Options

	object Client
	taken  int       // how many events the calls have returned or cleared
	late   bool      // the last command timed out, so its events may come later
	marked time.Time // when the previous call set a mark; zero if it was not a mark
	closes []func()  // called by end
}

// end closes the object, and waits for calls that hang.
func (r *replay) end() {
	for _, f := range r.closes {
		f()
	}
}

// play makes one call and requires the recorded outcome.
func (r *replay) play(call Call) error {
	switch call.Name {
	case "mark", "await_mark":
		if r.place.player == nil {
			return errors.New("a mark needs a script")
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
	if r.object == nil && call.Name != "new" && call.Name != "parse_address" {
		if err := r.construct(Call{}); err != nil {
			return fmt.Errorf("the constructor, which is not in the transcript: %w", err)
		}
	}
	r.awaitEvents(call)
	type result struct {
		value any
		err   error
	}
	done := make(chan result, 1)
	start := time.Now()
	// After a mark the script goes on immediately, even if this goroutine is not
	// scheduled. So the time is measured from the mark.
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
		if err := r.suite.check(call.Outcome, res.value, res.err, isReply(call.Name)); err != nil {
			return err
		}
		if least := time.Since(begun); least < call.AtLeast {
			return fmt.Errorf("it took %v, want at least %v", least, call.AtLeast)
		}
		if call.AtMost > 0 && took > call.AtMost+slack {
			return fmt.Errorf("it took %v, want at most about %v", took, call.AtMost)
		}
		return nil
	case <-time.After(limit):
		r.closes = append(r.closes, func() { <-done }) // the call returns when the object is closed
		if call.Outcome.Hangs > 0 {
			return nil
		}
		return fmt.Errorf("it has not returned after %v, want %s", limit, call.Outcome)
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
	if call.Name == "get_events until" {
		return r.gather(call)
	}
	return r.object.Call(call)
}

// gather calls get_events until its calls have returned the wanted number of events.
// How many calls that takes depends on how the client read the events.
func (r *replay) gather(call Call) (any, error) {
	v, _ := call.Args.Get("events")
	n, err := count(v)
	if err != nil {
		return nil, err
	}
	call.Name, call.Args = "get_events", call.Args.Without("events")
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
		Addr: r.place.addr, TCP: r.script.tcp, Conn: r.place.conn,
		Server: call.IsTrue("server", false), Nickname: call.Text("nickname"),
		Sync: r.options,
	}
	if v, ok := call.Args.Get("address"); ok {
		addr, ok := v.(string)
		if !ok {
			return fmt.Errorf("address %s is not a text", Text(v))
		}
		setup.Addr, setup.TCP, setup.Conn = addr, false, nil
	}
	o, err := r.suite.New(setup)
	if err != nil {
		return err
	}
	r.object = o
	r.closes = append([]func(){o.End}, r.closes...)
	return nil
}

// settle waits until the client has read what the script has sent, and has noticed
// that the script ended the connection. The recorded calls sleep at this place.
// This library reads all the time, so it need only wait.
func (r *replay) settle() error {
	if r.object == nil {
		return nil
	}
	for until := time.Now().Add(settleLimit); time.Now().Before(until); time.Sleep(time.Millisecond) {
		sent := r.script.done()
		if !r.object.IsRunning() || r.object.Heard() >= sent.events && !sent.ended {
			return nil
		}
	}
	return nil // the next calls fail and say what is missing
}

// note updates taken and late after a call.
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
		r.taken = r.object.Heard()
	}
}

// awaitEvents waits for the events that a call has to return without waiting, if
// the command before it timed out. The server may send them after that command's
// time limit. If the command got its reply, awaitEvents does not wait: then the
// events must be in the queue.
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
	for until := time.Now().Add(settleLimit); time.Now().Before(until) && r.object.Heard() < r.taken+n; {
		time.Sleep(time.Millisecond)
	}
}

// isReply reports whether a call returns a whole reply. An id that is null in the
// recorded reply is left out in this library's.
func isReply(name string) bool { return name == "cmd" || name == "cmd_obj" || name == "cmd_raw" }

// check returns nil if a call's result is the recorded outcome.
func (s *Suite) check(o Outcome, value any, err error, reply bool) error {
	switch {
	case o.Hangs > 0:
		return fmt.Errorf("returned %s, %v; want it to wait for at least %v", describe(value), err, o.Hangs)
	case o.Raises != nil:
		if err == nil {
			return fmt.Errorf("returned %s, want %s", describe(value), o.Raises)
		}
		if s.Raised != nil {
			return s.Raised(o.Raises, err)
		}
		return o.Raises.check(err, s.Classes)
	case err != nil:
		return fmt.Errorf("error %w (%T), want %s", err, err, o)
	}
	want := o.Returns
	if w, ok := want.(Object); ok && isFromServer(w, reply) {
		want = w.Without("id")
	}
	if s.Equal != nil {
		return s.Equal(want, value)
	}
	return Equal(want, value)
}

// isFromServer reports whether a recorded object has an id that the caller did not
// give: null, or one that the recorded client made.
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

// unattributed reports whether the scenario is about a server that does not know
// which command it refuses. Then its error replies have no id.
func (s *Scenario) unattributed() bool {
	const family = "protocol-error-without-id-"
	return len(s.Name) > len(family) && s.Name[:len(family)] == family
}
