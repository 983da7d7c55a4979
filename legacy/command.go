package legacy

import (
	"encoding/json"
	"strings"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/proto"
	qmpsync "github.com/goqmp/qmp/sync"
)

// Cmd executes a command and returns the whole reply. An error reply is data
// here, not an error: look for the member "error". args is what encodes to a
// JSON object: a map, a struct, raw JSON, [async.Members]; nil or an object
// without members is not sent. id is at most one id of the caller's own, which
// the reply then holds; "" is none.
//
// The error is an [*async.InvalidIDError], an [*async.MessageError], an
// [*async.StateError], or an [*async.ExecInterruptedError] around what ended the
// call: an [*async.TimeoutError] of SetTimeout, or the end of the connection.
func (q *QEMUMonitorProtocol) Cmd(name string, args any, id ...string) (map[string]any, error) {
	if len(id) > 1 {
		return nil, &async.InvalidIDError{ID: strings.Join(id, ", "), Reason: "there can be only one"}
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

// unnamed is the command whose name is empty. The engine refuses one, but the old
// module sends it.
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

// CmdObj sends obj as it is, and returns the whole reply like
// [QEMUMonitorProtocol.Cmd]. obj is what encodes to a JSON object, such as
// map[string]any{"execute": "stop"}. Its member id, if it has one, must be a
// string.
func (q *QEMUMonitorProtocol) CmdObj(obj any) (map[string]any, error) {
	if obj == nil {
		obj = json.RawMessage("null") // which is refused, where no Object at all would be a command without a name
	}
	cmd := async.Command{Object: obj, TakesErrorWithoutID: true}
	// What does not encode is left to the engine, which says why.
	if raw, err := proto.AppendObject(nil, obj); err == nil {
		id := proto.ParseCommand(raw).ID
		if err := checkID(id.Text); err != nil {
			return nil, err
		}
		cmd.Object = json.RawMessage(raw)
	}
	return q.reply(cmd)
}

// Command executes a command and returns the value of the reply's return member
// (see the package comment for its type). args is as in Cmd, except that it is
// always sent, nil as an object without members. An error reply is an
// [*async.ExecuteError] here, a malformed reply an [*async.BadReplyError]; the
// connection stays usable behind both. All other errors are those of Cmd.
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

// reply executes cmd and returns the whole reply, without the id that the engine
// gave it.
func (q *QEMUMonitorProtocol) reply(cmd async.Command) (map[string]any, error) {
	reply, err := q.sync.Do(cmd)
	if err != nil {
		return nil, q.meet(err)
	}
	return reply.Object()
}

// checkID refuses ids that the old module took for its own.
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
		return args // the engine says why
	case string(raw) == "{}":
		return nil
	}
	return json.RawMessage(raw)
}
