package mux

import (
	"context"
	"log/slog"
	"time"

	"github.com/goqmp/qmp/async"
)

// audit writes the audit line of a request that was answered: with f, or with a success if
// f is nil. sent is when it was given to the server; the zero time if it was not.
func (u *user) audit(req *request, f *fault, sent time.Time) {
	log := u.door.Audit
	if log == nil || !log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	now := time.Now()
	attrs := []slog.Attr{
		slog.Uint64("user", u.number),
		slog.String("peer", u.peer.String()),
	}
	if u.door.Name != "" {
		attrs = append(attrs, slog.String("door", u.door.Name))
	}
	attrs = append(attrs, slog.String("command", req.command.Name))
	if req.isObject() {
		attrs = append(attrs, slog.String("message", shorten(async.MaskCommand(req.command.Raw))))
	}
	if n := req.sentFiles; n > 0 {
		attrs = append(attrs, slog.Int("files", n))
	}
	result := "done"
	switch {
	case f != nil && sent.IsZero():
		result = "refused"
	case f != nil:
		result = "failed"
	}
	attrs = append(attrs, slog.String("result", result))
	if f != nil {
		attrs = append(attrs, slog.String("class", f.class), slog.String("desc", shorten([]byte(f.desc))))
	}
	attrs = append(attrs, slog.Duration("waited", waited(req, sent, now)))
	if !sent.IsZero() {
		attrs = append(attrs, slog.Duration("duration", now.Sub(sent)))
	}
	log.LogAttrs(context.Background(), slog.LevelInfo, "qmp mux: command", attrs...)
}

// waited returns how long a request was in the queue.
func waited(req *request, sent, now time.Time) time.Duration {
	if sent.IsZero() {
		sent = now
	}
	return sent.Sub(req.begun)
}

// shorten returns b as a text of at most 4 KiB.
func shorten(b []byte) string {
	const most = 4 << 10
	if len(b) > most {
		return string(b[:most]) + "..."
	}
	return string(b)
}
