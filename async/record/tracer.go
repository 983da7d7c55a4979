package record

import (
	"fmt"
	"sync/atomic"

	"github.com/goqmp/qmp/async"
)

// tracer returns the tracer of the client with this name.
func (r *Recorder) tracer(client string) *async.Tracer {
	var latest atomic.Uint64 // the number of the latest session
	entry := func(kind Kind, session uint64) Entry {
		return Entry{Client: client, Session: session, Kind: kind}
	}
	message := func(kind Kind) func(async.TraceMessage) {
		return func(m async.TraceMessage) { r.message(entry(kind, m.Session), m) }
	}
	return &async.Tracer{
		Connected: func(c async.TraceConnected) {
			if latest.Swap(c.Session) >= c.Session {
				r.fail(fmt.Errorf("recording: two clients have the tracer %q: call record.Recorder.Tracer once for each client", client))
			}
			e := entry(Connected, c.Session)
			e.Address = c.Address
			r.add(e, c.Time, nil)
		},
		Sent:     message(Sent),
		Unsent:   message(Unsent),
		Received: message(Received),
		Ended: func(d async.TraceEnded) {
			e := entry(Ended, d.Session)
			e.End = newEnd(d.Err)
			r.add(e, d.Time, nil)
		},
	}
}

// message queues the entry of a message.
func (r *Recorder) message(e Entry, m async.TraceMessage) {
	e.Files = m.Files
	switch limit := r.opts.MaxMessage; {
	case e.Kind != Received && len(m.Message) == 1: // the space of SendFiles
		r.add(e, m.Time, nil)
	case limit >= 0 && len(m.Message) > limit:
		e.Omitted = len(m.Message)
		r.add(e, m.Time, essence(m.Message))
	case r.opts.Unmasked:
		r.add(e, m.Time, m.Message)
	default:
		r.add(e, m.Time, m.Masked())
	}
}
