//go:build unix

package replays

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/async/record"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/legacy"
	"github.com/goqmp/qmp/qapi/qga"
	qmpsync "github.com/goqmp/qmp/sync"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A program drives a server with a client that has these options, and returns what it saw.
type program func(ctx context.Context, addr string, opts async.Options) []string

// again records a program at addr, plays the recording to it in a bubble, and requires
// that the program sees the same.
func again(t *testing.T, addr string, opts *record.Options, run program) {
	t.Helper()
	var file bytes.Buffer
	rec := record.New(&file, opts)
	saw := run(qemutest.Context(t), addr, async.Options{
		Tracers: []*async.Tracer{rec.Tracer("")}, Backoff: async.Every(qemutest.DialEvery),
	})
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	parsed, err := record.Load(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := qmptest.Replay(t, nil, parsed)
		again := run(t.Context(), "recorded", async.Options{Dialer: p.Dial})
		if a, b := strings.Join(saw, "\n"), strings.Join(again, "\n"); a != b {
			t.Errorf("with the real program:\n%s\nwith the recording:\n%s", a, b)
		}
	})
	if len(saw) < 4 {
		t.Errorf("the program saw only %q", saw)
	}
	if t.Failed() {
		t.Logf("the recording:\n%s", file.Bytes())
	}
}

// A diary is what a program saw.
type diary []string

func (d *diary) note(what string, v any, err error) {
	text, jsonErr := json.Marshal(v)
	if raw, ok := v.([]byte); ok {
		text = raw
	}
	if jsonErr != nil {
		err = errors.Join(err, jsonErr)
	}
	*d = append(*d, fmt.Sprintf("%s: %s, %v", what, text, err))
}

func TestLegacyClient_QEMU(t *testing.T) {
	t.Parallel()
	again(t, qemutest.Monitor(t), nil, func(_ context.Context, addr string, opts async.Options) []string {
		var d diary
		vm, err := legacy.New(addr, &legacy.Options{Sync: qmpsync.Options{Async: opts}})
		if err != nil {
			return []string{err.Error()}
		}
		greeting, err := vm.Connect(true)
		d.note("connect", greeting, err)
		for _, cmd := range []string{"stop", "cont", "no-such-command"} {
			reply, err := vm.Cmd(cmd, nil, "my id")
			d.note(cmd, reply, err)
		}
		for range 2 {
			event, err := vm.PullEvent(legacy.For(time.Minute))
			d.note("event", event, err)
		}
		_, err = vm.PullEvent(legacy.For(time.Second / 10))
		d.note("no event", nil, err)
		d.note("close", nil, vm.Close())
		return d
	})
}

func TestSyncClient_QEMU(t *testing.T) {
	t.Parallel()
	again(t, qemutest.Monitor(t), nil, func(_ context.Context, addr string, opts async.Options) []string {
		var d diary
		vm, err := qmpsync.Dial(addr, &qmpsync.Options{Async: opts})
		if err != nil {
			return []string{err.Error()}
		}
		defer vm.Close()
		v, err := vm.Execute("query-commands", nil)
		d.note("query-commands", v, err)
		_, err = vm.Execute("qom-set", map[string]any{"path": "/nowhere", "property": "p", "value": "secret"})
		d.note("qom-set", nil, err)
		_, err = vm.Execute("stop", nil)
		d.note("stop", nil, err)
		ev, err := vm.WaitEvent(time.Minute, "STOP")
		d.note("event", ev.Raw(), err)
		d.note("quit", nil, vm.Quit())
		return d
	})
}

func TestStorageDaemon_QEMU(t *testing.T) {
	t.Parallel()
	daemon := qemutest.Start(t, qemutest.Command{
		Program: qemutest.StorageDaemon,
		Args:    []string{"--chardev", "socket,id=m,path=qmp,server=on", "--monitor", "chardev=m"},
	})
	again(t, daemon.Path("qmp"), nil, func(ctx context.Context, addr string, opts async.Options) []string {
		var d diary
		c, err := async.Dial(ctx, addr, &opts)
		if err != nil {
			return []string{err.Error()}
		}
		defer c.Close()
		l := c.NewListener(nil)
		defer l.Close()
		execute := func(cmd string, args any) {
			v, err := c.Execute(ctx, cmd, args)
			d.note(cmd, v, err)
		}
		execute("blockdev-create", map[string]any{"job-id": "j", "options": map[string]any{"driver": "file", "filename": "disk", "size": 1 << 20}})
		for {
			ev, err := l.Next(ctx)
			d.note("event", ev.Raw(), err)
			if err != nil || bytes.Contains(ev.Data, []byte("concluded")) {
				break
			}
		}
		execute("job-dismiss", map[string]any{"id": "j"})
		execute("blockdev-add", map[string]any{"driver": "file", "node-name": "n", "filename": "no such file"})
		execute("query-status", nil)
		d.note("quit", nil, c.Quit(ctx))
		return d
	})
}

// The agent's client first makes sure that the agent is in step. No tracer sees that, and
// the player answers it.
func TestAgentClient_QEMU(t *testing.T) {
	t.Parallel()
	dir := qemutest.Dir(t)
	qemutest.Start(t, qemutest.Command{
		Program: qemutest.GuestAgent, Dir: dir,
		Args: []string{"-m", "unix-listen", "-p", dir + "/qga", "-t", dir, "-f", dir + "/pid"},
	})
	opts := &record.Options{Unmasked: true} // what a program in the guest prints is secret
	again(t, dir+"/qga", opts, func(ctx context.Context, addr string, opts async.Options) []string {
		var d diary
		c, err := agent.Dial(ctx, addr, &agent.Options{Engine: opts})
		if err != nil {
			return []string{err.Error()}
		}
		defer c.Close()
		d.note("ping", nil, qga.GuestPing(ctx, c))
		osinfo, err := qga.GuestGetOsinfo(ctx, c)
		d.note("osinfo", osinfo, err)
		for n := range 3 {
			v, err := async.Call[int64](ctx, c, "guest-sync", map[string]any{"id": time.Now().UnixNano()%1000 + int64(n)})
			d.note("sync", v > 0, err)
		}
		out, err := c.Command(ctx, "echo", "hello").Output()
		d.note("echo", string(out), err)
		_, err = async.Call[any](ctx, c, "guest-file-close", map[string]any{"handle": 77})
		d.note("close", nil, err)
		return d
	})
}
