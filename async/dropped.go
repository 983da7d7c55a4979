package async

import (
	"log/slog"
	"time"

	"github.com/goqmp/qmp/internal/proto"
)

// How many dropped messages a session logs in a period. A server may send a megabyte of
// them, and a line of the log is many times as long as a short message.
const (
	droppedLogged = 10
	droppedPeriod = time.Minute
)

// dropped counts the messages of a session that no call and no listener gets.
type dropped struct {
	since  time.Time // when the period began
	logged int       // how many messages were logged in the period
	silent int       // how many were not, and are not told yet
}

// drop logs a message that no call and no listener gets, or only counts it.
//
// Lower half: runs on readLoop.
func (s *session) drop(m *proto.Message, why string) {
	d := &s.dropped
	if now := time.Now(); now.Sub(d.since) >= droppedPeriod {
		s.tellDropped()
		d.since, d.logged = now, 0
	}
	if d.logged == droppedLogged {
		d.silent++
		return
	}
	d.logged++
	s.log.Warn("qmp: message dropped", slog.String("why", why), slog.String("message", shown(s.maskReply(m))))
}

// tellDropped logs how many messages drop has only counted.
//
// Lower half: runs on readLoop.
func (s *session) tellDropped() {
	if s.dropped.silent > 0 {
		s.log.Warn("qmp: more messages dropped", slog.Int("count", s.dropped.silent))
		s.dropped.silent = 0
	}
}
