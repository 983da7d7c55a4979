package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// pretendQEMU is a QEMU that starts and is never ready. In mode "silent" it accepts
// connections and sends nothing; in mode "slow" it has no socket. It makes the file ready
// next to its socket when it is that far.
func pretendQEMU(mode string) {
	if os.Args[1] == "--version" {
		fmt.Println("QEMU emulator version 0.0")
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "waiting for nothing")
	var path string
	for _, arg := range os.Args {
		if _, rest, ok := strings.Cut(arg, "path="); ok {
			path, _, _ = strings.Cut(rest, ",")
		}
	}
	if mode == "silent" {
		if _, err := net.Listen("unix", path); err != nil {
			exit(err)
		}
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "ready"), nil, 0o600); err != nil {
		exit(err)
	}
	time.Sleep(2 * qemutest.Patience) // the test kills it long before
}

// startQEMU gives up when its context ends, and after its limit. The error says why, and has
// what QEMU printed.
func TestStartQEMU(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("QMP_TEST_QEMU", self)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // see TestRun
	for _, mode := range []string{"silent", "slow"} {
		t.Run(mode, func(t *testing.T) {
			t.Setenv("BENCH_TEST_PROGRAM", mode)
			dir := qemutest.Dir(t)
			canceled := errors.New("Ctrl-C")
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				defer cancel(canceled)
				for end := time.Now().Add(qemutest.Patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
					if _, err := os.Stat(filepath.Join(dir, "ready")); err == nil {
						return
					}
				}
			}()
			_, _, _, err := startQEMU(ctx, dir, time.Hour)
			if !errors.Is(err, canceled) || !strings.Contains(err.Error(), "waiting for nothing") {
				t.Errorf("canceled: %v", err)
			}
			_, _, _, err = startQEMU(t.Context(), qemutest.Dir(t), time.Millisecond)
			if err == nil || !strings.Contains(err.Error(), "has not answered within 1ms") {
				t.Errorf("after the limit: %v", err)
			}
		})
	}
}

// A connection whose negotiation fails is closed.
func TestDialRawCloses(t *testing.T) {
	path := filepath.Join(qemutest.Dir(t), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(qemutest.Patience))
		conn.Write([]byte("{}\n"))
		conn.(*net.UnixConn).CloseWrite()
		got, err := io.ReadAll(conn) // until the client closes
		if err == nil && string(got) != string(noOOB) {
			err = fmt.Errorf("received %q", got)
		}
		served <- err
	}()
	r, err := dialRaw(t.Context(), path, noOOB)
	if r != nil || !errors.Is(err, io.EOF) {
		t.Errorf("got %v, %v; want an EOF", r, err)
	}
	if err := <-served; err != nil {
		t.Errorf("the server: %v", err)
	}
}
