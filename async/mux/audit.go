package mux

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/internal/secrets"
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
	attrs = append(attrs, slog.String("command", shown(secrets.Text(req.command.Name), 256)))
	if req.isObject() {
		attrs = append(attrs, slog.String("message", shown(string(async.MaskCommand(req.command.Raw)), 4<<10)))
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
		attrs = append(attrs, slog.String("class", f.class), slog.String("desc", shown(secrets.Text(unquoted(req, f)), 4<<10)))
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

// unquoted returns the text of an error. What the parser refuses is not known to be a
// command, so its secrets are not known, and the text that the parser quotes is left out.
func unquoted(req *request, f *fault) string {
	if before, _, quotes := strings.Cut(f.desc, "'"); quotes && !req.isObject() {
		return before + "'...'"
	}
	return f.desc
}

// shown returns the first bytes of a masked text, at most so many, fit to be shown.
func shown(s string, most int) string {
	if len(s) > most {
		s = s[:most] + "..."
	}
	return harmless.Line(s)
}
