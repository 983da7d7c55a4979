package record_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/async/record"
)

// A story is what a test's program does with a client. It returns what it saw, one line
// for each thing.
type story func(ctx context.Context, c *async.Client) []string

// recorded runs a story against a script, in a bubble, and returns the recording and
// what the program saw.
func recorded(t *testing.T, opts *record.Options, run story, steps ...qmptest.Step) (file string, saw []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		rec := record.New(&buf, opts)
		p := qmptest.Play(t, &qmptest.ScriptOptions{Network: qmptest.Memory}, steps...)
		c := async.New(&async.Options{Dialer: p.Dial, Tracers: []*async.Tracer{rec.Tracer("")}})
		saw = run(t.Context(), c)
		c.Close()
		if err := rec.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		file = buf.String()
	})
	return file, saw
}

// load loads a recording that must be complete.
func load(t *testing.T, file string) *record.Recording {
	t.Helper()
	rec, err := record.Load(strings.NewReader(file))
	if err != nil {
		t.Fatalf("Load: %v\n%s", err, file)
	}
	return rec
}

// replayed runs a story against the recording, and returns what the program saw.
func replayed(t *testing.T, file string, opts *qmptest.ReplayOptions, run story) (saw []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := qmptest.Replay(t, opts, load(t, file))
		c := async.New(&async.Options{Dialer: p.Dial})
		saw = run(t.Context(), c)
		c.Close()
	})
	return saw
}

// A twoSessions program connects twice, and sees a reply, a refusal, events, an
// unanswered command and a reset.
func twoSessions(ctx context.Context, c *async.Client) (saw []string) {
	began := time.Now()
	note := func(what string, v any, err error) {
		text := what + " after " + time.Since(began).String() + ":"
		if raw, ok := v.(interface{ String() string }); ok {
			text += " " + raw.String()
		}
		if err != nil {
			text += " " + err.Error()
		}
		saw = append(saw, text)
	}
	l := c.NewListener(nil)
	defer l.Close()
	event := func() {
		ev, err := l.Next(ctx)
		note("event "+ev.Name+" "+string(ev.Data), nil, err)
	}
	do := func(name string, args any) {
		reply, err := c.Do(ctx, async.Command{Name: name, Args: args})
		note(name, nil, err)
		if err == nil {
			note(name+" "+string(reply.Raw()), nil, reply.Err())
		}
	}
	note("connect", nil, c.Connect(ctx, "vm1"))
	do("query-name", nil)
	event()
	do("device_del", map[string]any{"id": "x"})
	event()
	do("stop", nil)
	note("disconnect", nil, c.Disconnect(ctx))
	event()
	note("connect", nil, c.Connect(ctx, "vm1"))
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := c.Execute(short, "cont", nil)
	note("cont", nil, err)
	event()
	<-c.Done() // the server ends the connection after the event
	note("disconnect", nil, c.Disconnect(ctx))
	return saw
}

func twoSessionsScript() []qmptest.Step {
	return []qmptest.Step{
		qmptest.Greet("oob"), qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`),
		qmptest.Expect("query-name"), qmptest.Event("A", ""), qmptest.Pause(time.Minute), qmptest.Return(`{"name":"vm1"}`),
		qmptest.Expect("device_del"), qmptest.ReturnError("DeviceNotFound", "no x"),
		qmptest.Pause(10 * time.Minute), qmptest.Event("B", `{"n":18446744073709551615}`),
		qmptest.Expect("stop"), qmptest.HangUp(), qmptest.Accept(),
		qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`),
		qmptest.Expect("cont"), qmptest.Pause(2 * time.Second), qmptest.Event("LATE", ""), qmptest.Reset(),
	}
}

// What a program saw when it was recorded, it sees again, with the same times.
func TestReplayShowsTheSame(t *testing.T) {
	file, saw := recorded(t, nil, twoSessions, twoSessionsScript()...)
	again := replayed(t, file, nil, twoSessions)
	if a, b := strings.Join(saw, "\n"), strings.Join(again, "\n"); a != b {
		t.Errorf("recorded:\n%s\nreplayed:\n%s", a, b)
	}
	if len(saw) < 12 {
		t.Errorf("the program saw only %q", saw)
	}
	t.Logf("%s\n%s", file, strings.Join(saw, "\n"))
}

func TestCutOffIsTold(t *testing.T) {
	file, _ := recorded(t, nil, twoSessions, twoSessionsScript()...)
	for n := 0; n < len(file); n += 1 + n%7 {
		rec, err := record.Load(strings.NewReader(file[:n]))
		if n == len(file)-1 { // only the last line end is missing
			if err != nil {
				t.Fatalf("without the last line end: %v", err)
			}
			continue
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut after %d bytes: %v, want an unexpected end of file", n, err)
		}
		if rec != nil && rec.Complete {
			t.Fatalf("cut after %d bytes: the recording is complete", n)
		}
	}
}

// A client that connects again by itself does the same with the recording: also an attempt
// that failed in the handshake, and the commands of OnConnect.
func TestReconnectIsReplayed(t *testing.T) {
	run := func(t *testing.T, dial func(context.Context) (net.Conn, error), tracers ...*async.Tracer) (saw []string) {
		began := time.Now()
		note := func(what string, err error) {
			saw = append(saw, fmt.Sprintf("%s after %v: %v", what, time.Since(began), err))
		}
		c := async.New(&async.Options{
			Dialer: dial, Tracers: tracers, Backoff: async.Every(time.Second),
			Reconnect: &async.Reconnect{Wait: true, OnConnect: func(ctx context.Context, vm async.Caller) error {
				reply, err := vm.Do(ctx, async.Command{Name: "query-status"})
				err = errors.Join(err, reply.Err())
				note("OnConnect", err)
				return err
			}},
		})
		l := c.NewListener(nil)
		note("connect", c.Connect(t.Context(), "x"))
		for _, name := range []string{"a", "b"} {
			_, err := c.Execute(t.Context(), name, nil)
			note(name, err)
		}
		for range 2 {
			ev, err := l.Next(t.Context())
			note("event "+ev.Name, err)
		}
		note("disconnect", c.Disconnect(t.Context()))
		return saw
	}
	onConnect := connected(qmptest.Expect("query-status"), qmptest.Return(`{}`))
	var file bytes.Buffer
	var saw []string
	synctest.Test(t, func(t *testing.T) {
		rec := record.New(&file, nil)
		p := qmptest.Play(t, &qmptest.ScriptOptions{Network: qmptest.Memory}, slices.Concat(onConnect,
			[]qmptest.Step{qmptest.Expect("a"), qmptest.Pause(time.Minute), qmptest.HangUp()},
			[]qmptest.Step{qmptest.Accept(), qmptest.Greet(), qmptest.Pause(time.Second), qmptest.Reset(), qmptest.Accept()},
			connected(qmptest.Expect("query-status"), qmptest.ReturnError("GenericError", "not yet"), qmptest.ExpectEOF(), qmptest.Accept()), onConnect,
			[]qmptest.Step{qmptest.Expect("b"), qmptest.Event("E", ""), qmptest.Return(`{}`)})...)
		saw = run(t, p.Dial, rec.Tracer(""))
		if err := rec.Close(); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		again := run(t, qmptest.Replay(t, nil, load(t, file.String())).Dial)
		if a, b := strings.Join(saw, "\n"), strings.Join(again, "\n"); a != b || len(saw) != 9 {
			t.Errorf("recorded:\n%s\nreplayed:\n%s\nthe recording:\n%s", a, b, file.String())
		}
	})
}
