package qmptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/goqmp/qmp/internal/proto"
)

// The error texts in this file are those of QEMU 7.2.

// maxDepth is how many levels of nesting QEMU's parser accepts in a message.
const maxDepth = 1024

func asError(err error) (*Error, bool) {
	e, ok := errors.AsType[*Error](err)
	return e, ok
}

// recover takes the error with which a message could not be read. It drops the
// bytes and returns QEMU's reply to them, or nil if the connection has ended.
func (c *client) recover(err error) *Error {
	frame, ok := errors.AsType[*proto.FrameError](err)
	if !ok || frame.Fault == proto.Truncated {
		return nil
	}
	switch frame.Fault {
	case proto.NotObject:
		if c.rcv.SkipValue() != nil {
			return nil
		}
		return genericf("QMP input must be a JSON object")
	case proto.TooDeep:
		c.rcv.Discard()
		return genericf("JSON nesting depth limit exceeded")
	case proto.TooLarge:
		c.rcv.Discard()
		return genericf("JSON token size limit exceeded")
	}
	if c.restart() {
		return genericf("JSON parse error, stray '\uFFFD'")
	}
	text := bytes.TrimLeft(c.rcv.Buf, whitespace)
	defer c.rcv.Discard()
	if len(text) > 0 && text[0] != '{' {
		if word := keyword.Find(text); word != nil {
			return genericf("JSON parse error, invalid keyword '%s'", word)
		}
		if text[0] < ' ' || text[0] > '~' {
			return genericf("JSON parse error, stray '\uFFFD'")
		}
	}
	return genericf("JSON parse error, expecting value")
}

var keyword = regexp.MustCompile(`^[a-z]+`)

// parseFault returns QEMU's reply to a message that the Framer accepts and
// QEMU's stricter parser rejects, or nil.
func parseFault(raw []byte) *Error {
	_, err := proto.AppendObject(nil, json.RawMessage(raw))
	switch {
	case err == nil && depth(raw) > maxDepth:
		return genericf("JSON nesting depth limit exceeded")
	case err == nil:
		return nil
	case errors.Is(err, jsontext.ErrDuplicateName):
		return genericf("JSON parse error, duplicate key")
	}
	if bad := lone.FindSubmatch(raw); bad != nil {
		return genericf("JSON parse error, %s is not a valid Unicode character", bad[0])
	}
	return genericf("JSON parse error, invalid UTF-8 sequence in string")
}

// lone finds, in a text that is known to have a lone surrogate, the first escape
// of a surrogate.
var lone = regexp.MustCompile(`\\u[dD][89a-fA-F][0-9a-fA-F]{2}`)

// depth returns how many levels raw, well-formed JSON, has.
func depth(raw []byte) (deepest int) {
	level, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			level++
			deepest = max(deepest, level)
		case c == '}' || c == ']':
			level--
		}
	}
	return deepest
}

// isOOB reports whether QEMU executes raw without waiting for the commands before
// it. QEMU does so even where out-of-band execution is not enabled: it checks
// that afterwards, and then replies with an error.
func isOOB(raw []byte) bool {
	var inBand, oob bool
	proto.Members(raw, func(name string, _ []byte) bool {
		inBand = inBand || name == "execute"
		oob = oob || name == "exec-oob"
		return true
	})
	return oob && !inBand
}

// dispatch finds the handler for cmd and runs it.
func (c *client) dispatch(cmd *Command) (any, error) {
	c.mu.Lock()
	negotiated, oob := c.negotiated, c.oob
	c.mu.Unlock()
	if err := checkMembers(cmd.Raw, oob); err != nil {
		return nil, err
	}
	if c.srv.opts.NoGreeting {
		// The guest agent has no negotiation.
	} else if cmd.Name == "qmp_capabilities" {
		if cmd.OOB {
			return nil, genericf("The command %s does not support OOB", cmd.Name)
		}
		if negotiated {
			return nil, &Error{CommandNotFound, "Capabilities negotiation is already complete, command ignored"}
		}
		return nil, c.negotiate(cmd.Arguments)
	} else if !negotiated {
		return nil, &Error{CommandNotFound, "Expecting capabilities negotiation with 'qmp_capabilities'"}
	}

	c.srv.mu.Lock()
	h := c.srv.handlers[cmd.Name]
	c.srv.mu.Unlock()
	switch {
	case h == nil:
		return nil, &Error{CommandNotFound, "The command " + cmd.Name + " has not been found"}
	case cmd.OOB && !h.oob:
		return nil, genericf("The command %s does not support OOB", cmd.Name)
	}
	if !h.any {
		if err := checkArguments(cmd.Arguments, h.params); err != nil {
			return nil, err
		}
	}
	return h.run(c.ctx, cmd)
}

// checkMembers returns QEMU's error for a command with wrong members, or nil. oob
// is whether out-of-band execution is enabled.
func checkMembers(raw []byte, oob bool) error {
	var verb string
	var fault *Error
	proto.Members(raw, func(name string, value []byte) bool {
		switch {
		case name == "execute" || name == "exec-oob" && oob:
			if _, ok := proto.Text(value); !ok {
				fault = genericf("QMP input member '%s' must be a string", name)
			} else if verb != "" {
				fault = genericf("QMP input member '%s' clashes with '%s'", name, verb)
			}
			verb = name
		case name == "arguments":
			if !proto.IsObject(value) {
				fault = genericf("QMP input member 'arguments' must be an object")
			}
		case name == "id":
		default:
			fault = genericf("QMP input member '%s' is unexpected", name)
		}
		return fault == nil
	})
	switch {
	case fault != nil:
		return fault
	case verb == "":
		return genericf("QMP input lacks member 'execute'")
	}
	return nil
}

// negotiate enables the capabilities that a client asks for.
func (c *client) negotiate(arguments []byte) error {
	if err := checkArguments(arguments, []param{{name: "enable", kind: "array", optional: true}}); err != nil {
		return err
	}
	var oob bool
	var fault *Error
	proto.Members(arguments, func(_ string, list []byte) bool {
		i := -1
		proto.Elements(list, func(value []byte) bool {
			i++
			switch name, ok := proto.Text(value); {
			case !ok:
				fault = genericf("Invalid parameter type for 'enable[%d]', expected: string", i)
			case name != "oob":
				fault = genericf("Parameter 'null' does not accept value '%s'", name)
			case c.srv.opts.NoOOB:
				fault = genericf("Capability %s is not available", name)
			}
			oob = true
			return fault == nil
		})
		return fault == nil
	})
	if fault != nil {
		return fault
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.negotiated, c.oob = true, oob
	return nil
}

// A param is one argument that a command of the machine takes.
type param struct {
	name     string
	kind     string // string, boolean, integer or array
	optional bool
}

// checkArguments returns QEMU's error for arguments that do not fit params, or
// nil.
func checkArguments(arguments []byte, params []param) error {
	given := make(map[string][]byte)
	proto.Members(arguments, func(name string, value []byte) bool {
		given[name] = value
		return true
	})
	for _, p := range params {
		value, ok := given[p.name]
		switch {
		case !ok && p.optional:
		case !ok:
			return genericf("Parameter '%s' is missing", p.name)
		case kindOf(value) != p.kind:
			return genericf("Invalid parameter type for '%s', expected: %s", p.name, p.kind)
		}
		delete(given, p.name)
	}
	var fault *Error
	proto.Members(arguments, func(name string, _ []byte) bool {
		if _, ok := given[name]; ok {
			fault = genericf("Parameter '%s' is unexpected", name)
		}
		return fault == nil
	})
	if fault != nil {
		return fault
	}
	return nil
}

// kindOf returns QEMU's name for the type of value. All numbers are integers, as
// no command of the machine takes another number.
func kindOf(value []byte) string {
	switch value[0] {
	case '"':
		return "string"
	case '[':
		return "array"
	case '{':
		return "object"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "integer"
}
