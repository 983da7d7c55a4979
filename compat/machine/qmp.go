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

// Args are arguments in the way of iotests, where a name stands for one with
// dashes: node_name is sent as node-name. That holds for the names of the
// arguments themselves, not for those inside their values. Of several names that
// become one, the one that is sorted first is sent, which is the one with dashes if
// it is there.
//
// Arguments of any other type are sent as they are.
type Args map[string]any

// converted returns the arguments as they are sent.
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

// convert returns args as they are sent.
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

// QMP executes a command and returns the whole reply: an error reply is data
// here, not an error, with a member "error". args is nil, [Args], or what encodes
// to a JSON object.
//
// Objects are a map[string]any, lists a []any; an integer is an int64, a uint64
// above 2^63-1, a *big.Int beyond 64 bits; any other number is a float64.
//
// A process that has ended gives a [*ProcessEndedError] around what the call
// met; no process [ErrNotRunning]. Other errors are those of [async.Client.Do].
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

// Command is QMP with the value of the reply's return member as its result, and
// an error reply as an [*async.ExecuteError].
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

// SendFD gives f to the process under a name, by which other commands may call
// it: the descriptor travels with the command getfd. f stays the caller's; the
// process closes its own at closefd. Errors are those of Command.
//
// f has to be open for what the command does with it, such as for writing where a guest
// migrates to "fd:NAME".
func (m *Machine) SendFD(ctx context.Context, f *os.File, name string) error {
	reply, err := m.Do(ctx, async.Command{Name: "getfd", Args: Args{"fdname": name}, Files: []*os.File{f}})
	if err != nil {
		return err
	}
	return reply.Err()
}

// PassFD gives f to the process in a descriptor set of its own, and returns the
// set's name, "/dev/fdset/N", which commands such as blockdev-add take for a file
// name: the descriptor travels with the command add-fd. opaque, unless empty, is a
// text that query-fdsets shows. f stays the caller's; the process closes its own
// at remove-fd. Errors are those of Command.
//
// The mode in which f was opened has to be exactly the one in which the command opens
// the file, or QEMU refuses ("Permission denied" in 7.2, "matching flags" in 10.0 and
// later): os.O_RDWR for a block node that is written to, os.O_RDONLY for one with
// read-only=on. A node with auto-read-only=on needs one of each.
// The command add-fd with a fdset-id puts a further file into the set: see [Machine.Do]
// and async.Command.Files.
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

// Do executes cmd and returns the whole reply, so that a Machine is an
// [async.Caller]: async.Call[T](ctx, m, ...) fills a T. An error reply is not an
// error here: [async.Reply.Err] makes one of it. cmd.Args may be [Args]. Errors are
// those of [Machine.QMP].
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

// explain turns what a call met when the process has ended into an error that
// says so. what names the call.
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
		return fmt.Errorf("machine %s: %s: the process is there, but not its monitor's connection: %w", m.opts.Name, what, err)
	}
	return &ProcessEndedError{Machine: m.opts.Name, Call: what, Exit: p.exit, Output: m.output(outputSize), Err: err}
}
