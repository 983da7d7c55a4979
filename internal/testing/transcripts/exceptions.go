package transcripts

import (
	"fmt"
	"slices"
	"time"

	qmpsync "github.com/goqmp/qmp/sync"
)

// An Exception is a scenario in which this library does better than the recorded
// one, or which does not apply to Go.
type Exception struct {
	Scenario string
	Rule     string // the reason
	Version  string // the version that it concerns; "" for both

	// Client has outcomes that are required instead of the recorded ones, by the
	// index of the call, in the format of the transcripts. An outcome with a member
	// "call" replaces the call, too. An empty text removes the call.
	Client map[int]string
	// Server has steps that are played instead of the recorded ones, by their
	// index. An empty text removes the step.
	Server map[int]string
	// Options sets limits, for scenarios about limits.
	Options func(*qmpsync.Options)

	// Leaves says that the exception only requires less than the recording. The
	// transcript's own advice allows that.
	Leaves bool

	// NotApplicable says that the scenario is about something that Go does not
	// have. The rest of the scenario is still required.
	NotApplicable bool
}

// Rules that several scenarios share.
const (
	ruleReading    = "this library reads all the time, so an idle object notices events and the peer's end immediately"
	ruleLineEnds   = "blank lines, objects over several lines and objects without a line end are accepted"
	ruleLimit      = "a message may have 80 MiB, which is an option; a longer one is a MessageError that names the limit and the option"
	ruleLate       = "the late reply to a cmd() that timed out is recognized by its id and dropped"
	ruleUnknownID  = "a reply whose id is a list or an object is dropped, as a reply with any other unknown id"
	ruleNoSession  = "waiting for an event without a session is a StateError immediately; after a session has ended, queued events come first, and then the cause"
	ruleWait       = "a wait is a duration, so an integer is a number of seconds like any other number"
	ruleOpenSocket = "an open connection is given as Options.Conn"
	ruleIDType     = "an id has type string in Go; CmdObj, which takes any object, refuses other ids before sending"
)

const (
	nothing     = `{"returns": null}`
	interrupted = `{"raises": {"class": "ExecInterruptedError"}}`
	timedOut    = `{"raises": {"class": "TimeoutError"}}`
	endOfFile   = `{"raises": {"class": "EOFError"}}`
	invalidID   = `{"raises": {"class": "InvalidIDError"}}`
	badPort     = `{"raises": {"class": "QMPBadPortError"}}`
	dead        = `{"raises": {"class": "StateError", "state": "DISCONNECTING", "required": "RUNNING"}}`
	// A wait for an event of a session that has ended returns the cause immediately.
	cause = `{"elapsed_ms": {"min": 0, "max": 1000}, "raises": {"class": "ExecInterruptedError", "cause": {"class": "EOFError"}}}`
)

// Exceptions has all exceptions. Every other scenario is required as recorded.
var Exceptions = []Exception{
	// Ids.
	{
		Scenario: "cmd-id-number-is-a-type-error", Rule: ruleIDType, Version: V72, NotApplicable: true,
		Client: map[int]string{1: `{"call": "cmd_obj", "args": {"obj": {"execute": "query-status", "id": 5}}, "raises": {"class": "InvalidIDError"}}`},
	},
	{
		Scenario: "cmd-id-list-is-a-type-error", Rule: ruleIDType, Version: V72, NotApplicable: true,
		Client: map[int]string{1: `{"call": "cmd_obj", "args": {"obj": {"execute": "query-status", "id": ["a"]}}, "raises": {"class": "InvalidIDError"}}`},
	},
	{
		Scenario: "cmd-id-object-is-a-type-error", Rule: ruleIDType, Version: V72, NotApplicable: true,
		Client: map[int]string{1: `{"call": "cmd_obj", "args": {"obj": {"execute": "query-status", "id": {"a": 1}}}, "raises": {"class": "InvalidIDError"}}`},
	},
	{
		Scenario: "cmd-id-reserved-inside-fails-an-assertion", Rule: "__qmp# is reserved at the beginning of an id only", Version: V72,
		Client: map[int]string{1: `{"returns": {"return": {"n": 1}, "id": "x__qmp#1"}}`},
		Server: map[int]string{4: `[{"expect": {"execute": "query-status", "id": "x__qmp#1"}}, {"send": {"return": {"n": 1}, "id": "x__qmp#1"}}, {"expect_eof": true}]`},
	},
	{
		Scenario: "cmd-reply-with-list-id-kills-the-session", Rule: ruleUnknownID,
		Client: map[int]string{1: `{"returns": {"return": {"n": 2}}}`, 2: nothing},
	},
	{
		Scenario: "cmd-reply-with-object-id-kills-the-session", Rule: ruleUnknownID,
		Client: map[int]string{1: `{"returns": {"return": {"n": 2}}}`, 2: nothing},
	},

	// Replies that come late, or answer no command.
	{
		Scenario: "cmd-stray-reply-between-commands-answers-the-next", Rule: ruleLate,
		Client: map[int]string{4: `{"returns": {"return": {"n": 2}}}`, 6: `{"returns": {"return": {"n": 3}}}`},
	},
	{
		Scenario: "timeouts-late-reply-behind-next-cmd", Rule: ruleLate,
		Client: map[int]string{4: `{"returns": {"return": {"n": 2}}}`},
	},
	{
		// The second command is not answered; the session stays open until close.
		Scenario: "timeouts-late-error-of-cmd-then-command", Rule: ruleLate,
		Client: map[int]string{6: timedOut, 7: nothing},
	},
	{
		Scenario: "connect-without-negotiate-late-greeting-is-taken-as-reply", Rule: "an object with a QMP member is never a reply: it is dropped",
		Client: map[int]string{1: `{"returns": {"return": {"a": 1}}}`},
	},

	// Connecting.
	{
		Scenario: "connect-hangs-without-greeting", Rule: "connect() has a time limit, which is an option: 15 s, as for accept()",
		Client: map[int]string{0: `{"elapsed_ms": {"min": 400, "max": 1500}, "raises": {"class": "ConnectError",
			"error_message": "Failed to establish session", "cause": {"class": "TimeoutError"}}}`},
		Server:  map[int]string{1: `{"expect_eof": true}`}, // the server sends nothing before that
		Options: func(o *qmpsync.Options) { o.ConnectLimit = 400 * time.Millisecond },
	},
	{
		Scenario: "connect-bad-line-behind-negotiation-reply", Rule: "if a session breaks during the handshake, that is a ConnectError with the cause, and the object is idle again",
		Client: map[int]string{
			0: `{"raises": {"class": "ConnectError", "error_message": "Failed to establish session", "cause": {"class": "DeserializationError"}}}`,
			1: `{"raises": {"class": "StateError", "state": "IDLE", "required": "RUNNING"}}`,
			2: nothing,
		},
	},
	{
		Scenario: "connect-greeting-capabilities-string-is-accepted", Rule: "a greeting whose capabilities are a string is not a valid greeting",
		Client: map[int]string{0: `{"raises": {"class": "ConnectError", "error_message": "Failed to establish session", "cause": {"class": "GreetingError"}}}`},
		Server: map[int]string{2: `{"expect_eof": true}`, 3: ``},
	},
	{
		Scenario: "connect-greeting-beyond-line-limit-7.2", Rule: ruleLimit, Version: V72,
		Client: map[int]string{0: `{"returns": {"QMP": {"version": {}, "capabilities": [], "pad": {"$repeat": ["x", 400000]}}}}`},
	},
	{
		Scenario: "connect-address-is-a-socket-object", Rule: ruleOpenSocket, Version: V72,
		Client: map[int]string{
			0: `{"returns": {"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}}`,
			1: `{"returns": {"return": {}}}`,
		},
	},
	{
		Scenario: "connect-reset-at-greeting", Rule: "the reset may be noticed while connecting or while waiting for the greeting", Leaves: true,
		Client: map[int]string{0: `{"raises": {"class": "ConnectError", "cause": {"class": "ConnectionResetError", "message": "[Errno 104]"}}}`},
	},
	{
		Scenario: "negotiate-failed-then-connect-again", Rule: "a refused negotiation is a NegotiationError that holds class and desc",
		Client: map[int]string{0: `{"raises": {"class": "ConnectError", "error_message": "Failed to establish session",
			"cause": {"class": "NegotiationError", "error_class": "GenericError", "desc": "x"}}}`},
	},
	{
		Scenario: "accept-negotiation-error", Rule: "a refused negotiation is a NegotiationError that holds class and desc",
		Client: map[int]string{1: `{"raises": {"class": "ConnectError", "error_message": "Failed to establish session",
			"cause": {"class": "NegotiationError", "error_class": "GenericError", "desc": "x"}}}`},
	},
	{
		Scenario: "address-odd-numbers", Rule: "a port is plain decimal digits, from 0 to 65535",
		Client: map[int]string{0: badPort, 1: badPort, 2: badPort, 3: badPort, 5: badPort},
	},

	// What the client reads between calls.
	{
		// In both versions the outcome of the later version is required: a call that
		// does not wait returns nothing, and no error.
		Scenario: "disconnect-after-eof-pull-nowait", Rule: ruleReading, Version: V006,
		Client: map[int]string{5: nothing},
	},
	{
		Scenario: "disconnect-after-reply-then-cmd", Rule: ruleReading,
		Client: map[int]string{4: dead},
	},
	{
		Scenario: "disconnect-after-reply-then-command", Rule: ruleReading,
		Client: map[int]string{5: dead},
	},
	{
		Scenario: "events-clear-misses-unread", Rule: ruleReading,
		Client: map[int]string{5: `{"returns": []}`},
	},
	{
		Scenario: "events-idle-get-nowait", Rule: ruleReading,
		Client: map[int]string{
			3: `{"returns": [
				{"timestamp": {"seconds": 1700000000, "microseconds": 1}, "event": "A", "data": {"n": 1}},
				{"timestamp": {"seconds": 1700000000, "microseconds": 1}, "event": "B", "data": {"n": 2}},
				{"timestamp": {"seconds": 1700000000, "microseconds": 1}, "event": "C", "data": {"n": 3}}]}`,
			4: `{"returns": []}`,
		},
	},
	{
		Scenario: "events-idle-pull-nowait", Rule: ruleReading, Version: V72,
		Client: map[int]string{3: `{"returns": {"timestamp": {"seconds": 1700000000, "microseconds": 1}, "event": "A", "data": {"n": 1}}}`},
	},
	{
		Scenario: "events-idle-pull-nowait-int-zero", Rule: ruleReading, Version: V72,
		Client: map[int]string{3: `{"returns": {"timestamp": {"seconds": 1700000000, "microseconds": 1}, "event": "A", "data": {"n": 1}}}`},
	},
	{
		Scenario: "reconnect-unread-events-are-lost", Rule: ruleReading,
		Client: map[int]string{6: `{"returns": [
			{"timestamp": {"seconds": 1700000000, "microseconds": 1}, "event": "A", "data": {"n": 1}},
			{"timestamp": {"seconds": 1700000000, "microseconds": 1}, "event": "B", "data": {"n": 2}},
			{"timestamp": {"seconds": 1700000000, "microseconds": 1}, "event": "C", "data": {"n": 3}}]}`},
	},

	// Waiting for events.
	{
		// The two calls together return every event, in order. The script sends all
		// events in one write.
		Scenario: "events-get-wait-returns-only-the-first", Rule: "a get_events() that has to wait returns all events that have come by then, at least one",
		Client: map[int]string{
			2: `{"call": "get_events until", "args": {"wait": 1.0, "events": 3}, "returns": [
				{"timestamp": {"seconds": 1700000000, "microseconds": 1}, "event": "A", "data": {"n": 1}},
				{"timestamp": {"seconds": 1700000000, "microseconds": 1}, "event": "B", "data": {"n": 2}},
				{"timestamp": {"seconds": 1700000000, "microseconds": 1}, "event": "C", "data": {"n": 3}}]}`,
			3: ``,
		},
	},
	{
		Scenario: "events-get-wait-int-one-hangs", Rule: ruleWait,
		Client: map[int]string{1: `{"elapsed_ms": {"min": 900, "max": 1900}, "raises": {"class": "TimeoutError"}}`},
	},
	{
		Scenario: "events-pull-wait-int-one-hangs", Rule: ruleWait,
		Client: map[int]string{1: `{"elapsed_ms": {"min": 900, "max": 1900}, "raises": {"class": "TimeoutError"}}`},
	},
	{
		Scenario: "events-clear-when-idle", Rule: ruleNoSession,
		Client: map[int]string{
			3: `{"elapsed_ms": {"min": 0, "max": 1000}, "raises": {"class": "StateError", "state": "IDLE", "required": "RUNNING"}}`,
			4: `{"elapsed_ms": {"min": 0, "max": 1000}, "raises": {"class": "StateError", "state": "IDLE", "required": "RUNNING"}}`,
		},
	},
	{
		Scenario: "events-pull-true-without-session-hangs", Rule: ruleNoSession,
		Client: map[int]string{0: `{"elapsed_ms": {"min": 0, "max": 1000}, "raises": {"class": "StateError", "state": "IDLE", "required": "RUNNING"}}`},
	},
	{
		Scenario: "events-pull-after-peer-death-hangs", Rule: ruleNoSession,
		Client: map[int]string{3: cause},
	},
	{
		Scenario: "events-pull-peer-dies-while-waiting-hangs", Rule: ruleNoSession,
		Client: map[int]string{2: `{"elapsed_ms": {"min": 90, "max": 1500}, "raises": {"class": "ExecInterruptedError", "cause": {"class": "EOFError"}}}`},
	},

	// Messages and their limits.
	{
		Scenario: "data-bom-is-accepted", Rule: "a byte order mark is not JSON: RFC 8259, 8.1",
		Client: map[int]string{1: interrupted, 2: `{"raises": {"class": "DeserializationError"}}`},
	},
	{
		Scenario: "data-utf16-line", Rule: "a message is UTF-8: RFC 8259, 8.1",
		Client: map[int]string{1: interrupted, 2: `{"raises": {"class": "DeserializationError"}}`},
	},
	{
		Scenario: "data-nan-and-infinity-are-accepted", Rule: "NaN and Infinity are not JSON: they are refused",
		Client: map[int]string{1: interrupted, 2: `{"raises": {"class": "DeserializationError"}}`},
	},
	{
		Scenario: "protocol-invalid-utf8", Rule: "invalid UTF-8 inside a string becomes U+FFFD",
		Client: map[int]string{1: `{"returns": {"return": "\ufffd"}}`, 2: nothing},
	},
	{
		Scenario: "protocol-object-over-several-lines", Rule: ruleLineEnds,
		Client: map[int]string{1: `{"returns": {"return": {}}}`, 2: nothing},
	},
	{
		Scenario: "protocol-spaces-line", Rule: ruleLineEnds,
		Client: map[int]string{1: `{"returns": {"return": {}}}`, 2: nothing},
	},
	{
		Scenario: "data-line-end-cr-only-does-not-count", Rule: ruleLineEnds,
		Client: map[int]string{2: `{"returns": {"return": {"n": 1}}}`},
	},
	{
		Scenario: "data-line-end-missing-does-not-count", Rule: ruleLineEnds,
		Client: map[int]string{2: `{"returns": {"return": {"n": 1}}}`},
	},
	{
		Scenario: "protocol-number-too-long", Rule: "a number of more than 4,300 digits is a MessageError, and the session goes on",
		Client: map[int]string{1: `{"raises": {"class": "MessageError", "reason": "number too long"}}`, 2: nothing},
	},
	{
		Scenario: "protocol-nesting-too-deep", Rule: "a message may have 10,000 levels; one with more is a MessageError",
		Client: map[int]string{2: `{"raises": {"class": "MessageError", "reason": "too deep"}}`},
	},
	{
		Scenario: "data-line-300-kib", Rule: ruleLimit, Version: V72,
		Client: map[int]string{1: `{"returns": {"return": {"$repeat": ["x", 307186]}}}`, 2: nothing},
	},
	{
		Scenario: "data-line-1-mib", Rule: ruleLimit, Version: V72,
		Client: map[int]string{1: `{"returns": {"return": {"$repeat": ["x", 1048562]}}}`, 2: nothing},
	},
	{
		Scenario: "data-line-10-mib", Rule: ruleLimit, Version: V72,
		Client: map[int]string{1: `{"returns": {"return": {"$repeat": ["x", 10485746]}}}`, 2: nothing},
	},
	{
		Scenario: "data-line-10-mib-plus-1", Rule: ruleLimit,
		Client: map[int]string{1: `{"returns": {"return": {"$repeat": ["x", 10485747]}}}`, 2: nothing},
	},
	{
		Scenario: "data-line-12-mib", Rule: ruleLimit,
		Client: map[int]string{1: `{"returns": {"return": {"$repeat": ["x", 12582898]}}}`, 2: nothing},
	},
	{
		// With the limit of 0.0.6 the outcome is as recorded, with a better text.
		Scenario: "data-command-line-too-long", Rule: ruleLimit,
		Client:  map[int]string{3: `{"raises": {"class": "MessageError", "reason": "too large", "message": "limit of 10485760 bytes (async.Options.MaxMessage)"}}`},
		Options: func(o *qmpsync.Options) { o.Async.MaxMessage = 10 << 20 },
	},

	// Ending.
	{
		Scenario: "disconnect-close-hangs-when-peer-does-not-read", Rule: "close() has a time limit, which is an option: 5 s; then it closes the connection and returns an error",
		Client: map[int]string{
			// The command must have begun to be sent before its time limit, also on a
			// busy machine: close would not wait for one that was not. So it is small
			// enough to be encoded quickly, and its time limit is long.
			1: `{"call": "settimeout", "args": {"timeout": 3.0}, "returns": null}`,
			2: `{"call": "cmd", "args": {"name": "big", "args": {"x": {"$repeat": ["x", 1000000]}}}, "raises": {"class": "TimeoutError"}}`,
			3: `{"elapsed_ms": {"min": 300, "max": 1500}, "raises": {"class": "TimeoutError"}}`,
		},
		Options: func(o *qmpsync.Options) { o.CloseLimit = 300 * time.Millisecond },
	},
	{
		Scenario: "disconnect-object-dropped", Rule: "a Go program calls Close and does not rely on garbage collection", NotApplicable: true,
		Client: map[int]string{1: `{"call": "close", "returns": null}`},
	},
}

// exception returns the suite's exception for a scenario, or nil.
func (s *Suite) exception(name string) *Exception {
	find := func(table []Exception) *Exception {
		i := slices.IndexFunc(table, func(x Exception) bool {
			return x.Scenario == name && (x.Version == "" || x.Version == s.Version)
		})
		if i < 0 {
			return nil
		}
		return &table[i]
	}
	if x := find(s.Exceptions); x != nil || slices.Contains(s.Strict, name) {
		return x
	}
	return find(Exceptions)
}

// apply returns sc changed by the exception. An exception that changes nothing is an
// error, so that the table has no entry too many.
func (x *Exception) apply(sc *Scenario) (*Scenario, error) {
	c := *sc
	c.Server, c.Client = nil, nil
	for i, step := range sc.Server {
		text, ok := x.Server[i]
		switch {
		case !ok:
			c.Server = append(c.Server, step)
		case text != "":
			steps, err := parseSteps(text)
			if err != nil {
				return nil, fmt.Errorf("exception for %s, step %d: %w", x.Scenario, i, err)
			}
			c.Server = append(c.Server, steps...)
		}
	}
	needed := x.NotApplicable || x.Leaves
	for i, call := range sc.Client {
		text, ok := x.Client[i]
		switch {
		case !ok:
			c.Client = append(c.Client, call)
		case text != "":
			other, err := x.call(call, text)
			if err != nil {
				return nil, fmt.Errorf("exception for %s, call %d: %w", x.Scenario, i, err)
			}
			c.Client = append(c.Client, other)
			needed = needed || !call.Outcome.includes(other.Outcome)
		default:
			needed = true
		}
	}
	if !needed {
		return nil, fmt.Errorf("exception for %s: it requires what the recording requires anyway", x.Scenario)
	}
	for _, m := range []map[int]string{x.Client, x.Server} {
		for i := range m {
			if i >= max(len(sc.Client), len(sc.Server)) {
				return nil, fmt.Errorf("exception for %s: the scenario has no call or step %d", x.Scenario, i)
			}
		}
	}
	return &c, nil
}

// call returns call with the outcome in text.
func (*Exception) call(call Call, text string) (Call, error) {
	v, err := Parse([]byte(text))
	if err != nil {
		return call, err
	}
	f := fields{of: "exception"}
	other := f.call(v)
	if f.err != nil {
		return call, f.err
	}
	if other.Name != "" {
		return other, nil
	}
	other.Name, other.Native, other.Args = call.Name, call.Native, call.Args
	return other, nil
}

// includes reports whether o requires everything that other requires.
func (o Outcome) includes(other Outcome) bool {
	if other.Raises != nil {
		return o.Raises.includes(other.Raises)
	}
	return o.Raises == nil && o.Hangs == 0 && SameWire(o.Returns, other.Returns, false, true) == nil
}

func (r *Raises) includes(other *Raises) bool {
	if r == nil || other == nil {
		return other == nil
	}
	return r.Class == other.Class && r.Desc == other.Desc && r.State == other.State && r.Required == other.Required &&
		r.Cause.includes(other.Cause)
}

// parseSteps parses one step, or a list of steps.
func parseSteps(text string) ([]Step, error) {
	v, err := Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	f := fields{of: "exception"}
	var steps []Step
	for _, v := range list {
		steps = append(steps, f.step(v))
	}
	return steps, f.err
}
