package jobs_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/qapi"
)

// A mirror goes on while its client loses the connection, and is followed to its end
// over the next one. After QEMU was replaced by another, the job is gone.
func TestReconnect_QEMU(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	var mu sync.Mutex // guards the variables below
	addr, conn := qemutest.Monitor(t), net.Conn(nil)
	c := async.New(&async.Options{
		Reconnect: &async.Reconnect{}, Backoff: async.Every(10 * time.Millisecond),
		Dialer: func(ctx context.Context) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			var err error
			conn, err = new(net.Dialer).DialContext(ctx, "unix", addr)
			return conn, err
		},
	})
	if err := c.Connect(ctx, ""); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := &bench{t, c, ctx, filepath.Dir(addr)}
	b.disk("a")
	b.disk("b")
	// cut ends the connection, and waits for the next one.
	cut := func(to string) {
		t.Helper()
		w := c.WatchRunstate()
		defer w.Close()
		mu.Lock()
		addr = to
		conn.Close()
		mu.Unlock()
		for {
			change, err := w.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if change.To == async.Running {
				return
			}
		}
	}

	// A mirror that is ready stays so until it is completed.
	start := func(id string) *jobs.Job {
		t.Helper()
		j := b.start(id, nil, b.mirror(id, "a", "b"))
		if _, err := j.WaitFor(ctx, qapi.JobStatusReady); err != nil {
			t.Fatal(err)
		}
		return j
	}
	j := start("j")
	result := make(chan error, 1)
	go func() { result <- j.Wait(ctx) }()
	for range 3 {
		cut(addr)
	}
	if err := j.Complete(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Errorf("a mirror across three losses: %v", err)
	}

	j = start("k")
	go func() { result <- j.Wait(ctx) }()
	cut(qemutest.Monitor(t))
	if err := <-result; !errors.Is(err, jobs.ErrGone) {
		t.Errorf("a mirror of a QEMU that is replaced: %v", err)
	}
}
