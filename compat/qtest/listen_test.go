package qtest_test

// Tests of Dial and of Listener: addresses, and the files of unix sockets.

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/qtest"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var bad *async.AddressError
	for _, addr := range []string{"", "fd:3", "vsock:1:2", "host:port:x"} {
		if _, err := qtest.Listen(addr); !errors.As(err, &bad) {
			t.Errorf("listen %q: %v", addr, err)
		}
		if _, err := qtest.Dial(ctx, addr); !errors.As(err, &bad) {
			t.Errorf("dial %q: %v", addr, err)
		}
	}
	if _, err := qtest.Listen("/nonexistent/socket"); err == nil {
		t.Error("Listen in a directory that does not exist")
	}

	l, err := qtest.Listen("tcp:127.0.0.1:0")
	must(t, err)
	conn, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	q, err := l.Accept(ctx)
	must(t, err)
	must(t, conn.Close())
	<-q.Done()
	is(t, q.Close(), io.EOF, nil)

	ended, cancel := context.WithCancelCause(ctx)
	cancel(io.ErrNoProgress)
	if _, err := l.Accept(ended); !errors.Is(err, io.ErrNoProgress) || !errors.Is(err, context.Canceled) {
		t.Errorf("accept: %v", err)
	}
	if _, err := l.Accept(ctx); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after that: %v", err)
	}
	must(t, l.Close())
}

func TestSocketIsItsOwnersOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(qemutest.Dir(t), "socket")
	l, err := qtest.Listen(path)
	must(t, err)
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("%v", info.Mode())
	}
	is(t, l.Addr().String(), path, nil)
	if _, err := qtest.Listen(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second listener: %v", err)
	}
	q, err := qtest.Dial(t.Context(), path)
	must(t, err)
	must(t, l.Close())
	must(t, l.Close())
	files, err := os.ReadDir(filepath.Dir(path))
	is(t, len(files), 0, err)
	_, err = q.ReadB(t.Context(), 0) // no Accept has taken the connection
	var interrupted *qtest.InterruptedError
	if !errors.As(err, &interrupted) {
		t.Error(err)
	}
	q.Close()

	// Close does not remove a file that the listener has not made.
	l, err = qtest.Listen(path)
	must(t, err)
	must(t, os.Remove(path))
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, l.Close())
	_, err = os.Stat(path)
	must(t, err)
}

// Listen has the rules of async.Client.Listen: if several programs listen at one path
// at a time, one of them succeeds; a path may be as long as the system takes; a stale
// socket is replaced; and errors name the path.
func TestListening(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		qemutest.Unsupported(t, "the system cannot listen without replacing")
	}
	dir := qemutest.Dir(t)
	path := filepath.Join(dir, "socket")
	for range 300 {
		begin := make(chan struct{})
		ls, errs := make([]*qtest.Listener, 2), make([]error, 2)
		var wg sync.WaitGroup
		for i := range ls {
			wg.Go(func() {
				<-begin
				ls[i], errs[i] = qtest.Listen(path)
			})
		}
		close(begin)
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("two that listen at one path: %v, %v", errs[0], errs[1])
		}
		for i, l := range ls {
			if l != nil {
				must(t, l.Close())
			} else if !errors.Is(errs[i], syscall.EADDRINUSE) {
				t.Error(errs[i])
			}
		}
	}

	long := dir + "/" + strings.Repeat("x", 100-len(dir)-1)
	if runtime.GOOS != "linux" {
		long = path
	}
	qemutest.StaleSocket(t, long)
	l, err := qtest.Listen(long)
	must(t, err)
	defer l.Close()
	peer, err := net.Dial("unix", long)
	must(t, err)
	q, err := l.Accept(t.Context())
	must(t, err)
	defer q.Close()
	_, err = q.ReadB(withLimit(t, time.Nanosecond), 0) // the peer does not read it, so that its end is a reset
	var interrupted *qtest.InterruptedError
	if !errors.As(err, &interrupted) {
		t.Error(err)
	}
	_, err = io.WriteString(peer, "x")
	must(t, err)
	must(t, peer.Close())
	<-q.Done()
	if err := q.Close(); err == nil || strings.Contains(err.Error(), ".q") || strings.Contains(err.Error(), "/proc") {
		t.Errorf("the end of the connection: %v", err)
	}
}
