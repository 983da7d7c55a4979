package transcripts

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async/qmptest"
)

// A place is the address, or the connection, that a scenario's client gets.
type place struct {
	addr   string
	conn   net.Conn        // an open connection to use instead of addr; nil if there is none
	player *qmptest.Player // nil if there is no script
}

// newPlace prepares the transport of a scenario and starts its script. It starts no
// script if the scenario has no steps and its server does not listen.
func newPlace(t testing.TB, s *script, opts qmptest.ScriptOptions) (*place, error) {
	p := &place{}
	sc := s.scenario
	dir, err := os.MkdirTemp("", "qmp") // t.TempDir is too long for a socket
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")

	dials := sc.Accept
	for _, step := range sc.Server {
		dials = dials || step.Name == "dial" || step.Name == "expect_dial_fails"
	}
	listens := false
	switch sc.Transport {
	case "unix":
		p.addr, listens = path, !dials
	case "tcp":
		s.tcp, listens = true, !dials
		if dials {
			p.addr, err = reservePort(t)
		} else {
			opts.Network = qmptest.TCP
		}
	case "socketpair":
		opts.Network, listens = qmptest.SocketPair, true
	case "none", "missing":
		p.addr = path
	case "stale":
		p.addr = path
		err = leaveStale(path)
	case "file":
		p.addr = path
		err = os.WriteFile(path, []byte("not a socket\n"), 0o600)
	case "long_path":
		p.addr = filepath.Join(dir, strings.Repeat("x", 200))
	case "tcp_refused":
		s.tcp = true
		p.addr, err = reservePort(t)
	case "tcp_busy":
		s.tcp = true
		var ln net.Listener
		if ln, err = net.Listen("tcp4", "127.0.0.1:0"); err == nil {
			t.Cleanup(func() { ln.Close() })
			p.addr = ln.Addr().String()
		}
	default:
		err = fmt.Errorf("unknown transport %q", sc.Transport)
	}
	if err != nil {
		return nil, err
	}
	if !listens && len(sc.Server) == 0 {
		return p, nil
	}
	if !listens {
		opts.DialTo = p.addr
	}
	steps, err := s.steps()
	if err != nil {
		return nil, err
	}
	p.player = qmptest.Play(t, &opts, steps...)
	p.conn = p.player.Conn()
	p.addr = p.player.Addr()
	return p, nil
}

// leaveStale makes a socket file at which nobody listens.
func leaveStale(path string) error {
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		return err
	}
	ln.SetUnlinkOnClose(false)
	return ln.Close()
}
