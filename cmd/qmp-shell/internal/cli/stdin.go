package cli

import (
	"context"
	"io"
)

// An input is a Reader whose Read also returns when a context ends. Nothing else can end a
// Read of the standard input, which may be a terminal or a pipe that somebody keeps open.
// The Read of the Reader below goes on until the program has ended.
//
// It is for one goroutine.
type input struct {
	ctx  context.Context
	r    io.Reader
	rest []byte // what was read, and not passed on yet
	err  error  // what came with it
}

// Read implements io.Reader. If the context has ended, the error is its cause.
func (in *input) Read(p []byte) (int, error) {
	if len(in.rest) > 0 || in.err != nil {
		return in.take(p)
	}
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		b := make([]byte, 4096)
		n, err := in.r.Read(b)
		done <- result{b[:n], err}
	}()
	select {
	case r := <-done:
		in.rest, in.err = r.b, r.err
		return in.take(p)
	case <-in.ctx.Done():
		return 0, context.Cause(in.ctx)
	}
}

// take passes on what was read.
func (in *input) take(p []byte) (int, error) {
	n := copy(p, in.rest)
	in.rest = in.rest[n:]
	if len(in.rest) > 0 {
		return n, nil
	}
	return n, in.err
}
