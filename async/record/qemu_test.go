//go:build unix

package record_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/async/record"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// A program that drives a real QEMU is recorded: events, refusals, a secret, an
// out-of-band command that passes a command that hangs, and a SIGKILL. Then the program
// runs against the recording, in a bubble, and sees the same.
func TestRecordedInTheMorning_QEMU(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(qemutest.Dir(t), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	vm := qemutest.Machine(t, "-qmp", "unix:qmp,server=on")

	var file bytes.Buffer
	rec := record.New(&file, nil)
	opts := &async.Options{Backoff: async.Every(qemutest.DialEvery)}
	opts.Tracers = []*async.Tracer{rec.Tracer("vm1")}
	saw := drive(qemutest.Context(t), opts, vm.Path("qmp"), fifo, vm.Kill)
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}

	text := file.String()
	if strings.Contains(text, "hunter2") || !strings.Contains(text, "***") {
		t.Errorf("the recording has the secret, or not its mask:\n%s", text)
	}
	synctest.Test(t, func(t *testing.T) {
		p := qmptest.Replay(t, nil, load(t, text))
		again := drive(t.Context(), &async.Options{Dialer: p.Dial}, "vm1", fifo, func() {})
		if a, b := strings.Join(saw, "\n"), strings.Join(again, "\n"); a != b {
			t.Errorf("with QEMU:\n%s\nwith the recording:\n%s", a, b)
		}
	})
	if t.Failed() {
		t.Logf("the recording:\n%s", text)
	}
	if all := strings.Join(saw, "\n"); !strings.Contains(all, "STOP") || !strings.Contains(all, "DeviceNotFound") || !strings.Contains(all, "interrupted after it was sent") {
		t.Errorf("the program saw only:\n%s", all)
	}
}

// drive drives a machine until kill ends it, and returns what it saw.
func drive(ctx context.Context, opts *async.Options, addr, fifo string, kill func()) (saw []string) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	note := func(what string, raw json.RawMessage, err error) {
		var interrupted *async.ExecInterruptedError
		if errors.As(err, &interrupted) {
			// A socket's error names its path. Whether a killed QEMU means an end of file or
			// a reset is told by the errors that match.
			saw = append(saw, fmt.Sprintf("%s: interrupted after it was sent: %t, hung up: %t", what, interrupted.Sent, async.HungUp(err)))
			return
		}
		saw = append(saw, fmt.Sprintf("%s: %s %v", what, raw, err))
	}
	do := func(c *async.Client, name string, args any) {
		reply, err := c.Do(ctx, async.Command{Name: name, Args: args})
		note(name, reply.Raw(), err)
	}
	slowSent := make(chan struct{})
	opts.OnSend = func(msg json.RawMessage) json.RawMessage {
		if bytes.Contains(msg, []byte("pmemsave")) {
			close(slowSent)
		}
		return nil
	}
	c := async.New(opts)
	defer c.Close()
	if err := c.Connect(ctx, addr); err != nil {
		note("connect", nil, err)
		return saw
	}
	note("greeting", c.Greeting().Raw(), nil)
	events := c.NewListener(nil)
	defer events.Close()
	event := func() {
		ev, err := events.Next(ctx)
		note("event "+ev.Name, ev.Raw(), err)
	}

	do(c, "query-status", nil)
	do(c, "stop", nil)
	event()
	do(c, "cont", nil)
	event()
	do(c, "device_del", map[string]any{"id": "no such device"})
	do(c, "object-add", map[string]any{"qom-type": "secret", "id": "s", "data": "hunter2"})
	do(c, "query-qmp-schema", nil)

	slow := make(chan error)
	go func() {
		_, err := c.Execute(ctx, "pmemsave", map[string]any{"val": 0, "size": 1, "filename": fifo})
		slow <- err
	}()
	<-slowSent
	reply, err := c.Do(ctx, async.Command{Name: "migrate-pause", OOB: true})
	note("out of band", reply.Raw(), err)
	kill()
	note("the slow command", nil, <-slow)
	event()
	saw = append(saw, fmt.Sprintf("disconnect: hung up: %t", async.HungUp(c.Disconnect(ctx))))
	return saw
}
