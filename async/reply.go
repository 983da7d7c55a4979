package async

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/goqmp/qmp/internal/proto"
)

// A Reply is a server's answer to a command, a success or an error. Its bytes
// are valid JSON. They are shared by all copies of the Reply: do not change them.
// Any number of goroutines may use one at the same time.
type Reply struct {
	command  string
	raw      json.RawMessage
	result   json.RawMessage // part of raw; nil if absent
	failure  json.RawMessage // part of raw; nil if absent
	engineID bool            // the id in raw is the engine's, not the caller's
}

func newReply(out *outgoing, m proto.Message) Reply {
	r := reply(out.Name, m)
	r.engineID = out.id.Kind == proto.NoID
	return r
}

func reply(command string, m proto.Message) Reply {
	return Reply{command: command, raw: m.Raw, result: m.Return, failure: m.Error}
}

// ParseReply makes a Reply of one that was received elsewhere: raw is the whole
// object, and command the command that it answers, for errors. raw is copied.
//
// What is not one JSON object, nested no deeper than 10,000 levels, is a
// [*MessageError]. An object that is not a reply gives a Reply whose Err is a
// [*BadReplyError], as it does on a connection.
func ParseReply(command string, raw []byte) (Reply, error) {
	m, err := parseMessage(raw)
	if err != nil {
		return Reply{}, err
	}
	return reply(command, m), nil
}

// Raw returns the whole object, as it came, id included.
func (r Reply) Raw() json.RawMessage { return r.raw }

// Object returns the whole reply, a success or an error, as a map. An id that the
// client gave to the command is left out, an id of the caller's own is in it. The
// values have the types that [Call] has for an any. The error is a
// [*MessageError] if a number has more than 4,300 digits. The map is the
// caller's own. The zero Reply gives nil.
func (r Reply) Object() (map[string]any, error) {
	m, err := decodeObject(r.raw)
	if err != nil {
		return nil, fmt.Errorf("qmp: %s: reply: %w", r.command, err)
	}
	if r.engineID {
		delete(m, "id")
	}
	return m, nil
}

// Err returns the error reply as an [*ExecuteError], a malformed reply as a
// [*BadReplyError], and nil for a success.
func (r Reply) Err() error {
	if r.failure == nil && r.result != nil {
		return nil
	}
	if class, desc, ok := proto.ParseError(r.failure); ok {
		return &ExecuteError{Command: r.command, Class: class, Desc: desc, Reply: r}
	}
	return &BadReplyError{Command: r.command, Reply: r}
}

// Value returns the value of the return member, or Err.
func (r Reply) Value() (json.RawMessage, error) {
	if err := r.Err(); err != nil {
		return nil, err
	}
	return r.result, nil
}

// Decode stores the value of the return member in v, a pointer, by the rule of
// [Call], or returns Err. What does not fit v is an error that names the command.
func (r Reply) Decode(v any) error {
	result, err := r.Value()
	if err != nil {
		return err
	}
	return misfit(decode(result, v), r.command+": reply", v)
}

// decode is how this package decodes JSON that has been validated already.
func decode(raw []byte, v any) error {
	if v, ok := v.(*any); ok && *v == nil {
		value, err := proto.Decode(raw) // the same as below, without validating again
		if err == nil {
			*v = value
		}
		return tooLong(err)
	}
	return tooLong(proto.Unmarshal(raw, v))
}

// misfit says what did not fit v, unless err is nil.
func misfit(err error, what string, v any) error {
	switch err.(type) {
	case nil:
		return nil
	case *MessageError: // it fits nothing
		return fmt.Errorf("qmp: %s: %w", what, err)
	}
	return fmt.Errorf("qmp: %s does not fit a %T: %w", what, v, err)
}

// decodeObject returns the map form of raw, an object that has been validated
// already.
func decodeObject(raw []byte) (map[string]any, error) {
	v, err := proto.Decode(raw)
	if err != nil {
		return nil, tooLong(err)
	}
	m, _ := v.(map[string]any)
	return m, nil
}

// tooLong makes a public error of the decoder's own, which is about a number too
// long to be converted. Other errors pass unchanged.
func tooLong(err error) error {
	var frame *proto.FrameError
	if errors.As(err, &frame) {
		return messageError(frame)
	}
	return err
}
