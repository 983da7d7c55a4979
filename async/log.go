package async

import (
	"context"
	"log/slog"

	"github.com/goqmp/qmp/internal/proto"
)

// logger returns the client's logger, which names it.
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

func (s *session) logSent(msg []byte) {
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		s.log.Debug("qmp: sent", "message", string(mask(msg)))
	}
}

func (s *session) logReceived(msg []byte) {
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		s.log.Debug("qmp: received", "message", shorten(msg))
	}
}

// secrets names, by command, the members of the arguments that hold secrets, at
// any depth.
var secrets = map[string][]string{
	"object-add":              {"data", "password"},
	"qom-set":                 {"value"},
	"set_password":            {"password"},
	"change-vnc-password":     {"password"},
	"human-monitor-command":   {"command-line"},
	"guest-set-user-password": {"password"},
	"guest-exec":              {"env", "input-data"},
	"guest-file-write":        {"buf-b64"},
}

// mask returns msg, one whole command, with its secrets taken out.
func mask(msg []byte) []byte {
	cmd := proto.ParseCommand(msg)
	names := secrets[cmd.Name]
	if names == nil || cmd.Arguments == nil {
		return msg
	}
	return proto.Mask(msg, names)
}
