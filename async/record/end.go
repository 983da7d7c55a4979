package record

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/socket"
)

// newEnd describes the end of a connection. err is that of async.TraceEnded.
func newEnd(err error) *End {
	if err == nil {
		return &End{Cause: ByClient}
	}
	end := &End{Error: err.Error()}
	var frame *proto.FrameError
	if errors.As(err, &frame) {
		end.Cause = faults[frame.Fault]
		if end.Cause == TooLarge {
			end.Limit = frame.Limit
		} else if end.Cause != TooDeep {
			end.Bytes, end.Shortened = beginning(frame.Excerpt)
		}
		return end
	}
	switch network := (*net.OpError)(nil); {
	case socket.IsReset(err):
		end.Cause = Reset
	case errors.Is(err, io.ErrUnexpectedEOF): // of a TLS record, for example
		end.Cause = CutOff
	case async.HungUp(err):
		end.Cause = EOF
	case errors.Is(err, async.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		end.Cause = ByClient
	case errors.As(err, &network):
		end.Cause = Failed
	default: // the contents of a message, or OnConnect of async.Reconnect
		end.Cause = ByClient
	}
	return end
}

// beginning returns the bytes of an excerpt of a message, without the dots of a shortened
// one. The engine shortens an excerpt to 80 bytes, and after the member return, whose
// value may be a secret.
func beginning(excerpt []byte) (begin []byte, shortened bool) {
	begin, dots := bytes.CutSuffix(excerpt, []byte("..."))
	if dots && (len(begin) == 80 || bytes.HasSuffix(begin, []byte(`"return"`))) {
		return begin, true
	}
	return excerpt, false
}

// faults has the cause for each fault of a message. A message with a bad number is
// refused only when it is decoded, which ends no connection.
var faults = map[proto.Fault]Cause{
	proto.NotJSON:   NotJSON,
	proto.NotObject: NotObject,
	proto.TooLarge:  TooLarge,
	proto.TooDeep:   TooDeep,
	proto.Truncated: CutOff,
}

var causes = []Cause{ByClient, EOF, Reset, CutOff, NotJSON, NotObject, TooLarge, TooDeep, Failed}
