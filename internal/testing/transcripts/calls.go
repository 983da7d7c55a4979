package transcripts

import (
	"fmt"
	"os"

	qmpsync "github.com/goqmp/qmp/sync"
)

// Calls are the calls that have the same name in both generations of the library.
// W is the type of their time limits.
type Calls[W any] interface {
	Connect(negotiate bool) (map[string]any, error)
	Accept(wait W) (map[string]any, error)
	CmdObj(obj any) (map[string]any, error)
	PullEvent(wait W) (map[string]any, error)
	GetEvents(wait W) ([]map[string]any, error)
	ClearEvents()
	SetTimeout(wait W)
	SendFDSCM(f *os.File) error
	Close() error
	Sync() *qmpsync.Client
}

// A Caller makes these calls of a transcript, and leaves the others to Own.
type Caller[W any] struct {
	Calls[W]
	Wait func(Wait) W            // converts a time limit
	Own  func(Call) (any, error) // makes the calls that only one generation has
}

// Call implements [Client].
func (c *Caller[W]) Call(call Call) (any, error) {
	switch call.Name {
	case "connect":
		return Dict(c.Connect(call.IsTrue("negotiate", true)))
	case "accept":
		wait, err := call.Seconds("timeout", defaultAccept)
		if err != nil {
			return nil, err
		}
		return Dict(c.Accept(c.Wait(wait)))
	case "cmd_obj":
		return Dict(c.CmdObj(call.Object("obj")))
	case "pull_event":
		wait, err := call.EventWait()
		if err != nil {
			return nil, err
		}
		return Dict(c.PullEvent(c.Wait(wait)))
	case "get_events":
		wait, err := call.EventWait()
		if err != nil {
			return nil, err
		}
		events, err := c.GetEvents(c.Wait(wait))
		list := make([]any, len(events))
		for i, ev := range events {
			list[i] = ev
		}
		return list, err
	case "clear_events":
		c.ClearEvents()
		return nil, nil
	case "settimeout":
		wait, err := call.Seconds("timeout", Wait{})
		if err == nil {
			c.SetTimeout(c.Wait(wait))
		}
		return nil, err
	case "send_fd_scm":
		return nil, call.WithFile(c.SendFDSCM)
	case "enter":
		return "self", nil
	case "close", "exit":
		// In Go a context manager is a deferred Close.
		return nil, c.Close()
	}
	return c.Own(call)
}

// Dict returns a map as a value. A nil map becomes nil, Python's None.
func Dict(m map[string]any, err error) (any, error) {
	if m == nil {
		return nil, err
	}
	return m, err
}

// NoSuchCall is the error for a call that the object does not have.
func NoSuchCall(call Call) error { return fmt.Errorf("%s: %w", call.Name, ErrNoSuchCall) }
