package mux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/qemujson"
)

// A request is one message of a user.
type request struct {
	raw       []byte        // the message as JSON; nil if it is not JSON
	command   proto.Command // its parts; the zero Command if it is not an object
	fault     *fault        // the reply, decided before it was queued; nil if it is to be executed
	files     []*os.File    // the request owns them
	sentFiles int           // how many files it came with
	begun     time.Time     // when it was queued
	after     uint64        // how many out-of-band commands of the user have to be answered before; QEMU reads on only after that

	negotiates bool // it is qmp_capabilities, and has succeeded
	oob        bool // it enables out-of-band execution
}

// A fault is an error reply.
type fault struct{ class, desc string }

// The classes of error replies that a Mux makes itself (QEMU's QapiErrorClass).
const (
	classGeneric  = "GenericError"
	classNotFound = "CommandNotFound"
)

func genericf(format string, args ...any) *fault {
	return &fault{classGeneric, fmt.Sprintf(format, args...)}
}

// newRequest returns the request in what the parser has found.
func newRequest(r qemujson.Result) *request {
	req := &request{raw: r.Value, begun: time.Now()}
	switch {
	case r.Fault != "":
		req.fault = &fault{classGeneric, r.Fault}
	case !proto.IsObject(r.Value):
		req.fault = &fault{classGeneric, "QMP input must be a JSON object"}
	default:
		req.command = proto.ParseCommand(r.Value)
	}
	return req
}

// size returns how many bytes the request has while it waits. The text of a fault may repeat
// what the user has sent.
func (r *request) size() int {
	n := len(r.raw)
	if r.fault != nil {
		n += len(r.fault.desc)
	}
	return n
}

// dropFiles closes the request's files.
func (r *request) dropFiles() {
	closeFiles(r.files)
	r.files = nil
}

// isObject reports whether the request is a JSON object, so that it may have an id.
func (r *request) isObject() bool { return r.command.Raw != nil }

// outOfBand reports whether QEMU executes the request without waiting for those before it,
// if out-of-band execution is enabled.
func (r *request) outOfBand() bool {
	var inBand, oob bool
	proto.Members(r.command.Raw, func(name string, _ []byte) bool {
		inBand = inBand || name == "execute"
		oob = oob || name == "exec-oob"
		return true
	})
	return oob && !inBand
}

// takesFiles reports whether the command takes descriptors that were sent before it.
func (r *request) takesFiles() bool {
	return r.fault == nil && (r.command.Name == "getfd" || r.command.Name == "add-fd")
}

// checkMembers returns QEMU's error for a request with wrong members, or nil. oob says
// whether out-of-band execution is enabled.
func (r *request) checkMembers(oob bool) *fault {
	var verb string
	var f *fault
	proto.Members(r.command.Raw, func(name string, value []byte) bool {
		switch {
		case name == "execute" || name == "exec-oob" && oob:
			if _, ok := proto.Text(value); !ok {
				f = genericf("QMP input member '%s' must be a string", name)
			} else if verb != "" {
				f = genericf("QMP input member 'execute' clashes with 'exec-oob'")
			}
			verb = name
		case name == "arguments":
			if !proto.IsObject(value) {
				f = genericf("QMP input member 'arguments' must be an object")
			}
		case name == "id":
		default:
			f = genericf("QMP input member '%s' is unexpected", name)
		}
		return f == nil
	})
	if f == nil && verb == "" {
		f = genericf("QMP input lacks member 'execute'")
	}
	return f
}

// execute executes a request and returns the reply. It waits for the server.
func (u *user) execute(req *request) []byte {
	f := u.check(req)
	var result []byte
	var sent time.Time
	if f == nil && !req.negotiates {
		sent = time.Now()
		result, f = u.forward(req)
	}
	u.audit(req, f, sent)
	var id []byte
	if req.isObject() {
		id = req.command.RawID
	}
	if f != nil {
		return errorReply(f, id)
	}
	if req.negotiates {
		result = []byte("{}")
	}
	return resultReply(result, id)
}

// check returns the error reply to a request that is not for the server, or nil. It executes
// qmp_capabilities.
func (u *user) check(req *request) *fault {
	if req.fault != nil && !req.isObject() {
		return req.fault
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if f := req.checkMembers(u.oob); f != nil {
		return f
	}
	name, oob := req.command.Name, req.command.OOB
	switch {
	case name == "qmp_capabilities" && oob:
		return genericf("The command %s does not support OOB", name)
	case name == "qmp_capabilities":
		return u.negotiate(req)
	case !u.negotiated:
		return &fault{classNotFound, "Expecting capabilities negotiation with 'qmp_capabilities'"}
	case req.fault != nil: // a limit of the door
		return req.fault
	case name == "":
		return &fault{classNotFound, "The command  has not been found"}
	case u.finishing != nil:
		return genericf("The command was not sent: %v", u.finishing)
	}
	if f := u.door.refuses(name); f != nil {
		return f
	}
	if req.takesFiles() && len(req.files) == 0 {
		// The server may still have descriptors of another user's command, which failed
		// before it took them. This user must not get them.
		return genericf("No file descriptor supplied via SCM_RIGHTS")
	}
	return nil
}

// forward has the server execute a command. It returns the value of the reply's return
// member, or the error for the user.
func (u *user) forward(req *request) (result []byte, f *fault) {
	cmd := async.Command{Name: req.command.Name, OOB: req.command.OOB, Files: req.files}
	if req.command.Arguments != nil {
		cmd.Args = json.RawMessage(req.command.Arguments)
	}
	reply, err := u.mux.up.Caller.Do(u.ctx, cmd)
	if err != nil {
		return nil, u.notExecuted(err)
	}
	m := proto.ParseMessage(reply.Raw())
	switch class, desc, isError := proto.ParseError(m.Error); {
	case isError:
		return nil, &fault{class, desc}
	case m.Error != nil || m.Return == nil:
		return nil, genericf("The server's reply to the command is malformed; the command may have been executed")
	}
	return m.Return, nil
}

// notExecuted returns the error reply to a command that the server has not answered because
// of err.
func (u *user) notExecuted(err error) *fault {
	if errors.Is(err, async.ErrNoOOB) {
		return genericf("Out-of-band execution is not enabled on the multiplexer's connection to the server")
	}
	interrupted, ok := errors.AsType[*async.ExecInterruptedError](err)
	if ok {
		err = interrupted.Err
	}
	if why := context.Cause(u.ctx); why != nil && errors.Is(err, context.Canceled) {
		err = why
	}
	// An error of another Caller does not say whether the command was sent.
	if state, isState := errors.AsType[*async.StateError](err); isState || ok && !interrupted.Sent || isRefused(err) {
		if isState && state.Cause != nil {
			err = fmt.Errorf("the multiplexer's client is %s, because the connection has ended: %w", state.State, state.Cause)
		}
		return genericf("The command was not sent: %v", err)
	}
	return genericf("The server has not answered the command, which may have been executed: %v", err)
}

// isRefused reports whether the client has refused to send the command.
func isRefused(err error) bool {
	m, ok := errors.AsType[*async.MessageError](err)
	return ok && m.Command != ""
}

// resultReply returns a success as QEMU writes it.
func resultReply(result, id []byte) []byte {
	reply := make([]byte, 0, len(result)+len(id)+24)
	reply = append(append(reply, `{"return": `...), result...)
	if id != nil {
		reply = append(append(reply, `, "id": `...), id...)
	}
	return append(reply, "}\r\n"...)
}

// errorReply returns an error as QEMU writes it.
func errorReply(f *fault, id []byte) []byte {
	reply := []byte{'{'}
	if id != nil {
		reply = append(append(append(reply, `"id": `...), id...), ", "...)
	}
	reply = append(reply, `"error": {"class": `...)
	reply = qemujson.AppendText(reply, f.class)
	reply = append(reply, `, "desc": `...)
	reply = qemujson.AppendText(reply, f.desc)
	return append(reply, "}}\r\n"...)
}
