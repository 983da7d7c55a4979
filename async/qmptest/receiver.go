package qmptest

import (
	"bytes"
	"io"
	"net"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/socket"
)

const whitespace = " \t\r\n"

// A receiver cuts what a client sends into messages, and tells with which message
// file descriptors came. It reads only when a method asks it to; while nobody
// asks, the client faces a peer that does not read. It is for one goroutine.
type receiver struct {
	conn net.Conn
	max  int // the most bytes in a message; 0 means QEMU's own limit, a negative number no limit

	buf      []byte    // received and not yet consumed
	given    int       // how much of buf Read has given to the current framer
	arrivals []arrival // descriptors not yet consumed
}

// An arrival is a set of descriptors and the data of the read that returned them.
type arrival struct {
	fds  []int
	data []byte // what this read returned
	end  int    // where that ends in the receiver's buf
}

// fill waits for bytes and adds them to buf.
func (r *receiver) fill() error {
	const chunk = 4 << 10
	r.buf = slices.Grow(r.buf, chunk)
	start := len(r.buf)
	n, fds, err := socket.Read(r.conn, r.buf[start:cap(r.buf)])
	r.buf = r.buf[:start+n]
	if len(fds) > 0 {
		r.arrivals = append(r.arrivals, arrival{
			fds: fds, data: bytes.Clone(r.buf[start:]), end: len(r.buf),
		})
	}
	if n > 0 {
		return nil // the next read returns the error again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// Read gives buf, and then what the client sends next, to a framer.
func (r *receiver) Read(p []byte) (int, error) {
	if r.given == len(r.buf) {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf[r.given:])
	r.given += n
	return n, nil
}

// next returns the next message and the descriptors that came with it. The caller
// closes them. After an error all bytes are still in buf.
func (r *receiver) next() ([]byte, []int, error) {
	// Each message gets a new framer, which reads all of buf again. So no framer
	// holds bytes of the next message, and after a deadline nothing is lost.
	r.given = 0
	limit := r.max
	if limit == 0 {
		limit = proto.MaxSend
	}
	msg, err := proto.NewFramer(r, limit, nil).Next()
	if err != nil {
		return nil, nil, err
	}
	return msg, r.consume(r.blank() + len(msg)), nil
}

// skipValue consumes one JSON value of any kind, waiting for its end.
func (r *receiver) skipValue() error {
	r.given = 0
	dec := jsontext.NewDecoder(r)
	if err := dec.SkipValue(); err != nil {
		return err
	}
	socket.CloseFDs(r.consume(int(dec.InputOffset())))
	return nil
}

// blank returns how much white space buf begins with.
func (r *receiver) blank() int {
	return len(r.buf) - len(bytes.TrimLeft(r.buf, whitespace))
}

// consume drops the first n bytes of buf and returns the descriptors that
// belong to them.
//
// The kernel ends a read after the bytes with which descriptors were sent. So
// the descriptors belong to the message that has the last byte of the read, or,
// if that byte is white space, to the next message.
func (r *receiver) consume(n int) []int {
	var fds []int
	rest := r.arrivals[:0]
	for _, a := range r.arrivals {
		if a.end <= n {
			fds = append(fds, a.fds...)
			continue
		}
		a.end -= n
		rest = append(rest, a)
	}
	r.arrivals = rest
	if r.buf = r.buf[n:]; len(r.buf) == 0 && cap(r.buf) > 64<<10 {
		r.buf = nil
	}
	return fds
}

// discard drops everything received so far.
func (r *receiver) discard() {
	socket.CloseFDs(r.consume(len(r.buf)))
	r.given = 0
}
