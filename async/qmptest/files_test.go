//go:build linux || darwin

package qmptest

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// These tests hold what scripts and servers do with file descriptors that a client
// sends, and resets over unix sockets.

// sendFDs sends text together with n descriptors.
func (p *peer) sendFDs(text string, n int) {
	p.t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	fds := make([]int, n)
	for i := range fds {
		fds[i] = int(f.Fd())
	}
	if _, _, err := p.Conn.(*net.UnixConn).WriteMsgUnix([]byte(text), syscall.UnixRights(fds...), nil); err != nil {
		p.t.Error(err)
	}
}

func TestScriptCountsDescriptors(t *testing.T) {
	script := Play(t, nil, ExpectFDs(2, " "), Expect("a"), ExpectWithFDs("b", 1), Expect("c"), Mark("end"))
	conn, err := script.Dial(t.Context())
	p := newPeer(t, conn, err)
	p.sendFDs(" ", 2)
	p.send(`{"execute":"a"}`)
	p.sendFDs(`{"execute":"b"}`, 1)
	p.send(`{"execute":"c"}`)
	script.AwaitMark("end")
	for i, want := range []int{0, 1, 0} {
		if got := script.Received()[i].FDs; got != want {
			t.Errorf("message %d came with %d descriptors, want %d", i, got, want)
		}
	}
	p.Close()
}

// One read returns both messages before the end of the bytes that the descriptors
// came with, but not the message after them. The descriptors belong to the second
// message.
func TestDescriptorsOfTheSecondMessage(t *testing.T) {
	script := Play(t, nil, AwaitMark("sent"), Expect("a"), ExpectWithFDs("b", 1), Expect("c"))
	conn, err := script.Dial(t.Context())
	p := newPeer(t, conn, err)
	p.send(`{"execute":"a"}`)
	p.sendFDs(` {"execute":"b"}`, 1)
	p.send(`{"execute":"c"}`)
	script.Mark("sent")
	if msgs, err := script.AwaitReceived(t.Context(), func(m []Message) bool { return len(m) == 3 }); err != nil || msgs[0].FDs != 0 || msgs[2].FDs != 0 {
		t.Errorf("%v, %v", msgs, err)
	}
	p.Close()
}

func TestWrongDescriptors(t *testing.T) {
	for data, want := range map[string]string{
		" ": `ExpectFDs(1, "x"): want 1 file descriptors with "x", got 2 with " "`,
		"x": `ExpectFDs(1, "x"): want 1 file descriptors with "x", got 2 with "x"`,
	} {
		tb := &fakeTB{}
		p := newPeer(t, ScriptConn(tb, ExpectFDs(1, "x")), nil)
		p.sendFDs(data, 2)
		p.rest()
		if got := tb.end(); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestHandlerTakesFiles(t *testing.T) {
	s := Start(t, nil)
	s.Handle("getfd", func(_ context.Context, cmd *Command) (any, error) {
		files := cmd.TakeFiles()
		if again := cmd.TakeFiles(); len(again) != 0 {
			return nil, errors.New("taken twice")
		}
		for _, f := range files {
			if _, err := f.Stat(); err != nil {
				return nil, err
			}
			f.Close()
		}
		return len(files), nil
	})
	conn, err := net.Dial("unix", s.Addr())
	p := newPeer(t, conn, err)
	p.line()
	p.send(`{"execute":"qmp_capabilities"}`)
	p.want(`{"return": {}}`)
	p.sendFDs(`{"execute":"getfd"}`, 2)
	p.want(`{"return": 2}`)
	p.sendFDs(`{"execute":"stop"}`, 3) // its handler takes none, so the server closes them
	p.line()
	p.want(`{"return": {}}`)
	if msgs := s.Received(); msgs[1].FDs != 2 || msgs[2].FDs != 3 {
		t.Errorf("received %d and %d descriptors", msgs[1].FDs, msgs[2].FDs)
	}
}

// Descriptors that nobody takes are closed, also those that came with garbage, or
// with the beginning of a message before the client hung up.
func TestDescriptorsDoNotLeak(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/dev/fd")
		if err != nil {
			qemutest.Unsupported(t, "this system has no list of open descriptors: %v", err)
		}
		return len(entries)
	}
	before := count()
	s := Start(t, nil)
	conn, err := net.Dial("unix", s.Addr())
	p := newPeer(t, conn, err)
	p.line()
	p.sendFDs(`{"execute":"qmp_capabilities"}`, 2)
	p.want(`{"return": {}}`)
	p.sendFDs(`[1]`, 2)
	p.line()
	p.sendFDs("garbage\n", 2)
	p.line()
	p.sendFDs(`{"execute":`, 2)
	p.Close()
	s.Close()

	script := Play(t, &ScriptOptions{Network: SocketPair}, Stall())
	q := newPeer(t, script.Conn(), nil)
	q.sendFDs("x", 3)
	q.Close()
	script.Wait()
	if after := count(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestResetOverUnix(t *testing.T) {
	script := Play(t, nil, Expect("a"), Mark("read"), Reset())
	conn, err := script.Dial(t.Context())
	p := newPeer(t, conn, err)
	p.send(`{"execute":"a"}`)
	script.AwaitMark("read")
	p.send(`{"execute":"unread"}`)
	script.Wait()
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
}

func TestResetOverUnixNeedsBytes(t *testing.T) {
	for name, tt := range map[string]struct {
		hangUp bool
		want   string
	}{
		"hang-up": {true, "Reset: the client hung up (EOF)"},
		"silence": {false, "Reset: the script's time limit of 30ms passed while the step waited for bytes to leave unread, without which a unix socket is not reset"},
	} {
		tb := &fakeTB{}
		opts := &ScriptOptions{Network: SocketPair}
		if !tt.hangUp {
			opts.Limit = 30 * time.Millisecond
		}
		script := Play(tb, opts, Reset())
		if tt.hangUp {
			script.Conn().Close()
		}
		script.Wait()
		if got := tb.end(); !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}
