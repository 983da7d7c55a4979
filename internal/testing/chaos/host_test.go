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

	booted bool // all clients have been connected since QEMU was started
}

// A peer is the client at one monitor.
type peer struct {
	*async.Client
	monitor string // its socket's name
	addr    string
	ledger  *ledger

	// For one round.
	events *async.EventListener // the workers read it
	unread *async.EventListener // has the same events; it is read at the end of the round
	cause  string               // why the connection ended
}

// start makes the clients. It starts QEMU, unless QEMU connects to the clients, which
// have to listen first.
func (s scenario) start(t *testing.T) *host {
	h := &host{scenario: s, dir: qemutest.Dir(t)}
	for i := range s.monitors {
		name := fmt.Sprintf("m%d", i)
		ledger := newLedger()
		h.peers = append(h.peers, &peer{
			Client: async.New(&async.Options{
				Nickname: name,
				Backoff:  async.Every(qemutest.DialEvery),
				OnSend:   ledger.sent, OnReceive: ledger.received,
			}),
			monitor: name,
			addr:    filepath.Join(h.dir, name),
			ledger:  ledger,
		})
	}
	if !s.dials {
		h.boot(t)
	}
	return h
}

// boot starts QEMU. With wait=on QEMU waits for a client at each monitor before it
// continues. Without that, it may never answer a client that connects while it
// starts.
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

// alive reports whether QEMU is running.
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

// errGone is the cause with which an attempt to connect ends if QEMU exits.
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

// sendBuffer is about how many unread bytes a socket holds. It is so small that
// writes wait, or are partial, while QEMU is stopped.
const sendBuffer = 4 << 10

// shrink sets the size of p's socket to sendBuffer, if p is connected.
func (p *peer) shrink() error {
	conn, err := p.SyscallConn()
	if err != nil {
		return nil // the connection has ended already
	}
	var setErr error
	err = conn.Control(func(fd uintptr) {
		setErr = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, sendBuffer)
	})
	if errors.Is(err, net.ErrClosed) {
		return nil // the connection has ended already
	}
	return errors.Join(err, setErr)
}
