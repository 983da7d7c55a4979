package support

import (
	"bytes"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// An Extra has the members of an object that the schema of its generated type does not
// have, for example those of a later release of QEMU. They encode again unchanged.
// Generated structs embed a pointer to it, which is nil if there are no such members.
//
// Package encoding/json, which does not know this, drops the members when it decodes a
// struct, and encodes them as an object under the name Members.
type Extra struct {
	Members jsontext.Value `json:",embed"` // one object, or empty
}

// Unknown returns the members as one JSON object, or nil if there are none. It may be
// called with a nil Extra, and so with every generated struct: v.Unknown().
func (e *Extra) Unknown() jsontext.Value {
	if e == nil || len(e.Members) == 0 {
		return nil
	}
	return e.Members
}

// maxKept is the largest buffer, in bytes, that is kept for the next value.
const maxKept = 64 << 10

// scratches has an Extra for each union that is being decoded. Its members are
// decoded a second time, into a branch, and then their buffer is free again.
var scratches = sync.Pool{New: func() any { return new(Extra) }}

// Scratch returns an empty Extra, which a generated method fills and passes to
// [DecodeBranch] or [KeepUnknown].
func Scratch() *Extra { return scratches.Get().(*Extra) }

func putScratch(e *Extra) {
	if cap(e.Members) > maxKept {
		return
	}
	e.Members = e.Members[:0]
	scratches.Put(e)
}

// KeepUnknown replaces *extra, which comes from [Scratch], by an Extra that belongs to
// the caller: a copy, or nil if it has no members.
func KeepUnknown(extra **Extra) error {
	scratch := *extra
	*extra = nil
	if len(scratch.Members) > 0 {
		*extra = &Extra{Members: bytes.Clone(scratch.Members)}
	}
	putScratch(scratch)
	return nil
}

// buffers has a buffer for each union that is being encoded.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func getBuffer() *bytes.Buffer { return buffers.Get().(*bytes.Buffer) }

func putBuffer(b *bytes.Buffer) {
	if b.Cap() > maxKept {
		return
	}
	b.Reset()
	buffers.Put(b)
}
