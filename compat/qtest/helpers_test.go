package qtest_test

import (
	"bufio"
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/compat/qtest"
)

// serve returns a client of a peer that answers each line with what answer returns for
// it. The peer closes the connection when answer returns "".
func serve(t testing.TB, answer func(line string) string) *qtest.Client {
	t.Helper()
	conn, qemu := qmptest.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer qemu.Close()
		for in := bufio.NewScanner(qemu); in.Scan(); {
			reply := answer(in.Text())
			if reply == "" {
				return
			}
			if _, err := io.WriteString(qemu, reply+"\n"); err != nil {
				return
			}
		}
	})
	q := qtest.New(conn)
	t.Cleanup(func() {
		q.Close()
		wg.Wait()
	})
	return q
}

// withLimit returns a context of the test that ends after limit.
func withLimit(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// must fails the test at once if err is not nil.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// is fails the test unless got is want. An err that is not nil ends the test.
func is[T comparable](t *testing.T, got, want T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
