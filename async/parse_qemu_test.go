//go:build unix

// Tests of rule E7 with a real QEMU: what its parser refuses, and that the engine does
// not send that.
// The code that they hold: receive.go, call.go and internal/proto.
package async_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// rewriter is a connection that replaces some bytes of what the engine writes.
// The engine would refuse to send the new ones.
type rewriter struct {
	net.Conn
	old, new []byte
}

func (r *rewriter) Write(b []byte) (int, error) {
	if _, err := r.Conn.Write(bytes.ReplaceAll(b, r.old, r.new)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// QEMU answers what its parser rejects in the order of the commands, without an
// id.
func TestE7WhatQEMUCannotParse_QEMU(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 1025) + "1" + strings.Repeat("}", 1025)
	for name, tt := range map[string]struct {
		text string // in place of the arguments {"x":1}
		desc string
		// QEMU's parser goes on with the rest of the message, and answers
		// that with more errors.
		more bool
	}{
		"lone surrogate": {`{"x":"\ud800"}`, "not a valid Unicode character", false},
		"noncharacter":   {`{"x":"\uffff"}`, "not a valid Unicode character", false},
		"invalid UTF-8":  {"{\"x\":\"\xff\"}", "stray", true},
		"not JSON":       {`{"x" 1}`, "JSON parse error", true},
		"repeated key":   {`{"x":1,"x":2}`, "duplicate key", false},
		"too deep":       {deep, "nesting depth limit exceeded", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vm := qemutest.Machine(t, "-qmp", onUnix)
			opts := &async.Options{Dialer: func(ctx context.Context) (net.Conn, error) {
				var d net.Dialer
				conn, err := d.DialContext(ctx, "unix", vm.Path("qmp"))
				if err != nil {
					return nil, err
				}
				return &rewriter{conn, []byte(`{"x":1}`), []byte(tt.text)}, nil
			}}
			bad := async.Command{Name: "query-name", Args: arguments{"x": 1}}

			// For Cmd of Python's old module the error is the answer. The connection
			// goes on if QEMU sends no more errors than that.
			c := dialReal(t, vm.Path("qmp"), opts)
			taking := bad
			taking.TakesErrorWithoutID = true
			reply, err := c.Do(qemutest.Context(t), taking)
			if err != nil {
				t.Fatal(err)
			}
			if e := wantAs[*async.ExecuteError](t, "the reply", reply.Err()); !strings.Contains(e.Desc, tt.desc) {
				t.Errorf("got %v, want %q in it", e, tt.desc)
			}
			if strings.Contains(string(reply.Raw()), `"id"`) {
				t.Errorf("reply %s has an id", reply.Raw())
			}
			if !tt.more {
				wantAlive(t, c)
			}
			c.Close()
			wantAliveAfter(t, vm.Path("qmp"), tt.more)

			// For other commands it ends the connection.
			c = dialReal(t, vm.Path("qmp"), opts)
			_, err = c.Do(qemutest.Context(t), bad)
			e := wantAs[*async.ServerParseError](t, "a command that does not take it", err)
			if !strings.Contains(e.Desc, tt.desc) {
				t.Errorf("got %v, want %q in it", e, tt.desc)
			}
			wantInterrupted(t, "a command that does not take it", err, true)
			wantState(t, c, async.Disconnecting)
			wantAs[*async.ServerParseError](t, "Disconnect", c.Disconnect(t.Context()))

			// QEMU itself still works.
			wantAliveAfter(t, vm.Path("qmp"), tt.more)
		})
	}
}

// wantAliveAfter checks that QEMU answers a new client. If more, the parser
// may still have errors for what the last client sent. They may come to the new
// client in place of its greeting or of a reply (seen). After one reply to a
// client of its own, QEMU has none of them left.
func wantAliveAfter(t *testing.T, addr string, more bool) {
	t.Helper()
	for {
		c := newClient(t, nil)
		err := c.Connect(qemutest.Context(t), addr)
		if err == nil {
			_, err = c.Execute(qemutest.Context(t), "query-name", nil)
		}
		c.Close()
		if err == nil {
			return
		}
		var broken async.ProtocolError
		parser := strings.Contains(err.Error(), "JSON parse error") || strings.Contains(err.Error(), "QMP input must be a JSON object")
		if !more || !errors.As(err, &broken) || !parser {
			t.Fatal(err)
		}
		t.Logf("an error for the client before: %v", err)
	}
}

// The engine itself sends none of that.
func TestE7RefusedBeforeSending_QEMU(t *testing.T) {
	t.Parallel()
	opts := &async.Options{}
	w := watchWire(opts)
	_, c := startReal(t, opts)
	nested := func(levels int) json.RawMessage {
		return json.RawMessage(strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels))
	}
	for name, args := range map[string]json.RawMessage{
		"lone surrogate": json.RawMessage(`{"x":"\ud800"}`),
		"noncharacter":   json.RawMessage(`{"x":"\uffff"}`),
		"invalid UTF-8":  json.RawMessage("{\"x\":\"\xff\"}"),
		"not JSON":       json.RawMessage(`{"x" 1}`),
		"repeated key":   json.RawMessage(`{"x":1,"x":2}`),
		"too deep":       nested(1000),
	} {
		_, err := c.Execute(qemutest.Context(t), "query-name", args)
		e := wantAs[*async.MessageError](t, name, err)
		if e.Command != "query-name" {
			t.Errorf("%s: names the command %q", name, e.Command)
		}
	}
	// QEMU reads as many levels as the engine sends.
	_, err := c.Execute(qemutest.Context(t), "query-name", nested(999))
	if e := wantAs[*async.ExecuteError](t, "999 levels", err); !strings.Contains(e.Desc, "'a' is unexpected") {
		t.Errorf("got %v", e)
	}
	wantAlive(t, c)
	// A greeting and three replies: QEMU did not get the other commands.
	if got := w.replies(); len(got) != 4 {
		t.Errorf("received %.200q", got)
	}
}
