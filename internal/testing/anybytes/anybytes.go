// Package anybytes has helpers for the fuzz targets of whole clients: a server that
// sends any bytes in any pieces, and a check that no goroutine is left.
package anybytes

import (
	"runtime"
	"testing"
	"time"
)

// Patience is how long a fuzz target waits for something that should happen
// immediately.
const Patience = time.Minute

// A Conn is a server's end of a connection.
type Conn interface {
	Write(p []byte) (int, error)
	Close() error
	Reset() error
}

// Say writes data in pieces, and then ends the connection, by a reset or by Close.
// Each byte of split is the size of a piece; after the last, it begins again with
// the first. A size of 0, or an empty split, means everything that is left.
func Say(conn Conn, data, split []byte, reset bool) {
	for i := 0; len(data) > 0; i++ {
		n := len(data)
		if len(split) > 0 && split[i%len(split)] > 0 {
			n = min(n, int(split[i%len(split)]))
		}
		if _, err := conn.Write(data[:n]); err != nil {
			break // the client has ended the connection
		}
		data = data[n:]
	}
	if reset {
		conn.Reset()
	} else {
		conn.Close()
	}
}

// NothingLeft requires that there are not more goroutines than before. It waits for
// those that are about to end.
func NothingLeft(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(Patience); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("there are %d goroutines, want at most the %d of before:\n%s", runtime.NumGoroutine(), before, Stacks())
		}
	}
}

// Stacks returns the stack traces of all goroutines.
func Stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}
