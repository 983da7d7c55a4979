package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/goqmp/qmp/internal/contexts"
)

// delimiter is a byte that JSON in UTF-8 cannot contain. At this byte the parser of the
// agent starts again, and the agent sends it before the reply to guest-sync-delimited
// (QEMU guest agent protocol reference, guest-sync-delimited).
const delimiter = 0xff

// How long resync waits for the agent before it asks again: firstWait, then twice as
// long each time, up to longestWait.
const (
	firstWait   = time.Second
	longestWait = 10 * time.Second
)

// maxReply is more than the length in bytes of any reply to guest-sync-delimited.
const maxReply = 256

// resync makes sure that the next message on conn is the agent's reply to the next
// command. An earlier client may have left a part of a command, or replies that it did
// not read. So resync sends the delimiter, which ends a part of a command, and
// guest-sync-delimited with a number that nobody can know. It skips everything up to the
// reply with that number. It asks again from time to time, until ctx ends, since an agent
// that is not running yet looks like silence, and what is sent to it may be lost or kept.
//
// kept is what came after the reply. If resync returns an error, conn is of no use any
// more, and belongs to the caller.
func resync(ctx context.Context, conn net.Conn) (kept []byte, err error) {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(past) })
	defer func() {
		if !stop() && ctx.Err() != nil {
			err = contexts.Err(ctx)
		}
		if err == nil {
			err = conn.SetReadDeadline(time.Time{})
		}
	}()
	var skip skipper
	buf := make([]byte, 4096)
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		skip.wanted = rand.Int64()
		if _, err := conn.Write(syncCommand(skip.wanted)); err != nil {
			return nil, fmt.Errorf("ask the guest agent for guest-sync-delimited: %w", err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, contexts.Err(ctx) // the deadline may have replaced that of the AfterFunc
		}
		for {
			n, err := conn.Read(buf)
			if rest, found := skip.feed(buf[:n]); found {
				return bytes.Clone(rest), nil
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("wait for the guest agent's reply to guest-sync-delimited: %w", err)
			}
		}
	}
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// syncCommand returns the bytes that resync sends.
func syncCommand(number int64) []byte {
	b := append([]byte{delimiter}, `{"execute": "guest-sync-delimited", "arguments": {"id": `...)
	b = strconv.AppendInt(b, number, 10)
	return append(b, "}}"...)
}

// A skipper finds the reply to guest-sync-delimited in a stream of any bytes.
type skipper struct {
	wanted int64  // the number in the reply
	inside bool   // a delimiter was the last thing that came before reply
	reply  []byte // what came after the delimiter so far
}

// feed takes the next bytes of the stream. If they have the end of the reply, it returns
// what comes after that.
func (s *skipper) feed(b []byte) (rest []byte, found bool) {
	for len(b) > 0 {
		if !s.inside {
			at := bytes.IndexByte(b, delimiter)
			if at < 0 {
				return nil, false
			}
			b = b[at+1:]
			s.inside, s.reply = true, s.reply[:0]
			continue
		}
		at := bytes.IndexByte(b, '\n')
		if next := bytes.IndexByte(b, delimiter); next >= 0 && (at < 0 || next < at) {
			at = next
		}
		line := b
		if at >= 0 {
			line = b[:at]
		}
		if len(s.reply)+len(line) > maxReply {
			s.inside = false // another message
			b = b[len(line):]
			continue
		}
		s.reply = append(s.reply, line...)
		if at < 0 {
			return nil, false
		}
		if b[at] == delimiter {
			b = b[at:]
			s.inside = false
			continue
		}
		b = b[at+1:]
		s.inside = false
		if s.isReply() {
			return b, true
		}
	}
	return nil, false
}

// isReply reports whether s.reply is the reply that is wanted.
func (s *skipper) isReply() bool {
	var reply struct {
		Return *int64 `json:"return"`
	}
	return json.Unmarshal(s.reply, &reply) == nil && reply.Return != nil && *reply.Return == s.wanted
}

// A keptConn is a connection from which some bytes have been read already. Its Read
// returns these first.
type keptConn struct {
	net.Conn
	kept []byte // used by Read only, which one goroutine at a time calls
}

func (c *keptConn) Read(b []byte) (int, error) {
	if len(c.kept) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.kept)
	c.kept = c.kept[n:]
	return n, nil
}

// withKept returns a connection that reads kept, and then what conn reads. It is conn
// itself if kept is empty, so that the engine can write to the socket without a
// goroutine.
func withKept(conn net.Conn, kept []byte) net.Conn {
	if len(kept) == 0 {
		return conn
	}
	return &keptConn{Conn: conn, kept: kept}
}
