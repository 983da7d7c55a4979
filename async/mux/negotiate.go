package mux

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/qemujson"
)

// The events that a Mux sends by itself. Their names have the form of a vendor's extension
// (QMP specification, "Downstream extension of QMP").
const (
	// EventsLost says that events of the server did not reach the user. Its data has
	// "events", how many there were.
	EventsLost = "__com.github.goqmp_EVENTS_LOST"

	// ConnectionLost says that the connection to the server has ended, and that users are
	// kept (Options.KeepUsers). Its data has "reason", a text for people.
	ConnectionLost = "__com.github.goqmp_CONNECTION_LOST"
)

// greeting returns what a user is greeted with.
func greeting(g *async.Greeting, noOOB bool) []byte {
	raw := bytes.Clone(g.Raw())
	if noOOB && slices.Contains(g.Capabilities, "oob") {
		raw = withoutOOB(g.Raw())
	}
	return append(raw, "\r\n"...)
}

// withoutOOB returns a greeting without the capability oob.
func withoutOOB(raw []byte) []byte {
	var version []byte
	var rest []string
	proto.Members(proto.ParseMessage(raw).QMP, func(name string, value []byte) bool {
		switch name {
		case "version":
			version = value
		case "capabilities":
			proto.Elements(value, func(value []byte) bool {
				if name, _ := proto.Text(value); name != "oob" {
					rest = append(rest, string(value))
				}
				return true
			})
		}
		return true
	})
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"QMP": {"version": %s, "capabilities": [`, version)
	for i, c := range rest {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c)
	}
	b.WriteString("]}}")
	return b.Bytes()
}

// offersOOB reports whether a user may enable out-of-band execution.
func offersOOB(g *async.Greeting, noOOB bool) bool {
	return !noOOB && slices.Contains(g.Capabilities, "oob")
}

// positions reports whether a QEMU of this version says where a fault is in the input.
// (Seen with 11.1, and not with 10.0.)
func positions(v async.Version) bool { return v.Major >= 11 }

// negotiate executes qmp_capabilities. The words are those of QEMU 7.2 to 11.1, or of 5.2 if
// the server is older than 6.0. mu is held.
func (u *user) negotiate(req *request) *fault {
	enable, f := u.enabled(req.command.Arguments)
	switch {
	case f != nil:
		return f
	case u.negotiated:
		return &fault{classNotFound, "Capabilities negotiation is already complete, command ignored"}
	}
	req.negotiates, req.oob = true, enable
	return nil
}

// enabled returns whether the arguments of qmp_capabilities enable out-of-band execution.
func (u *user) enabled(arguments []byte) (oob bool, f *fault) {
	var unexpected string
	var list []byte
	proto.Members(arguments, func(name string, value []byte) bool {
		if name == "enable" {
			list = value
		} else if unexpected == "" {
			unexpected = name
		}
		return true
	})
	if list != nil && !proto.IsArray(list) {
		return false, genericf("Invalid parameter type for 'enable', expected: array")
	}
	var names []string
	proto.Elements(list, func(value []byte) bool {
		name, ok := proto.Text(value)
		switch {
		case !ok:
			f = genericf("Invalid parameter type for 'enable[%d]', expected: string", len(names))
		case name != "oob" && u.version.Major < 6:
			f = genericf("Invalid parameter '%s'", name)
		case name != "oob":
			f = genericf("Parameter 'null' does not accept value '%s'", name)
		}
		names = append(names, name)
		return f == nil
	})
	switch {
	case f != nil:
		return false, f
	case unexpected != "":
		return false, genericf("Parameter '%s' is unexpected", unexpected)
	case len(names) > 0 && !u.offersOOB && !u.negotiated:
		return false, genericf("Capability oob is not available")
	}
	return len(names) > 0, nil
}

// ownEvent returns an event of the Mux's own.
func ownEvent(now time.Time, name string, data []byte) []byte {
	return fmt.Appendf(nil, "{\"timestamp\": {\"seconds\": %d, \"microseconds\": %d}, \"event\": \"%s\", \"data\": %s}\r\n",
		now.Unix(), now.Nanosecond()/1000, name, data)
}

func lostEvent(now time.Time, events int) []byte {
	return ownEvent(now, EventsLost, fmt.Appendf(nil, `{"events": %d}`, events))
}

func gapEvent(now time.Time, why error) []byte {
	return ownEvent(now, ConnectionLost, append(qemujson.AppendText([]byte(`{"reason": `), why.Error()), '}'))
}
