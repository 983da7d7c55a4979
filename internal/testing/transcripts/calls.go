package transcripts

import (
	"fmt"
	"os"

	"github.com/goqmp/qmp/async"
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

// NewCaller returns a client that makes these calls of a transcript. It converts
// time limits by wait, and leaves the calls that only one generation has to own.
func NewCaller[W any](calls Calls[W], wait func(Wait) W, own func(Call) (any, error)) Client {
	return &caller[W]{calls, wait, own, calls.Sync().NewListener(nil)}
}

type caller[W any] struct {
	Calls[W]
	wait  func(Wait) W
	own   func(Call) (any, error)
	heard *qmpsync.EventListener // has every event that was read, because nobody reads this listener
}

// Heard implements [Client].
func (c *caller[W]) Heard() int { return c.heard.Len() }

// IsRunning implements [Client].
func (c *caller[W]) IsRunning() bool { return c.Sync().Runstate() == async.Running }

// End implements [Client].
func (c *caller[W]) End() { c.Sync().Close() }

// Call implements [Client].
func (c *caller[W]) Call(call Call) (any, error) {
	switch call.Name {
	case "connect":
		return Dict(c.Connect(call.IsTrue("negotiate", true)))
	case "accept":
		wait, err := call.Seconds("timeout", defaultAccept)
		if err != nil {
			return nil, err
		}
		return Dict(c.Accept(c.wait(wait)))
	case "cmd_obj":
		return Dict(c.CmdObj(call.Object("obj")))
	case "pull_event":
		wait, err := call.EventWait()
		if err != nil {
			return nil, err
		}
		return Dict(c.PullEvent(c.wait(wait)))
	case "get_events":
		wait, err := call.EventWait()
		if err != nil {
			return nil, err
		}
		events, err := c.GetEvents(c.wait(wait))
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
			c.SetTimeout(c.wait(wait))
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
	return c.own(call)
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
