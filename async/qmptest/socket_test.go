package qmptest

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// These tests hold scripts over real sockets, of each network.

// greetAndHangUp is a script that works over every network.
func greetAndHangUp() []Step {
	return []Step{Greet(), Expect("a"), HangUp()}
}

func (p *peer) playGreetAndHangUp() {
	p.t.Helper()
	p.line()
	p.send(`{"execute":"a"}`)
	if got := p.rest(); got != "" {
		p.t.Errorf("got %q", got)
	}
}

func TestScriptOverUnix(t *testing.T) {
	path := Script(t, greetAndHangUp()...)
	info, err := os.Stat(filepath.Dir(path))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory of the socket: %v, %v", info, err)
	}
	conn, err := net.Dial("unix", path)
	newPeer(t, conn, err).playGreetAndHangUp()
}

func TestScriptLeavesNoFile(t *testing.T) {
	tb := &fakeTB{}
	path := Script(tb, HangUp())
	conn, err := net.Dial("unix", path)
	newPeer(t, conn, err).rest()
	if got := tb.end(); got != "" {
		t.Error(got)
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory of the socket is still there: %v", err)
	}
}

func TestScriptOverTCP(t *testing.T) {
	conn, err := net.Dial("tcp", ScriptTCP(t, greetAndHangUp()...))
	newPeer(t, conn, err).playGreetAndHangUp()
}

func TestScriptOverTCP6(t *testing.T) {
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		qemutest.Lacks(t, "no IPv6: %v", err)
	}
	ln.Close()
	script := Play(t, &ScriptOptions{Network: TCP6}, greetAndHangUp()...)
	conn, err := script.Dial(t.Context())
	newPeer(t, conn, err).playGreetAndHangUp()
	if !strings.HasPrefix(script.Addr(), "[::1]:") {
		t.Errorf("address %s", script.Addr())
	}
}

func TestScriptOverMemory(t *testing.T) {
	conn, err := ScriptMemory(t, greetAndHangUp()...)(t.Context())
	newPeer(t, conn, err).playGreetAndHangUp()
}

func TestScriptOverSocketPair(t *testing.T) {
	newPeer(t, ScriptConn(t, greetAndHangUp()...), nil).playGreetAndHangUp()
}

func TestScriptDials(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	script := ScriptDial(t, path, DialFails(), Mark("refused"), Greet(), Expect("a"), HangUp(), AwaitMark("closed"), DialFails())
	script.AwaitMark("refused")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	newPeer(t, conn, err).playGreetAndHangUp()
	ln.Close()
	script.Mark("closed")
}

func TestScriptDialsNobody(t *testing.T) {
	tb := &fakeTB{}
	Play(tb, &ScriptOptions{DialTo: filepath.Join(t.TempDir(), "s"), Limit: 20 * time.Millisecond}, Accept())
	if got := tb.end(); !strings.Contains(got, "the script's time limit of 20ms passed while the step waited for a client to connect") {
		t.Error(got)
	}
}

func TestDialFailsFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	tb := &fakeTB{}
	ScriptDial(tb, ln.Addr().String(), DialFails())
	if got := tb.end(); !strings.Contains(got, "DialFails: somebody listens at 127.0.0.1:") {
		t.Error(got)
	}
}

func TestUnknownNetwork(t *testing.T) {
	tb := &fakeTB{}
	tb.run(func() { Play(tb, &ScriptOptions{Network: "udp"}) })
	if got := tb.end(); !strings.HasPrefix(got, `qmptest: script: qmptest: unknown network "udp"`) {
		t.Error(got)
	}
}

func TestResetOverTCP(t *testing.T) {
	conn, err := net.Dial("tcp", ScriptTCP(t, Expect("a"), Reset()))
	p := newPeer(t, conn, err)
	p.send(`{"execute":"a"}`)
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
}

func TestHalfCloseOverSockets(t *testing.T) {
	for name, network := range map[string]string{"unix": Unix, "tcp": TCP, "pair": SocketPair} {
		t.Run(name, func(t *testing.T) {
			script := Play(t, &ScriptOptions{Network: network}, Send("x"), HalfClose(), Expect("a"))
			conn, err := script.Conn(), error(nil)
			if conn == nil {
				conn, err = script.Dial(t.Context())
			}
			p := newPeer(t, conn, err)
			if got := p.rest(); got != "x" {
				t.Errorf("got %q", got)
			}
			p.send(`{"execute":"a"}`)
			p.Close()
		})
	}
}
