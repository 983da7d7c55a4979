package async

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/internal/proto"
)

// A Reply is the server's reply to a command: a success or an error. Its bytes are
// valid JSON. All copies of a Reply share them: do not change them. Any number of
// goroutines may use a Reply at the same time.
type Reply struct {
	command  string
	raw      json.RawMessage
	result   json.RawMessage // the value of the member return in raw; nil if absent
	failure  json.RawMessage // the value of the member error in raw; nil if absent
	engineID bool            // the id in raw is the engine's, not the caller's
}

// newReply returns the reply m to the command out.
func newReply(out *outgoing, m proto.Message) Reply {
	r := reply(out.Name, m)
	r.engineID = out.id.Kind == proto.NoID
	return r
}

func reply(command string, m proto.Message) Reply {
	return Reply{command: command, raw: m.Raw, result: m.Return, failure: m.Error}
}

// ParseReply returns the Reply in raw, the whole JSON object, which was received
// elsewhere. command is the command that it answers; errors name it. raw is copied.
//
// The error is a [*MessageError] if raw is not exactly one JSON object, or if it nests
// deeper than 10,000 levels. If the object is not a reply, ParseReply returns a Reply
// whose Err is a [*BadReplyError], as a connection does.
func ParseReply(command string, raw []byte) (Reply, error) {
	m, err := parseMessage(raw)
	if err != nil {
		return Reply{}, err
	}
	return reply(command, m), nil
}

// Raw returns the whole reply as it came, with its id. Do not change it.
func (r Reply) Raw() json.RawMessage { return r.raw }

// Object returns the whole reply, a success or an error, as a map. It has the id of the
// command only if that was the caller's own. The values have the types that [Call] has
// for an any. The error is a [*MessageError] if a number has more than 4,300 digits, or if
// the reply has more than 2,097,152 values.
// The map belongs to the caller. For the zero Reply it is nil.
func (r Reply) Object() (map[string]any, error) {
	m, err := decodeObject(r.raw)
	if err != nil {
		return nil, fmt.Errorf("qmp: %s: reply: %w", words(r.command), err)
	}
	if r.engineID {
		delete(m, "id")
	}
	return m, nil
}

// Err returns an [*ExecuteError] for an error reply, a [*BadReplyError] for a malformed
// one, and nil for a success.
func (r Reply) Err() error {
	if r.failure == nil && r.result != nil {
		return nil
	}
	if class, desc, ok := proto.ParseError(r.failure); ok {
		return &ExecuteError{Command: r.command, Class: class, Desc: desc, Reply: r}
	}
	return &BadReplyError{Command: r.command, Reply: r}
}

// Value returns the value of the return member, as JSON, or the error that
// [Reply.Err] returns. Do not change the value.
func (r Reply) Value() (json.RawMessage, error) {
	if err := r.Err(); err != nil {
		return nil, err
	}
	return r.result, nil
}

// Decode stores the value of the return member in v, a pointer, by the rules of [Call],
// or returns the error that [Reply.Err] returns. If the value does not fit v, the error
// says so and names the command. If a number has more than 4,300 digits, or the reply more
// than 2,097,152 values, it matches a [*MessageError].
func (r Reply) Decode(v any) error {
	result, err := r.Value()
	if err != nil {
		return err
	}
	return misfit(decode(result, v), r.command+": reply", v)
}

// decode stores raw in v by the rules of [Call]. raw has been validated before.
func decode(raw []byte, v any) error {
	if v, ok := v.(*any); ok && *v == nil {
		value, err := proto.Decode(raw) // has the same result as below, and does not validate again
		if err == nil {
			*v = value
		}
		return tooLong(err)
	}
	return tooLong(proto.Unmarshal(raw, v))
}

// misfit returns nil if err is nil, or else an error which says that what does not fit
// v.
func misfit(err error, what string, v any) error {
	switch err.(type) {
	case nil:
		return nil
	case *MessageError: // what does not fit any type: see tooLong
		return fmt.Errorf("qmp: %s: %w", words(what), err)
	}
	return fmt.Errorf("qmp: %s does not fit a %T: %w", words(what), v, harmless.Error(err))
}

// decodeObject returns the map form of raw, an object that has been validated before.
func decodeObject(raw []byte) (map[string]any, error) {
	v, err := proto.Decode(raw)
	if err != nil {
		return nil, tooLong(err)
	}
	m, _ := v.(map[string]any)
	return m, nil
}

// tooLong returns a [*MessageError] if err is the decoder's error about a number that is
// too long, or about too many values. It returns any other error unchanged.
func tooLong(err error) error {
	var frame *proto.FrameError
	if errors.As(err, &frame) {
		return messageError(frame)
	}
	return err
}
