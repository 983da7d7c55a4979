package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"

	"github.com/goqmp/qmp/bench/internal/measure"
)

// The control is the engine that a good Go programmer writes in an afternoon on
// encoding/json: a goroutine reads, a map has the calls that wait, a mutex lets one
// command at a time be written. It has no window, no limits, and few errors.
type control struct {
	conn   net.Conn
	events chan controlEvent

	writing sync.Mutex

	mu      sync.Mutex // guards the fields below
	lastID  uint64
	pending map[uint64]chan controlReply
	err     error // why the connection ended
}

type controlCommand struct {
	Execute   string `json:"execute"`
	Arguments any    `json:"arguments,omitempty"`
	ID        uint64 `json:"id"`
}

type controlReply struct {
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	ID *uint64 `json:"id"`
	controlEvent
}

type controlEvent struct {
	Event     string          `json:"event"`
	Data      json.RawMessage `json:"data"`
	Timestamp struct {
		Seconds      int64 `json:"seconds"`
		Microseconds int64 `json:"microseconds"`
	} `json:"timestamp"`
}

func dialControl(ctx context.Context, addr string) (*control, error) {
	conn, err := net.Dial("unix", addr)
	if err != nil {
		return nil, err
	}
	c := &control{conn: conn, events: make(chan controlEvent, 1024), pending: make(map[uint64]chan controlReply)}
	dec := json.NewDecoder(conn)
	var greeting struct {
		QMP json.RawMessage
	}
	if err := dec.Decode(&greeting); err != nil {
		return nil, err
	}
	go c.read(dec)
	return c, c.execute(ctx, "qmp_capabilities", nil, nil)
}

func (c *control) read(dec *json.Decoder) {
	defer close(c.events)
	for {
		var m controlReply
		if err := dec.Decode(&m); err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.err = err
			for _, reply := range c.pending {
				close(reply)
			}
			c.pending = nil
			return
		}
		switch {
		case m.Event != "":
			c.events <- m.controlEvent
		case m.ID != nil:
			c.mu.Lock()
			reply := c.pending[*m.ID]
			delete(c.pending, *m.ID)
			c.mu.Unlock()
			if reply != nil {
				reply <- m
			}
		}
	}
}

// execute executes a command, and decodes the value of its reply into result unless
// that is nil.
func (c *control) execute(ctx context.Context, name string, args, result any) error {
	reply := make(chan controlReply, 1)
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return c.err
	}
	c.lastID++
	id := c.lastID
	c.pending[id] = reply
	c.mu.Unlock()

	text, err := json.Marshal(controlCommand{Execute: name, Arguments: args, ID: id})
	if err == nil {
		c.writing.Lock()
		_, err = c.conn.Write(text)
		c.writing.Unlock()
	}
	if err != nil {
		c.forget(id)
		return err
	}
	select {
	case m, ok := <-reply:
		switch {
		case !ok:
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.err
		case m.Error != nil:
			return fmt.Errorf("%s: %s", m.Error.Class, m.Error.Desc)
		case result == nil:
			return nil
		}
		return json.Unmarshal(m.Return, result)
	case <-ctx.Done():
		c.forget(id)
		return ctx.Err()
	}
}

func (c *control) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// withControl measures one of the control's operations.
func withControl(run func(context.Context, measure.Job, *control) (measure.Sample, error)) func(measure.Job) (measure.Sample, error) {
	return func(job measure.Job) (measure.Sample, error) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		c, err := dialControl(ctx, job.Addr)
		if err != nil {
			return measure.Sample{}, err
		}
		defer c.conn.Close()
		return run(ctx, job, c)
	}
}

func runControl(ctx context.Context, job measure.Job, c *control) (measure.Sample, error) {
	return measure.Loop(job, func() error {
		var s statusInfo
		return c.execute(ctx, "query-status", nil, &s)
	})
}

func runControlTogether(ctx context.Context, job measure.Job, c *control) (measure.Sample, error) {
	return measure.Together(job, callers, func() error {
		var s statusInfo
		return c.execute(ctx, "query-status", nil, &s)
	})
}

func runControlEvents(ctx context.Context, job measure.Job, c *control) (measure.Sample, error) {
	return measure.Run(job, func(n int) error {
		if err := c.execute(ctx, "flood", floodArgs{n}, nil); err != nil {
			return err
		}
		for range n {
			if _, ok := <-c.events; !ok {
				return c.err
			}
		}
		return nil
	})
}

func runControlLarge(ctx context.Context, job measure.Job, c *control) (measure.Sample, error) {
	return measure.Loop(job, func() error {
		var nodes []node
		if err := c.execute(ctx, "query-named-block-nodes", nil, &nodes); err != nil {
			return err
		}
		return checkNodes(nodes)
	})
}

func runControlSession(job measure.Job) (measure.Sample, error) {
	ctx := context.Background()
	return measure.Loop(job, func() error {
		c, err := dialControl(ctx, job.Addr)
		if err != nil {
			return err
		}
		defer c.conn.Close()
		var s statusInfo
		return c.execute(ctx, "query-status", nil, &s)
	})
}
