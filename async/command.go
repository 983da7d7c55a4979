package async

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/internal/proto"
)

// A Command is everything that a command can carry.
type Command struct {
	// Name is the command's name, such as "query-status".
	Name string

	// Args is nil for no arguments member, or what encodes to a JSON object.
	Args any

	// OOB executes the command out of band.
	OOB bool

	// Files are sent along, in the same message, to be received by commands
	// such as add-fd and getfd. That needs a unix socket. They stay the
	// caller's; when the call has returned they are not touched any more.
	//
	// QEMU looks at the mode in which a file was opened only when a command uses it.
	// For a file of add-fd, "/dev/fdset/N", the mode has to be exactly the one that
	// the command needs: os.O_RDONLY for a block node that is read-only, os.O_RDWR
	// for one that is not. A set may hold a file for each.
	Files []*os.File

	// ID is the caller's own id for the command, "" for one of the engine's.
	// It must not belong to a command that is still unanswered.
	ID string

	// Object is a whole message in place of Name, Args, OOB and ID: what
	// encodes to a JSON object is sent as it is. It gets an id if it has none;
	// one that it has must be a string.
	Object any

	// TakesErrorWithoutID lets an error reply without an id answer this
	// command, if it is the only one unanswered and has no id of the caller's:
	// so does QEMU refuse what its parser cannot read. Without it, such a
	// reply ends the connection.
	TakesErrorWithoutID bool
}

// Member is one member of a JSON object.
type Member struct {
	Name  string
	Value any
}

// Members is a JSON object that keeps the order of its members on the wire,
// where a map's go out sorted.
type Members []Member

// MarshalJSON implements json.Marshaler. nil is an empty object.
func (ms Members) MarshalJSON() ([]byte, error) {
	var buf bytes.Buffer
	enc := jsontext.NewEncoder(&buf)
	if err := enc.WriteToken(jsontext.BeginObject); err != nil {
		return nil, err
	}
	for _, m := range ms {
		if err := enc.WriteToken(jsontext.String(m.Name)); err != nil {
			return nil, err
		}
		if err := proto.EncodeValue(enc, m.Value); err != nil {
			return nil, err
		}
	}
	if err := enc.WriteToken(jsontext.EndObject); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(buf.Bytes()), nil
}

// outgoing is a Command made ready to be sent.
type outgoing struct {
	Command
	json  []byte   // the arguments, nil for none; or the whole object
	whole bool     // json is the whole object
	id    proto.ID // the caller's, or NoID for one of the engine's
}

// prepare encodes and checks what can be checked before the command has an id.
func (cmd Command) prepare(maxSend int) (*outgoing, error) {
	out := &outgoing{Command: cmd}
	if cmd.Object != nil {
		return out, out.prepareObject(maxSend)
	}
	if cmd.Name == "" {
		return nil, refused("message", errors.New("the command has no name"))
	}
	if !proto.ValidText(cmd.Name) {
		return nil, refused("message", fmt.Errorf("command name %q: not Unicode text that QEMU takes", cmd.Name))
	}
	if !proto.ValidText(cmd.ID) {
		return nil, &InvalidIDError{ID: fmt.Sprintf("%q", cmd.ID), Reason: "not Unicode text that QEMU gives back"}
	}
	if cmd.ID != "" {
		out.id = proto.TextualID(cmd.ID)
	}
	if cmd.Args != nil {
		args, err := proto.AppendObject(nil, cmd.Args)
		if err != nil {
			return nil, refused(cmd.Name, fmt.Errorf("arguments: %w", err))
		}
		out.json = args
	}
	return out, out.checkSize(len(out.json), maxSend)
}

func (out *outgoing) prepareObject(maxSend int) error {
	obj, err := proto.AppendObject(nil, out.Object)
	if err != nil {
		return refused("message", err)
	}
	parsed := proto.ParseCommand(obj)
	out.Name, out.OOB = parsed.Name, parsed.OOB
	if parsed.RawID != nil {
		if parsed.ID.Kind != proto.TextID {
			return &InvalidIDError{ID: shorten(parsed.RawID), Reason: "must be a string"}
		}
		out.id = parsed.ID
	}
	out.json, out.whole = obj, true
	return out.checkSize(len(obj), maxSend)
}

func (out *outgoing) checkSize(n, maxSend int) error {
	if n > maxSend {
		return &MessageError{
			Reason: TooLarge, Command: out.label(), Limit: maxSend,
			Err: fmt.Errorf("%d bytes, larger than the limit of %d bytes (async.Options.MaxMessage)", n, maxSend),
		}
	}
	return nil
}

// label names the command in errors.
func (out *outgoing) label() string {
	if out.Name == "" {
		return "message"
	}
	return out.Name
}

// append appends the message to dst, with id unless it is a whole object that
// brought its own.
func (out *outgoing) append(dst []byte, id proto.ID) []byte {
	switch {
	case !out.whole:
		return proto.AppendCommand(dst, out.Name, out.OOB, out.json, id)
	case out.id.Kind != proto.NoID:
		return append(dst, out.json...)
	default:
		return proto.AppendWithID(dst, out.json, id)
	}
}

// forget lets go of what was sent, which may be large, of a command that stays in
// the books.
func (out *outgoing) forget() { out.Args, out.Object, out.json = nil, nil, nil }

func refused(cmd string, err error) error {
	return &MessageError{Reason: Refused, Command: cmd, Err: err}
}
