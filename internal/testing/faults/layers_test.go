package faults

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/legacy"
	qmpsync "github.com/goqmp/qmp/sync"
)

// connectLimit is the time limit of connecting, and closeLimit that of
// Disconnect, in every layer.
const (
	connectLimit = 10 * time.Second
	closeLimit   = 5 * time.Second
)

// A client has the calls that the three layers have in common. A limit of 0 means
// no limit. A negative limit has already expired.
type client interface {
	connect() error
	execute(limit time.Duration, name string, args any) (value string, err error)
	executeOOB(limit time.Duration, name string) (value string, err error)
	// unattributed executes a command that an error reply without an id may
	// answer, and returns the whole reply.
	unattributed(name string) (reply string, err error)
	// sendFile executes getfd with f.
	sendFile(limit time.Duration, f *os.File) (value string, err error)
	next(limit time.Duration) (event string, err error)
	poll() (event string, err error) // does not wait; "" means no event
	accept() error
	end() error // Disconnect; the error says why the connection has ended
	close() error
	engine() *async.Client
}

var layers = []struct {
	name string
	// open returns a client that is not connected yet. If listenAt is not empty,
	// the client listens there.
	open func(opts async.Options, listenAt string) (client, error)
}{
	{"async", openAsync},
	{"qmpsync", openSync},
	{"legacy", openLegacy},
}

// An asyncClient cancels the contexts of its calls only in release. If the engine
// leaves something registered with a context after a call, the context keeps the
// connection reachable, and the attempt fails.
type asyncClient struct {
	c      *async.Client
	events *async.EventListener

	mu      sync.Mutex
	cancels []func()
}

func openAsync(opts async.Options, listenAt string) (client, error) {
	c := async.New(&opts)
	a := &asyncClient{c: c, events: c.NewListener(nil)}
	if listenAt != "" {
		return a, c.Listen(a.within(connectLimit), listenAt)
	}
	return a, nil
}

func (a *asyncClient) within(limit time.Duration) context.Context {
	ctx := context.Background()
	if limit == 0 {
		return ctx
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cancels = append(a.cancels, cancel)
	return ctx
}

func (a *asyncClient) release() {
	for _, cancel := range a.cancels {
		cancel()
	}
}

func (a *asyncClient) connect() error { return a.c.Connect(a.within(connectLimit), "") }
func (a *asyncClient) accept() error  { return a.c.Accept(a.within(connectLimit)) }

func (a *asyncClient) execute(limit time.Duration, name string, args any) (string, error) {
	v, err := a.c.Execute(a.within(limit), name, args)
	return string(v), err
}

func (a *asyncClient) executeOOB(limit time.Duration, name string) (string, error) {
	v, err := a.c.ExecuteOOB(a.within(limit), name, nil)
	return string(v), err
}

func value(reply async.Reply, err error) (string, error) {
	if err != nil {
		return "", err
	}
	v, err := reply.Value()
	return string(v), err
}

func (a *asyncClient) unattributed(name string) (string, error) {
	reply, err := a.c.Do(context.Background(), async.Command{Name: name, TakesErrorWithoutID: true})
	return string(reply.Raw()), err
}

func (a *asyncClient) sendFile(limit time.Duration, f *os.File) (string, error) {
	return value(a.c.Do(a.within(limit), async.Command{Name: "getfd", Files: []*os.File{f}}))
}

func (a *asyncClient) next(limit time.Duration) (string, error) {
	ev, err := a.events.Next(a.within(limit))
	return ev.Name, err
}

func (a *asyncClient) poll() (string, error) {
	ev, _, err := a.events.TryNext()
	return ev.Name, err
}

func (a *asyncClient) end() error            { return a.c.Disconnect(a.within(closeLimit)) }
func (a *asyncClient) close() error          { return a.c.Close() }
func (a *asyncClient) engine() *async.Client { return a.c }

type syncClient struct{ c *qmpsync.Client }

func syncOptions(opts async.Options) qmpsync.Options {
	return qmpsync.Options{Async: opts, ConnectLimit: connectLimit, CloseLimit: closeLimit}
}

func openSync(opts async.Options, listenAt string) (client, error) {
	o := syncOptions(opts)
	c := qmpsync.New(&o)
	if listenAt != "" {
		return syncClient{c}, c.Listen(listenAt)
	}
	return syncClient{c}, nil
}

func (s syncClient) connect() error { return s.c.Connect("") }
func (s syncClient) accept() error  { return s.c.Accept(connectLimit) }

func (s syncClient) execute(limit time.Duration, name string, args any) (string, error) {
	s.c.SetTimeout(limit)
	v, err := s.c.Execute(name, args)
	return string(v), err
}

func (s syncClient) executeOOB(limit time.Duration, name string) (string, error) {
	s.c.SetTimeout(limit)
	v, err := s.c.ExecuteOOB(name, nil)
	return string(v), err
}

func (s syncClient) unattributed(name string) (string, error) {
	reply, err := s.c.Do(async.Command{Name: name, TakesErrorWithoutID: true})
	return string(reply.Raw()), err
}

func (s syncClient) sendFile(limit time.Duration, f *os.File) (string, error) {
	s.c.SetTimeout(limit)
	return value(s.c.Do(async.Command{Name: "getfd", Files: []*os.File{f}}))
}

func (s syncClient) next(limit time.Duration) (string, error) {
	ev, err := s.c.Events().Next(limit)
	return ev.Name, err
}

func (s syncClient) poll() (string, error) {
	ev, _, err := s.c.Events().TryNext()
	return ev.Name, err
}

func (s syncClient) end() error            { return s.c.Disconnect() }
func (s syncClient) close() error          { return s.c.Close() }
func (s syncClient) engine() *async.Client { return s.c.Async() }

type legacyClient struct{ q *legacy.QEMUMonitorProtocol }

func openLegacy(opts async.Options, listenAt string) (client, error) {
	q, err := legacy.New(listenAt, &legacy.Options{Server: listenAt != "", Sync: syncOptions(opts)})
	return legacyClient{q}, err
}

// wait returns limit in the form that package legacy takes.
func wait(limit time.Duration) legacy.Wait {
	if limit == 0 {
		return legacy.Forever
	}
	return legacy.For(limit)
}

func text(v any, err error) (string, error) {
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(v)
	return string(b), err
}

func (l legacyClient) connect() error { _, err := l.q.Connect(true); return err }
func (l legacyClient) accept() error  { _, err := l.q.Accept(wait(connectLimit)); return err }

func (l legacyClient) execute(limit time.Duration, name string, args any) (string, error) {
	l.q.SetTimeout(wait(limit))
	return text(l.q.Command(name, args))
}

func (l legacyClient) executeOOB(limit time.Duration, name string) (string, error) {
	l.q.SetTimeout(wait(limit))
	reply, err := l.q.CmdObj(map[string]any{"exec-oob": name})
	return text(reply["return"], err)
}

func (l legacyClient) unattributed(name string) (string, error) { return text(l.q.Cmd(name, nil)) }

func (l legacyClient) sendFile(limit time.Duration, f *os.File) (string, error) {
	if err := l.q.SendFDSCM(f); err != nil {
		return "", err
	}
	return l.execute(limit, "getfd", nil)
}

func name(event map[string]any, err error) (string, error) {
	s, _ := event["event"].(string)
	return s, err
}

func (l legacyClient) next(limit time.Duration) (string, error) {
	return name(l.q.PullEvent(wait(limit)))
}

func (l legacyClient) poll() (string, error) { return name(l.q.PullEvent(legacy.NoWait)) }
func (l legacyClient) end() error            { return l.q.Close() }
func (l legacyClient) close() error          { return l.q.Close() }
func (l legacyClient) engine() *async.Client { return l.q.Sync().Async() }
