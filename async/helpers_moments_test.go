// Helpers for moments that are a few instructions wide. Readers, contexts and handlers
// that act in the middle of such a moment make it wide. Where they wait until
// everything else in the bubble is blocked, the test shows the same on every run.
package async_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/goqmp/qmp/async"
)

// dataAndEnd is a connection whose first Read returns data together with the
// end of the stream, once asked is closed. A Reader may do that, and that of
// TLS does.
type dataAndEnd struct {
	net.Conn
	asked <-chan struct{}
	data  []byte
	over  bool
}

func (c *dataAndEnd) Read(p []byte) (int, error) {
	if c.over {
		return 0, io.EOF
	}
	c.over = true
	<-c.asked
	return copy(p, c.data), io.EOF
}

// firstLook is a context that calls then when its Err is called for the first
// time.
type firstLook struct {
	context.Context
	looks atomic.Int32
	then  func()
}

func (c *firstLook) Err() error {
	if c.looks.Add(1) == 1 {
		c.then()
		return nil
	}
	return c.Context.Err()
}

// bare returns options without a handshake.
func bare() *async.Options {
	return &async.Options{SkipGreeting: true, SkipNegotiation: true}
}

// A handler calls f when the engine logs a failure, such as the end of a
// connection.
type handler struct {
	slog.Handler
	f func()
}

func (h handler) Enabled(context.Context, slog.Level) bool { return true }

func (h handler) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelError {
		h.f()
	}
	return nil
}
