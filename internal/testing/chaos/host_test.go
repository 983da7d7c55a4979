//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// A host is one QEMU and the clients at its monitors.
type host struct {
	scenario
	dir   string
	vm    *qemutest.Process // nil until a QEMU that dials has been started
	peers []*peer

	booted bool // has been through a whole start
}

// A peer is the client at one monitor.
type peer struct {
	*async.Client
	monitor string // its socket's name
	addr    string
	books   *ledger

	// Of one round.
	events *async.EventListener // what the workers wait for
	unread *async.EventListener // the same, left alone until the end
	cause  string               // why the connection ended
}

// start makes the clients, and starts QEMU unless it has to find them listening.
func (s scenario) start(t *testing.T) *host {
	h := &host{scenario: s, dir: qemutest.Dir(t)}
	for i := range s.monitors {
		name := fmt.Sprintf("m%d", i)
		books := newLedger()
		h.peers = append(h.peers, &peer{
			Client: async.New(&async.Options{
				Nickname: name,
				Backoff:  async.Every(qemutest.DialEvery),
				OnSend:   books.sent, OnReceive: books.received,
			}),
			monitor: name,
			addr:    filepath.Join(h.dir, name),
			books:   books,
		})
	}
	if !s.dials {
		h.boot(t)
	}
	return h
}

// boot starts QEMU. It waits for a client at each monitor before it goes on: at
// one that comes while it starts it might never look.
func (h *host) boot(t *testing.T) {
	args := []string{"-machine", "none", "-nodefaults", "-display", "none"}
	for _, p := range h.peers {
		monitor := "unix:" + p.monitor
		if !h.dials {
			monitor += ",server=on,wait=on"
		}
		args = append(args, "-qmp", monitor)
	}
	h.vm = qemutest.Start(t, qemutest.Command{Program: qemutest.QEMU, Args: args, Dir: h.dir})
}

// alive reports whether QEMU has not exited.
func (h *host) alive() bool {
	select {
	case <-h.vm.Done():
		return false
	default:
		return true
	}
}

// isMonitor reports whether a file of this name is the socket of a monitor.
func (h *host) isMonitor(name string) bool {
	return slices.ContainsFunc(h.peers, func(p *peer) bool { return p.monitor == name })
}

// errGone ends an attempt to connect to a QEMU that is no more.
var errGone = errors.New("QEMU is gone")

// connect makes p's connection of this round, or gives up when QEMU is gone.
func (h *host) connect(ctx context.Context, p *peer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-h.vm.Done():
			cancel(errGone)
		case <-ctx.Done():
		}
	}()
	defer func() {
		cancel(nil)
		<-watched
	}()
	if h.dials {
		return p.Accept(ctx)
	}
	return p.Connect(ctx, p.addr)
}

// sendBuffer is how much of ours a socket holds, about: so little that writes
// wait, and are cut, when QEMU is stopped.
const sendBuffer = 4 << 10

// shrink makes p's socket small, if it has one.
func (p *peer) shrink() error {
	conn, err := p.SyscallConn()
	if err != nil {
		return nil // it has ended already
	}
	var setErr error
	err = conn.Control(func(fd uintptr) {
		setErr = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, sendBuffer)
	})
	if errors.Is(err, net.ErrClosed) {
		return nil // likewise
	}
	return errors.Join(err, setErr)
}
