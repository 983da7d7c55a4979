package legacy

import (
	"encoding/json"
	"strings"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/proto"
	qmpsync "github.com/goqmp/qmp/sync"
)

// Cmd executes a command and returns the whole reply. An error reply is data, not an
// error: it is a map with a member "error". args is anything that encodes to a JSON
// object: a map, a struct, raw JSON, [async.Members]. If args is nil or has no
// members, the message has no arguments. The caller may give one id of its own,
// which the reply then holds; the id "" means none.
//
// Its errors:
//   - [*async.InvalidIDError]: the id cannot be used, or there are several. Nothing
//     was sent.
//   - [*async.MessageError]: the arguments cannot be encoded, or QEMU would not be
//     able to parse them, and nothing was sent; or a number in the reply is too long.
//   - [*async.StateError]: the object is not connected.
//   - [*async.ExecInterruptedError]: the connection ended, or the limit of
//     SetTimeout or Sync.CommandLimit was reached, an [*async.TimeoutError].
func (q *QEMUMonitorProtocol) Cmd(name string, args any, id ...string) (map[string]any, error) {
	if len(id) > 1 {
		return nil, &async.InvalidIDError{ID: strings.Join(id, ", "), Reason: "a command has at most one id"}
	}
	cmd := async.Command{Name: name, Args: orNone(args), TakesErrorWithoutID: true}
	if len(id) == 1 {
		cmd.ID = id[0]
	}
	if err := checkID(cmd.ID); err != nil {
		return nil, err
	}
	if name == "" {
		cmd = unnamed(cmd.Args, cmd.ID)
	}
	return q.reply(cmd)
}

// unnamed returns a command whose name is empty. The engine refuses such a
// Command.Name, but the old module sends the command, so this one gives the engine
// the whole message.
func unnamed(args any, id string) async.Command {
	obj := async.Members{{Name: "execute", Value: ""}}
	if args != nil {
		obj = append(obj, async.Member{Name: "arguments", Value: args})
	}
	if id != "" {
		obj = append(obj, async.Member{Name: "id", Value: id})
	}
	return async.Command{Object: obj, TakesErrorWithoutID: true}
}

// CmdObj sends obj unchanged and returns the whole reply, like
// [QEMUMonitorProtocol.Cmd]. obj is anything that encodes to a JSON object, such as
// map[string]any{"execute": "stop"}. If it has a member id, that must be a string.
// Errors are those of Cmd.
func (q *QEMUMonitorProtocol) CmdObj(obj any) (map[string]any, error) {
	if obj == nil {
		obj = json.RawMessage("null") // the engine refuses it; a nil Object would mean a command with an empty name
	}
	cmd := async.Command{Object: obj, TakesErrorWithoutID: true}
	// If obj does not encode, the engine returns the error that says why.
	if raw, err := proto.AppendObject(nil, obj); err == nil {
		id := proto.ParseCommand(raw).ID
		if err := checkID(id.Text); err != nil {
			return nil, err
		}
		cmd.Object = json.RawMessage(raw)
	}
	return q.reply(cmd)
}

// Command executes a command and returns the value of the reply's return member.
// The package comment says which Go types it has. args is as in
// [QEMUMonitorProtocol.Cmd], except that arguments are always sent: nil as an object
// without members. An error reply is an [*async.ExecuteError] and a malformed reply
// is an [*async.BadReplyError]; the connection stays usable after both. All other
// errors are those of Cmd.
func (q *QEMUMonitorProtocol) Command(name string, args any) (any, error) {
	if args == nil {
		args = async.Members{}
	}
	if name == "" {
		reply, err := q.sync.Do(unnamed(args, ""))
		if err != nil {
			return nil, q.meet(err)
		}
		var v any
		err = reply.Decode(&v)
		return v, err
	}
	value, err := qmpsync.Call[any](q.sync, name, args)
	return value, q.meet(err)
}

// reply executes cmd and returns the whole reply. If the engine chose the id, the
// reply is returned without it.
func (q *QEMUMonitorProtocol) reply(cmd async.Command) (map[string]any, error) {
	reply, err := q.sync.Do(cmd)
	if err != nil {
		return nil, q.meet(err)
	}
	return reply.Object()
}

// checkID refuses the ids that the old module reserved for itself.
func checkID(id string) error {
	const reserved = "__qmp#"
	if strings.HasPrefix(id, reserved) {
		return &async.InvalidIDError{ID: id, Reason: "must not begin with " + reserved}
	}
	return nil
}

// orNone returns args, or nil if they have no members.
func orNone(args any) any {
	switch args := args.(type) {
	case nil:
		return nil
	case map[string]any:
		if len(args) == 0 {
			return nil
		}
		return args
	}
	raw, err := proto.AppendObject(nil, args)
	switch {
	case err != nil:
		return args // the engine returns the error that says why
	case string(raw) == "{}":
		return nil
	}
	return json.RawMessage(raw)
}
