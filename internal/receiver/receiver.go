// Package receiver reads what a client sends: for servers of tests, and for what plays
// recordings.
package receiver

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

// A Receiver cuts what a client sends into messages, and tells with which message
// file descriptors came. It reads only when a method asks it to; while nobody
// asks, the client faces a peer that does not read. It is for one goroutine.
type Receiver struct {
	Conn net.Conn
	Max  int // the most bytes in a message; 0 means QEMU's own limit, a negative number no limit

	Buf      []byte    // received and not yet consumed
	Arrivals []Arrival // descriptors not yet consumed

	given int // how much of Buf Read has given to the current framer
}

// An Arrival is a set of descriptors and the data of the read that returned them.
type Arrival struct {
	FDs  []int
	Data []byte // what this read returned
	End  int    // where that ends in the Receiver's Buf
}

// mostFDs is how many descriptors may wait for their message. One message of Linux
// brings at most 253. QEMU keeps those that came last, too.
const mostFDs = 253

// Fill waits for bytes and adds them to Buf. If Buf has only white space, it drops that
// first, so a client cannot fill the memory with it. If too many descriptors wait, Fill
// closes the oldest ones.
func (r *Receiver) Fill() error {
	const chunk = 4 << 10
	if len(r.Buf) >= chunk && r.Blank() == len(r.Buf) {
		for i := range r.Arrivals {
			r.Arrivals[i].End = max(0, r.Arrivals[i].End-len(r.Buf))
		}
		r.given -= min(r.given, len(r.Buf))
		r.Buf = r.Buf[:0]
	}
	r.Buf = slices.Grow(r.Buf, chunk)
	start := len(r.Buf)
	n, fds, err := socket.Read(r.Conn, r.Buf[start:cap(r.Buf)])
	r.Buf = r.Buf[:start+n]
	if len(fds) > 0 {
		r.Arrivals = append(r.Arrivals, Arrival{
			FDs: fds, Data: bytes.Clone(r.Buf[start:]), End: len(r.Buf),
		})
		r.dropOldFDs()
	}
	if n > 0 {
		return nil // the next read returns the error again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// dropOldFDs closes the oldest descriptors that wait, if there are more than mostFDs.
func (r *Receiver) dropOldFDs() {
	n := 0
	for _, a := range r.Arrivals {
		n += len(a.FDs)
	}
	for n > mostFDs {
		n -= len(r.Arrivals[0].FDs)
		socket.CloseFDs(r.Arrivals[0].FDs)
		r.Arrivals = r.Arrivals[1:]
	}
}

// Read gives Buf, and then what the client sends next, to a framer.
func (r *Receiver) Read(p []byte) (int, error) {
	if r.given == len(r.Buf) {
		if err := r.Fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.Buf[r.given:])
	r.given += n
	return n, nil
}

// Next returns the next message and the descriptors that came with it. The caller
// closes them. After an error all bytes are still in Buf.
func (r *Receiver) Next() ([]byte, []int, error) {
	// Each message gets a new framer, which reads all of Buf again. So no framer
	// holds bytes of the next message, and after a deadline nothing is lost.
	r.given = 0
	limit := r.Max
	if limit == 0 {
		limit = proto.MaxSend
	}
	msg, err := proto.NewFramer(r, limit, nil).Next()
	if err != nil {
		return nil, nil, err
	}
	return msg, r.Consume(r.Blank() + len(msg)), nil
}

// SkipValue consumes one JSON value of any kind, waiting for its end.
func (r *Receiver) SkipValue() error {
	r.given = 0
	dec := jsontext.NewDecoder(r)
	if err := dec.SkipValue(); err != nil {
		return err
	}
	socket.CloseFDs(r.Consume(int(dec.InputOffset())))
	return nil
}

// Blank returns how much white space Buf begins with.
func (r *Receiver) Blank() int {
	return len(r.Buf) - len(bytes.TrimLeft(r.Buf, whitespace))
}

// Consume drops the first n bytes of Buf and returns the descriptors that
// belong to them.
//
// The kernel ends a read after the bytes with which descriptors were sent. So
// the descriptors belong to the message that has the last byte of the read, or,
// if that byte is white space, to the next message.
func (r *Receiver) Consume(n int) []int {
	var fds []int
	rest := r.Arrivals[:0]
	for _, a := range r.Arrivals {
		if a.End <= n {
			fds = append(fds, a.FDs...)
			continue
		}
		a.End -= n
		rest = append(rest, a)
	}
	r.Arrivals = rest
	if r.Buf = r.Buf[n:]; len(r.Buf) == 0 && cap(r.Buf) > 64<<10 {
		r.Buf = nil
	}
	return fds
}

// Discard drops everything received so far.
func (r *Receiver) Discard() {
	socket.CloseFDs(r.Consume(len(r.Buf)))
	r.given = 0
}
