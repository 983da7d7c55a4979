package machine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/goqmp/qmp/async"
)

// Args are the arguments of a QMP command, as in iotests: an underscore in a name
// is sent as a dash, so that node_name is sent as node-name. That is so for the names
// of the arguments, and not for names inside their values. If two names become the
// same, the one that is sorted first is sent; a name with dashes is sorted before one
// with underscores.
//
// Arguments of other types are sent as they are.
type Args map[string]any

// converted returns the arguments with the names that are sent.
func (a Args) converted() map[string]any {
	m := make(map[string]any, len(a))
	for _, name := range slices.Sorted(maps.Keys(a)) { // a dash sorts before an underscore
		dashed := strings.ReplaceAll(name, "_", "-")
		if _, taken := m[dashed]; !taken {
			m[dashed] = a[name]
		}
	}
	return m
}

// convert returns args, converted if they are Args.
func convert(args any) any {
	a, ok := args.(Args)
	switch {
	case !ok:
		return args
	case len(a) == 0:
		return nil
	}
	return a.converted()
}

// QMP executes a command and returns the whole reply. If QEMU refuses the command,
// err is nil and the reply has a member "error". args is nil, [Args], or a value that
// encodes to a JSON object.
//
// In the reply an object is a map[string]any and a list is a []any. An integer is an
// int64, a uint64 above 2^63-1, or a *big.Int beyond 64 bits. Any other number is a
// float64.
//
// If the process has ended, the error is a [*ProcessEndedError] that wraps the
// client's error. If none was started, it is [ErrNotRunning]. Other errors are those
// of [async.Client.Do]. The limit is that of ctx.
func (m *Machine) QMP(ctx context.Context, cmd string, args any) (map[string]any, error) {
	reply, err := m.Do(ctx, async.Command{Name: cmd, Args: args, TakesErrorWithoutID: true})
	if err != nil {
		return nil, err
	}
	obj, err := reply.Object()
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", m.opts.Name, err)
	}
	return obj, nil
}

// Command executes a command as [Machine.QMP] does, and returns the value of the
// reply's member "return". If QEMU refuses the command, the error is an
// [*async.ExecuteError].
func (m *Machine) Command(ctx context.Context, cmd string, args any) (any, error) {
	reply, err := m.Do(ctx, async.Command{Name: cmd, Args: args, TakesErrorWithoutID: true})
	if err != nil {
		return nil, err
	}
	if err := reply.Err(); err != nil {
		return nil, err
	}
	var v any
	if err := reply.Decode(&v); err != nil {
		return nil, fmt.Errorf("machine %s: %w", m.opts.Name, err)
	}
	return v, nil
}

// SendFD sends f to the process with the command getfd, under a name by which other
// commands refer to it. The process has a descriptor of its own then, until the
// command closefd; the caller keeps f and may close it. Errors are those of
// [Machine.Command].
//
// f must be open for what QEMU does with it: for writing, say, if the guest migrates
// to "fd:NAME".
func (m *Machine) SendFD(ctx context.Context, f *os.File, name string) error {
	reply, err := m.Do(ctx, async.Command{Name: "getfd", Args: Args{"fdname": name}, Files: []*os.File{f}})
	if err != nil {
		return err
	}
	return reply.Err()
}

// PassFD sends f to the process with the command add-fd, in a new descriptor set. It
// returns the set's name, "/dev/fdset/N", which commands such as blockdev-add take as
// a file name. opaque, unless empty, is a text that query-fdsets shows. The process
// has a descriptor of its own then, until the command remove-fd; the caller keeps f
// and may close it. Errors are those of [Machine.Command].
//
// f must have been opened in exactly the mode in which QEMU opens the file. Otherwise
// QEMU refuses ("Permission denied" in 7.2, "matching flags" in 10.0 and later). The
// mode is os.O_RDWR for a block node that is written to, and os.O_RDONLY for one with
// read-only=on. A node with auto-read-only=on needs both: add the second file to the
// set by [Machine.Do], with the command add-fd, its argument fdset-id, and
// async.Command.Files.
func (m *Machine) PassFD(ctx context.Context, f *os.File, opaque string) (string, error) {
	args := Args{}
	if opaque != "" {
		args["opaque"] = opaque
	}
	reply, err := m.Do(ctx, async.Command{Name: "add-fd", Args: args, Files: []*os.File{f}})
	if err != nil {
		return "", err
	}
	var added struct {
		Set int64 `json:"fdset-id"`
	}
	if err := reply.Decode(&added); err != nil {
		return "", err
	}
	return fmt.Sprintf("/dev/fdset/%d", added.Set), nil
}

var _ async.Caller = (*Machine)(nil)

// Do executes cmd and returns the whole reply. It makes a Machine an [async.Caller],
// so that async.Call[T](ctx, m, ...) fills a T. If QEMU refuses the command, Do returns
// no error; [async.Reply.Err] does. cmd.Args may be [Args]. Errors are those of
// [Machine.QMP].
func (m *Machine) Do(ctx context.Context, cmd async.Command) (async.Reply, error) {
	cmd.Args = convert(cmd.Args)
	if m.opts.Monitor == MonitorNone {
		return async.Reply{}, fmt.Errorf("machine %s: %s: %w", m.opts.Name, cmd.Name, errNoMonitor)
	}
	reply, err := m.client.Do(ctx, cmd)
	if err != nil {
		return reply, m.explain(ctx, cmd.Name, err)
	}
	if cmd.Name == quit && reply.Err() == nil {
		m.quitWasAnswered()
	}
	return reply, nil
}

func (m *Machine) quitWasAnswered() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.run != nil {
		m.run.quit.Store(true)
	}
}

// explain returns the error of a call for err, the client's error. If the process has
// ended it returns a ProcessEndedError. what names the call in errors.
func (m *Machine) explain(ctx context.Context, what string, err error) error {
	m.mu.Lock()
	running := m.run != nil
	m.mu.Unlock()
	var interrupted *async.ExecInterruptedError
	var state *async.StateError
	switch {
	case ctx.Err() != nil, errors.Is(err, ErrNotRunning), errors.Is(err, errNoMonitor):
		return fmt.Errorf("machine %s: %s: %w", m.opts.Name, what, err)
	case errors.As(err, &interrupted), errors.Is(err, async.ErrClosed):
	case errors.As(err, &state) && !running:
		return fmt.Errorf("machine %s: %s: %w", m.opts.Name, what, ErrNotRunning)
	case errors.As(err, &state) && state.State != async.Connecting:
	default:
		return err
	}
	p := m.process()
	grace, cancel := context.WithTimeout(ctx, endGrace)
	defer cancel()
	if p == nil || !p.await(grace) {
		return fmt.Errorf("machine %s: %s: the process runs, but the connection to its monitor has ended: %w", m.opts.Name, what, err)
	}
	return &ProcessEndedError{Machine: m.opts.Name, Call: what, Exit: p.exit, Output: m.output(outputSize), Err: err, args: m.CommandLine()}
}
