// Package anybytes is what the fuzz targets of whole clients have in common: a
// server that says any bytes in any pieces, and a look at what is left behind.
package anybytes

import (
	"runtime"
	"testing"
	"time"
)

// Patience is how long a fuzz target waits for what is to happen at once.
const Patience = time.Minute

// A Conn is a server's end of a connection.
type Conn interface {
	Write(p []byte) (int, error)
	Close() error
	Reset() error
}

// Say writes data in pieces, and then ends the connection, with a reset or
// without. Each byte of split is the size of a piece, over and over; 0 is all
// that is left, and so is an empty split.
func Say(conn Conn, data, split []byte, reset bool) {
	for i := 0; len(data) > 0; i++ {
		n := len(data)
		if len(split) > 0 && split[i%len(split)] > 0 {
			n = min(n, int(split[i%len(split)]))
		}
		if _, err := conn.Write(data[:n]); err != nil {
			break // the client has had enough
		}
		data = data[n:]
	}
	if reset {
		conn.Reset()
	} else {
		conn.Close()
	}
}

// NothingLeft requires that there are no more goroutines than before. Those that
// have done their last may take a moment to go.
func NothingLeft(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(Patience); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, were %d before:\n%s", runtime.NumGoroutine(), before, Stacks())
		}
	}
}

// Stacks returns what every goroutine is at.
func Stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}
