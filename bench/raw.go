package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/goqmp/qmp/bench/internal/measure"
)

// A raw client writes fixed bytes, and reads to the end of a line. It understands
// nothing: it is the least that a Go program can do with this socket.
type raw struct {
	conn net.Conn
	buf  []byte // what was read last, and room for more
	rest []byte // the part of buf after the last line
}

var (
	enableOOB = []byte(`{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}, "id": 1}`)
	noOOB     = []byte(`{"execute": "qmp_capabilities", "id": 1}`)
	query     = []byte(`{"execute": "query-status", "id": 100000}`)
)

// dialRaw connects and negotiates. The end of ctx ends these two, and not the connection
// that is returned.
func dialRaw(ctx context.Context, addr string, negotiate []byte) (*raw, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	r := &raw{conn: conn, buf: make([]byte, 256<<10)}
	if _, err = r.line(); err == nil {
		_, err = r.send(negotiate)
	}
	if !stop() {
		err = context.Cause(ctx) // conn is closed
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return r, nil
}

// send writes a command and returns the length of the next line.
func (r *raw) send(command []byte) (int, error) {
	if _, err := r.conn.Write(command); err != nil {
		return 0, err
	}
	return r.line()
}

// line reads to the end of a line and returns its length, which may exceed buf.
func (r *raw) line() (int, error) {
	length := 0
	for {
		if i := bytes.IndexByte(r.rest, '\n'); i >= 0 {
			r.rest = r.rest[i+1:]
			return length + i + 1, nil
		}
		length += len(r.rest)
		n, err := r.conn.Read(r.buf)
		if err != nil {
			return 0, err
		}
		r.rest = r.buf[:n]
	}
}

// whole reads a line into dst, which is made longer if necessary.
func (r *raw) whole(dst []byte) ([]byte, error) {
	dst = append(dst[:0], r.rest...)
	r.rest = nil
	for seen := 0; ; {
		if i := bytes.IndexByte(dst[seen:], '\n'); i >= 0 {
			return dst[:seen+i+1], nil // nothing comes after it: there is one command at a time
		}
		seen = len(dst)
		if len(dst) == cap(dst) {
			dst = append(dst, make([]byte, len(dst)+1<<20)...)[:len(dst)]
		}
		n, err := r.conn.Read(dst[len(dst):cap(dst)])
		if err != nil {
			return nil, err
		}
		dst = dst[:len(dst)+n]
	}
}

func runRaw(job measure.Job) (measure.Sample, error) {
	r, err := dialRaw(context.Background(), job.Addr, noOOB)
	if err != nil {
		return measure.Sample{}, err
	}
	return measure.Loop(job, func() error {
		_, err := r.send(query)
		return err
	})
}

// runRawQEMU counts the ids as clients do, since QEMU needs longer for a longer one,
// and enables out-of-band execution as clients do.
func runRawQEMU(job measure.Job) (measure.Sample, error) {
	r, err := dialRaw(context.Background(), job.Addr, enableOOB)
	if err != nil {
		return measure.Sample{}, err
	}
	var text []byte
	id := int64(1)
	return measure.Loop(job, func() error {
		id++
		text = append(strconv.AppendInt(append(text[:0], `{"execute": "query-status", "id": `...), id, 10), '}')
		if _, err := r.conn.Write(text); err != nil {
			return err
		}
		_, err := r.line()
		return err
	})
}

// runRawPipelined writes several commands at once, and then reads as many lines.
func runRawPipelined(window int) func(measure.Job) (measure.Sample, error) {
	return func(job measure.Job) (measure.Sample, error) {
		r, err := dialRaw(context.Background(), job.Addr, noOOB)
		if err != nil {
			return measure.Sample{}, err
		}
		commands := bytes.Repeat(query, window)
		return measure.Run(job, func(n int) error {
			for ; n > 0; n -= window {
				k := min(n, window)
				if _, err := r.conn.Write(commands[:k*len(query)]); err != nil {
					return err
				}
				for range k {
					if _, err := r.line(); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
}

func runRawEvents(job measure.Job) (measure.Sample, error) {
	r, err := dialRaw(context.Background(), job.Addr, noOOB)
	if err != nil {
		return measure.Sample{}, err
	}
	return measure.Run(job, func(n int) error {
		if _, err := r.send(fmt.Appendf(nil, `{"execute": "flood", "arguments": {"count": %d}}`, n)); err != nil {
			return err
		}
		for range n {
			if _, err := r.line(); err != nil {
				return err
			}
		}
		return nil
	})
}

// runRawScan reads a whole reply into one buffer, and checks it once, as JSON, with the
// scanner of the JSON package that the library uses.
func runRawScan(job measure.Job) (measure.Sample, error) {
	r, err := dialRaw(context.Background(), job.Addr, noOOB)
	if err != nil {
		return measure.Sample{}, err
	}
	var text []byte
	return measure.Loop(job, func() error {
		if _, err := r.conn.Write(query); err != nil {
			return err
		}
		if text, err = r.whole(text); err != nil {
			return err
		}
		if !jsontext.Value(text).IsValid() {
			return fmt.Errorf("not JSON: %.60q", text)
		}
		return nil
	})
}

// runRawSession connects, negotiates, executes one command and disconnects.
func runRawSession(job measure.Job) (measure.Sample, error) {
	buf := make([]byte, 4<<10)
	return measure.Loop(job, func() error {
		conn, err := net.Dial("unix", job.Addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		r := raw{conn: conn, buf: buf}
		if _, err := r.line(); err != nil {
			return err
		}
		if _, err := r.send(noOOB); err != nil {
			return err
		}
		_, err = r.send(query)
		return err
	})
}
