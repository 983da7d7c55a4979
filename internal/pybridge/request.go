package pybridge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/legacy"
	qmpsync "github.com/goqmp/qmp/sync"
)

// A request is what the other program asks for. An op reads only the members that it
// needs.
type request struct {
	Op     string
	Object uint64 // the object's number; 0 for "parse_address"

	// new
	Path     *string // of a unix socket: each character stands for a byte, as in Latin-1. A zero byte begins an abstract name
	Host     string  // and Port: of a TCP socket, if Path and FD are nil
	Port     int
	FD       *int // an open connection; it stays the caller's. If there is an object with the number, nothing is done
	Server   bool
	Nickname string

	Negotiate bool            // connect
	Message   json.RawMessage // execute: the command, as it is to be sent
	// TakesErrorWithoutID is that of async.Command. (execute)
	TakesErrorWithoutID bool
	Timeout             *float64 // accept, execute, event: in seconds; nil means no limit
	SendFD              int      // send_fd: the descriptor, which stays the caller's
	Text                string   // parse_address
}

// run executes one request and returns the value of its result as JSON.
func (b *Bridge) run(ctx context.Context, text []byte) (value []byte, err error) {
	defer func() {
		// A panic would end the other program, with all that it has not saved yet.
		if p := recover(); p != nil {
			value, err = nil, fmt.Errorf("internal error, please report it: %v", p)
		}
	}()
	var r request
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("malformed request: %w", err)
	}
	switch r.Op {
	case "new":
		return nil, b.make(ctx, r)
	case "parse_address":
		return parseAddress(r.Text)
	}
	q := b.object(r.Object)
	if q == nil {
		return nil, fmt.Errorf("%s: there is no object %d", r.Op, r.Object)
	}
	do, ok := ops[r.Op]
	if !ok {
		if r.Op == "release" {
			return nil, b.release(r.Object, q)
		}
		return nil, fmt.Errorf("unknown op %q", r.Op)
	}
	return do(ctx, q, r)
}

// ops are the requests for an object, except release.
var ops = map[string]func(context.Context, *legacy.QEMUMonitorProtocol, request) ([]byte, error){
	"connect": connect,
	"accept":  accept,
	"execute": execute,
	"event":   nextEvent,
	"try_event": func(_ context.Context, q *legacy.QEMUMonitorProtocol, _ request) ([]byte, error) {
		ev, _ := q.TryEvent()
		return ev.Raw(), nil
	},
	"events": queuedEvents,
	"queued": func(_ context.Context, q *legacy.QEMUMonitorProtocol, _ request) ([]byte, error) {
		return strconv.AppendInt(nil, int64(q.Sync().Events().Len()), 10), nil
	},
	"clear": func(_ context.Context, q *legacy.QEMUMonitorProtocol, _ request) ([]byte, error) {
		q.ClearEvents()
		return nil, nil
	},
	"close": func(_ context.Context, q *legacy.QEMUMonitorProtocol, _ request) ([]byte, error) {
		return nil, q.Close()
	},
	"runstate": func(_ context.Context, q *legacy.QEMUMonitorProtocol, _ request) ([]byte, error) {
		return json.Marshal(stateName(q.Sync().Runstate()))
	},
	"send_fd": sendFD,
}

// make makes an object. Python's module has no time limit for connect, so this has
// none either: the other program ends the call if it takes too long.
func (b *Bridge) make(ctx context.Context, r request) error {
	opts := &legacy.Options{Server: r.Server, Nickname: r.Nickname, Sync: qmpsync.Options{ConnectLimit: -1}}
	addr := ""
	switch {
	case r.FD != nil:
		// If the caller was interrupted after it had sent the request, it sends it again.
		// The request that comes second, whichever that is, must not use the descriptor:
		// the caller can have closed it already, and given its number to another file.
		b.opening.Lock()
		defer b.opening.Unlock()
		if b.object(r.Object) != nil {
			return nil
		}
		conn, err := connOf(*r.FD)
		if err != nil {
			return &async.ConnectError{Stage: async.StageConnection, Err: err}
		}
		opts.Conn = conn
	case r.Path != nil:
		path, err := pathOf(*r.Path)
		if err != nil {
			return err
		}
		addr = unixAddress(path)
	default:
		addr = "tcp:" + net.JoinHostPort(r.Host, strconv.Itoa(r.Port))
	}
	q, err := legacy.New(addr, opts)
	if err != nil {
		if opts.Conn != nil {
			opts.Conn.Close()
		}
		return err
	}
	// A caller that has been interrupted does not know that there is an object.
	if ctx.Err() != nil || !b.add(r.Object, q) {
		q.Close()
		return fmt.Errorf("new: object %d is not made: the call was canceled, or there is one already", r.Object)
	}
	return nil
}

// unixAddress returns the address of a path as package legacy takes it. There @ begins
// an abstract name; in Python a zero byte does, and @ is a character like others.
func unixAddress(path string) string {
	switch {
	case strings.HasPrefix(path, "\x00"):
		path = "@" + path[1:]
	case strings.HasPrefix(path, "@"):
		path = "./" + path
	}
	return legacy.Address{Path: path}.String()
}

// pathOf returns the path whose bytes are the characters of text. JSON cannot have
// any other form of a path that is not valid UTF-8.
func pathOf(text string) (string, error) {
	path := make([]byte, 0, len(text))
	for _, c := range text {
		if c > 0xff {
			return "", fmt.Errorf("malformed request: path with the character %q", c)
		}
		path = append(path, byte(c))
	}
	return string(path), nil
}

// characters is the reverse of pathOf: a text in which each character stands for a byte.
func characters(text []byte) string {
	runes := make([]rune, len(text))
	for i, b := range text {
		runes[i] = rune(b)
	}
	return string(runes)
}

// release closes an object and removes it from the table.
func (b *Bridge) release(number uint64, q *legacy.QEMUMonitorProtocol) error {
	b.mu.Lock()
	delete(b.objects, number)
	b.mu.Unlock()
	return q.Close()
}

func parseAddress(text string) ([]byte, error) {
	a, err := legacy.ParseAddress(text)
	switch {
	case err != nil:
		return nil, err
	case a.TCP:
		return json.Marshal([]any{a.Host, a.Port})
	}
	return json.Marshal(a.Path)
}

func connect(ctx context.Context, q *legacy.QEMUMonitorProtocol, r request) ([]byte, error) {
	defer closeWhenCanceled(ctx, q)()
	if _, err := q.Connect(r.Negotiate); err != nil || !r.Negotiate {
		return nil, err
	}
	return q.Sync().Greeting().Raw(), nil
}

func accept(ctx context.Context, q *legacy.QEMUMonitorProtocol, r request) ([]byte, error) {
	defer closeWhenCanceled(ctx, q)()
	wait := legacy.Forever
	if r.Timeout != nil {
		wait = legacy.For(seconds(*r.Timeout))
	}
	if _, err := q.Accept(wait); err != nil {
		return nil, err
	}
	return q.Sync().Greeting().Raw(), nil
}

// closeWhenCanceled calls q.Close when ctx ends, until its result is called. The
// calls of package legacy that connect take no context; Close ends them.
func closeWhenCanceled(ctx context.Context, q *legacy.QEMUMonitorProtocol) (stop func()) {
	finished := make(chan struct{})
	stopped := context.AfterFunc(ctx, func() {
		defer close(finished)
		q.Close()
	})
	return func() {
		if !stopped() {
			<-finished
		}
	}
}

func execute(ctx context.Context, q *legacy.QEMUMonitorProtocol, r request) ([]byte, error) {
	ctx, cancel := limited(ctx, "command", r.Timeout)
	defer cancel()
	reply, err := q.Do(ctx, async.Command{Object: r.Message, TakesErrorWithoutID: r.TakesErrorWithoutID})
	return reply.Raw(), err
}

func nextEvent(ctx context.Context, q *legacy.QEMUMonitorProtocol, r request) ([]byte, error) {
	if r.Timeout != nil && *r.Timeout < 0 {
		// As in Python, this is the error for the time limit, even if there is an event.
		_, err := q.PullEvent(legacy.For(-1))
		return nil, err
	}
	ctx, cancel := limited(ctx, "wait for an event", r.Timeout)
	defer cancel()
	ev, err := q.NextEvent(ctx)
	return ev.Raw(), err
}

// queuedEvents returns a list of the events in the queue, and removes them.
func queuedEvents(_ context.Context, q *legacy.QEMUMonitorProtocol, r request) ([]byte, error) {
	// Events that come from here on are left to the next request: a fast server could
	// otherwise keep this one busy for ever.
	var list [][]byte
	for range q.Sync().Events().Len() {
		ev, ok := q.TryEvent()
		if !ok {
			break
		}
		list = append(list, ev.Raw())
	}
	return append(append([]byte{'['}, bytes.Join(list, []byte{','})...), ']'), nil
}

func sendFD(_ context.Context, q *legacy.QEMUMonitorProtocol, r request) ([]byte, error) {
	f, err := fileOf(r.SendFD)
	if state := q.Sync().Runstate(); err != nil && state != async.Running {
		return nil, &async.StateError{Op: "send file descriptors", State: state, Required: async.Running}
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return nil, q.SendFDSCM(f)
}

// limited returns a context that ends after the seconds, or with ctx if timeout is nil.
func limited(ctx context.Context, op string, timeout *float64) (context.Context, context.CancelFunc) {
	if timeout == nil {
		return ctx, func() {}
	}
	d := seconds(*timeout)
	return context.WithTimeoutCause(ctx, d, &async.TimeoutError{Op: op, Limit: d})
}

// seconds returns n seconds as a duration, or the longest or shortest duration there is.
func seconds(n float64) time.Duration {
	switch d := n * float64(time.Second); {
	case math.IsNaN(d), d <= 0:
		return 0
	case d >= math.MaxInt64:
		return math.MaxInt64
	default:
		return time.Duration(d)
	}
}
