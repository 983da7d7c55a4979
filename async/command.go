package async

import (
	"errors"
	"fmt"
	"os"

	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/secrets"
)

// A Command is a command to execute with [Client.Do], and everything that it can
// carry. Only a name is needed, or an Object.
type Command struct {
	// Name is the command's name, such as "query-status".
	Name string

	// Args is nil for no arguments, or a value that encodes to a JSON object: a map, a
	// struct, raw JSON, [Members].
	Args any

	// OOB executes the command out of band: see [Client.ExecuteOOB].
	OOB bool

	// Files are sent in the same message, for commands that take file descriptors,
	// such as add-fd and getfd. That needs a unix socket. The files belong to the
	// caller. They are not used any more when the call has returned.
	//
	// QEMU checks the mode in which a file was opened only when a command uses it.
	// For a file of add-fd, "/dev/fdset/N", the mode has to be exactly the one that
	// the command needs: os.O_RDONLY for a block node that is read-only, os.O_RDWR
	// for one that is not. A set may hold a file for each.
	Files []*os.File

	// ID is an id of the caller's own for the command. It must not be the id of a
	// command that is still unanswered. If it is "", the engine chooses an id.
	ID string

	// Object is a whole message, in place of Name, Args, OOB and ID: a value that
	// encodes to a JSON object, which is sent as it is. If it has no id, the engine
	// adds one. If it has an id, that must be a string.
	Object any

	// TakesErrorWithoutID decides what happens when an error reply without an id
	// comes while this is the only unanswered command: QEMU sends one if it cannot
	// parse a message. If it is true and the id is the engine's, that error reply is
	// the reply to this command. Otherwise it ends the connection with a
	// [ServerParseError].
	TakesErrorWithoutID bool
}

// An outgoing is a Command that is encoded and checked, except for its id.
type outgoing struct {
	Command
	json  []byte   // the arguments, nil for none; or the whole message
	whole bool     // json is the whole message
	id    proto.ID // the caller's, or NoID for one of the engine's

	hidden []string // the members of the reply that hold secrets

	preparing bool   // OnConnect of Options.Reconnect executes it
	entry     *entry // nil if the call does not wait for a connection
}

// prepare encodes cmd, and checks everything that can be checked before it has an id.
// maxSend is the limit of the message in bytes.
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
	out.hidden = secrets.InReply(out.Name, out.json)
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
	out.hidden = secrets.InReply(out.Name, parsed.Arguments)
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

// label returns the command's name for errors.
func (out *outgoing) label() string {
	if out.Name == "" {
		return "message"
	}
	return out.Name
}

// append appends the message to dst. It adds id, unless the message is a whole one that
// has an id.
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

// forget drops what was sent, which may be large. The command stays in calls.pending
// although its caller has given up.
func (out *outgoing) forget() { out.Args, out.Object, out.json = nil, nil, nil }

// refused returns the error of a command that is not sent because of err.
func refused(cmd string, err error) error {
	return &MessageError{Reason: Refused, Command: cmd, Err: err}
}
