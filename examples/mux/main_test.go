package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// log is a writer for several goroutines.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// story uses both doors of a monitor, and ends QEMU.
func story(t *testing.T, monitor string) {
	ctx := qemutest.Context(t)
	dir := qemutest.Dir(t)
	ready := make(chan struct{})
	ended := make(chan error, 1)
	var out log
	go func() { ended <- share(ctx, &out, monitor, dir, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	admin, err := async.Dial(ctx, filepath.Join(dir, "admin.qmp"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	reader, err := async.Dial(ctx, filepath.Join(dir, "readers.qmp"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := reader.Execute(ctx, "query-status", nil); err != nil {
		t.Error(err)
	}
	var refused *async.ExecuteError
	if _, err := reader.Execute(ctx, "quit", nil); !errors.As(err, &refused) || refused.Class != "CommandNotFound" {
		t.Errorf("a reader's quit: %v", err)
	}
	if err := admin.Quit(ctx); err != nil {
		t.Error(err)
	}
	if err := <-ended; !async.HungUp(err) {
		t.Errorf("share: %v", err)
	}
	for _, want := range []string{"door=readers command=query-status", "door=readers command=quit", "result=refused", "door=admin command=quit"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, out.String())
		}
	}
}

func TestSimulated(t *testing.T) {
	story(t, qmptest.Start(t, nil).Addr())
}

func TestReal_QEMU(t *testing.T) {
	story(t, qemutest.Monitor(t))
}

// A door that cannot be opened ends the program, and a monitor that is not there.
func TestErrors(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := share(ctx, &log{}, qmptest.Start(t, nil).Addr(), filepath.Join(t.TempDir(), "nope"), func() { t.Error("ready was called without a door") }); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("share: %v", err)
	}
	if err := share(ctx, &log{}, filepath.Join(t.TempDir(), "nope"), t.TempDir(), nil); err == nil {
		t.Error("share succeeded without a monitor")
	}
}
