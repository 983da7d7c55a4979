package mux

import (
	"fmt"
	"log/slog"
	"path"
	"sync"
)

// A Door has the rules for the users who come in by one [Mux.Serve] or [Mux.ServeConn]. A
// nil *Door, like the zero value, lets every user execute every command, and limits only
// what is unread.
type Door struct {
	// Name names the door in the log and in audit lines.
	Name string

	// ReadOnly allows only commands that query: those that [ReadOnly] reports, and those
	// that Allow adds. human-monitor-command is not one of them.
	ReadOnly bool

	// Allow are patterns of the commands that are allowed, such as "query-*" or "cont". If
	// it is empty, all are allowed, or with ReadOnly those that query. A pattern is as in
	// [path.Match]. qmp_capabilities is always allowed.
	Allow []string

	// Deny are patterns of commands that are refused, also where Allow or ReadOnly allows
	// them.
	Deny []string

	// MaxCommands is how many commands one user may have unanswered at a time. One more is
	// refused. Zero or less means no limit but the one that the package's comment describes.
	MaxCommands int

	// Rate is how many commands one user may send in a second, on average. Burst is how
	// many it may send together; zero means as many as Rate, and at least one. More are
	// refused. A Rate of zero means no limit.
	Rate  float64
	Burst int

	// MaxUsers is how many users may be connected at a time. One more is disconnected
	// without a greeting. Zero or less means no limit.
	MaxUsers int

	// MaxMessage limits a user's message, in bytes. A longer one gets QEMU's error, without
	// an id. Zero means 64 MiB, as in QEMU.
	MaxMessage int

	// MaxUnread is how many bytes of events a user may leave unread, besides what the
	// system's buffers hold. Zero means 1 MiB; a negative number means no limit.
	MaxUnread int

	// DropEvents says what happens to a user who leaves more unread. By default it is
	// disconnected. If DropEvents is true, its oldest unread events are dropped instead, and
	// in their place it gets the event [EventsLost].
	DropEvents bool

	// Audit receives a line for each command: see the package's comment. Nil writes none.
	Audit *slog.Logger
}

// defaultUnread is the default of Door.MaxUnread.
const defaultUnread = 1 << 20

// A door is a Door that is in use.
type door struct {
	Door
	mux *Mux

	mu    sync.Mutex // guards users
	users int
}

func newDoor(d *Door, m *Mux) (*door, error) {
	in := &door{mux: m}
	if d != nil {
		in.Door = *d
	}
	if in.MaxUnread == 0 {
		in.MaxUnread = defaultUnread
	}
	for _, patterns := range [][]string{in.Allow, in.Deny} {
		for _, p := range patterns {
			if _, err := path.Match(p, ""); err != nil {
				return nil, fmt.Errorf("mux: Door: the pattern %q is malformed: %w (* stands for any characters, ? for one, [a-z] for one of these, and \\ makes the next one an ordinary character)", p, err)
			}
		}
	}
	return in, nil
}

// enter reports whether one more user may come in. leave has to be called then.
func (d *door) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.MaxUsers > 0 && d.users >= d.MaxUsers {
		return false
	}
	d.users++
	return true
}

func (d *door) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users--
}

// refuses returns the error reply to a command that the door does not allow, or nil.
func (d *door) refuses(command string) *fault {
	why := ""
	switch {
	case matches(d.Deny, command):
		why = "this door of the multiplexer denies it"
	case d.ReadOnly && !ReadOnly(command) && !matches(d.Allow, command):
		why = "this door of the multiplexer is read-only"
	case !d.ReadOnly && len(d.Allow) > 0 && !matches(d.Allow, command):
		why = "this door of the multiplexer does not allow it"
	default:
		return nil
	}
	return &fault{classNotFound, "Command " + command + " has been disabled: " + why}
}

// matches reports whether a command matches one of the patterns, which are well-formed.
func matches(patterns []string, command string) bool {
	for _, p := range patterns {
		if ok, _ := path.Match(p, command); ok {
			return true
		}
	}
	return false
}
