package async

import (
	"bytes"
	"context"
	"errors"
	"log/slog"

	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/internal/proto"
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
		s.log.Debug("qmp: sent", "message", harmless.Line(string(mask(msg))))
	}
}

// logReceived logs a message before it is handled.
//
// Lower half: runs on readLoop.
func (s *session) logReceived(m proto.Message) {
	if !s.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	s.log.Debug("qmp: received", "message", shown(s.maskReceived(m)))
}

// maskReceived returns a received message with its secrets masked.
//
// Lower half: runs on readLoop.
func (s *session) maskReceived(m proto.Message) []byte {
	negotiated := s.handshake.awaitsReply() && m.Error == nil && (m.ID.Kind == proto.NoID || m.ID == proto.Number(s.handshake.firstID))
	if m.Event != nil || negotiated {
		return m.Raw
	}
	return s.maskReply(m)
}

// maskReply returns a reply with its secrets masked. If the command is not known any
// more, everything that the reply returns is masked.
func (s *session) maskReply(m proto.Message) []byte {
	names := []string{"return"}
	if m.ID.Kind != proto.NoID {
		if name, ok := s.calls.name(m.ID); ok {
			names = secretReplies[name]
		}
	}
	if names == nil {
		return m.Raw
	}
	return proto.Mask(m.Raw, names)
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

// secrets has, for each command, the names of the members of its arguments that hold
// secrets, at any depth.
var secrets = map[string][]string{
	"object-add":               {"data", "password"},
	"blockdev-add":             {"cookie"}, // of an HTTP server
	"blockdev-reopen":          {"cookie"},
	"qom-set":                  {"value"},
	"set_password":             {"password"},
	"change-vnc-password":      {"password"},
	"human-monitor-command":    {"command-line"},
	"sev-inject-launch-secret": {"secret"},
	"guest-set-user-password":  {"password"},
	"guest-exec":               {"env", "input-data"},
	"guest-file-write":         {"buf-b64"},
}

// secretReplies has, for each command, the names of the members of its reply that hold
// secrets.
var secretReplies = map[string][]string{
	"qom-get":           {"return"},
	"guest-file-read":   {"buf-b64"},
	"guest-exec-status": {"out-data", "err-data"},
}

// mask returns msg, one whole command, with its secrets masked.
func mask(msg []byte) []byte {
	names := secrets[proto.ParseCommand(msg).Name]
	if names == nil {
		return msg // no other command is known to have secrets
	}
	return proto.Mask(msg, names)
}
