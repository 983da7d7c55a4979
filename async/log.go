package async

import (
	"bytes"
	"context"
	"errors"
	"log/slog"

	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/secrets"
)

// logger returns the client's logger, which adds its nickname to each record.
func (c *Client) logger() *slog.Logger {
	if c.opts.Logger == nil {
		return discard
	}
	if c.opts.Nickname == "" {
		return c.opts.Logger
	}
	return c.opts.Logger.With("qmp", c.opts.Nickname)
}

var discard = slog.New(slog.DiscardHandler)

// logSent logs a message that is about to be written.
func (s *session) logSent(msg []byte) {
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		s.log.Debug("qmp: sent", "message", harmless.Line(string(secrets.Command(msg))))
	}
}

// logReceived logs a message before it is handled.
//
// Lower half: runs on readLoop.
func (s *session) logReceived(m *proto.Message) {
	if !s.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	s.log.Debug("qmp: received", "message", shown(s.maskReceived(m)))
}

// maskReceived returns a received message with its secrets masked.
//
// Lower half: runs on readLoop.
func (s *session) maskReceived(m *proto.Message) []byte {
	negotiated := s.handshake.awaitsReply() && m.Error == nil && (m.ID.Kind == proto.NoID || m.ID == proto.Number(s.handshake.firstID))
	if m.Event != nil || negotiated {
		return secrets.Event(m.Raw)
	}
	return s.maskReply(m)
}

// maskReply returns a reply with its secrets masked. If the command is not known any
// more, everything that the reply returns is masked.
func (s *session) maskReply(m *proto.Message) []byte {
	hidden := secrets.Unknown
	if m.ID.Kind != proto.NoID {
		if names, ok := s.calls.hidden(m.ID); ok {
			hidden = names
		}
	}
	return secrets.Reply(m.Raw, hidden)
}

// hideReturned masks what a broken message returns, in the excerpt that err has of it:
// it may be a secret.
func hideReturned(err error) {
	var frame *proto.FrameError
	if !errors.As(err, &frame) {
		return
	}
	const key = `"return"`
	if i := bytes.Index(frame.Excerpt, []byte(key)); i >= 0 {
		frame.Excerpt = append(frame.Excerpt[:i+len(key)], "..."...)
	}
}
