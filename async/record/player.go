package record

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// PlayOptions configures a [Player]. A nil *PlayOptions, like the zero value, is strict:
// the client has to do what the recorded client did, in the same order.
type PlayOptions struct {
	// Client is the name of the client whose sessions are played. It may be "" if the
	// recording has only one client.
	Client string

	// NoDelays leaves out the delays. Otherwise each message and each end comes as long
	// after what was before it as it did in the recording. In a bubble of
	// testing/synctest that takes no time. A client's own time is its own: the Player
	// waits for a command until it comes.
	NoDelays bool

	// Unordered lets commands come in another order than in the recording, as those of
	// concurrent callers do. A command that comes early is recognized by its contents,
	// and gets its reply at once, after the events that came directly before that reply.
	// Other events keep their place.
	Unordered bool

	// Ignore names members that are not compared, at any depth: those that differ from
	// run to run, such as "filename".
	Ignore []string

	// OnCommand, unless nil, is called with each message that the client sends, and the
	// number of descriptors that came with it. One goroutine for each call of Serve
	// calls it. Copy the bytes that you keep.
	OnCommand func(message json.RawMessage, files int)
}

// A MismatchError says that a client did something else than in the recording.
type MismatchError struct {
	Line     int             // of the recording; 0 if the Recording was not read from a file
	Recorded json.RawMessage // what the client was to send, or nil if it was to send nothing
	Sent     json.RawMessage // what it sent, or nil if it hung up; masked where Recorded is
	Reason   string          // for people: the first difference, for example
}

// Error has all of it, on several lines.
func (e *MismatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the client differs from the recording%s: %s", at(e.Line), e.Reason)
	if e.Recorded != nil {
		fmt.Fprintf(&b, "\n  recorded: %s", shorten(e.Recorded))
	}
	if e.Sent != nil {
		fmt.Fprintf(&b, "\n  sent:     %s", shorten(e.Sent))
	}
	return b.String()
}

// at names a line for an error.
func at(line int) string {
	if line == 0 {
		return ""
	}
	return " at " + place(line)
}

// A Player plays the server's side of a recording to a client. It sends what the client
// received, waits for what the client sent, and ends each session as it ended.
//
// A reply gets the id that the client's command has. What the recording left unanswered
// stays unanswered. The bytes between messages are not those of the recording: each
// message is on one line, and ends in CRLF. A message that was not a message, or was cut
// off, begins as the recorded one did, and makes the client see the same fault.
type Player struct {
	opts     PlayOptions
	cmp      comparison
	sessions [][]Entry // each begins with Connected

	mu   sync.Mutex      // guards the fields below
	next int             // how many sessions were begun
	ids  map[string]live // the commands that came, by their ids in the recording
}

// NewPlayer returns a Player. opts may be nil. It does not change rec.
//
// The error says why the recording cannot be played: it has several clients, or none
// with the name; a received message, or entries, were left out; a reply answers no
// command. A recording without its end can be played: after the last entry the Player
// waits for the client to hang up.
func NewPlayer(rec *Recording, opts *PlayOptions) (*Player, error) {
	p := &Player{ids: make(map[string]live)}
	if opts != nil {
		p.opts = *opts
	}
	p.cmp = comparison{masked: rec.Header.Masked, ignore: p.opts.Ignore}
	client, err := p.client(rec)
	if err != nil {
		return nil, err
	}
	var order order
	known := commands{ids: make(map[string]bool)}
	for i, e := range rec.Entries {
		switch {
		case e.Kind == Missing:
			return nil, fmt.Errorf("the recording cannot be played past %s: %d entries are missing: %s", place(e.Line), e.Gap.Entries, e.Gap.Reason)
		case e.Client != client:
			continue
		}
		if err := check(&e); err != nil {
			return nil, fmt.Errorf("recording%s: entry %d: %w", at(e.Line), i, err)
		}
		if err := order.add(&e); err != nil {
			return nil, fmt.Errorf("recording%s: entry %d: %w", at(e.Line), i, err)
		}
		if err := known.add(&e); err != nil {
			return nil, err
		}
		p.add(e)
	}
	return p, nil
}

// client returns the name of the client that is played.
func (p *Player) client(rec *Recording) (string, error) {
	var names []string
	for _, e := range rec.Entries {
		if e.Kind != Missing && !slices.Contains(names, e.Client) {
			names = append(names, e.Client)
		}
	}
	switch {
	case len(names) == 0:
		return "", fmt.Errorf("the recording has no connection")
	case slices.Contains(names, p.opts.Client):
		return p.opts.Client, nil
	case p.opts.Client == "" && len(names) == 1:
		return names[0], nil
	case p.opts.Client == "":
		return "", fmt.Errorf("the recording has several clients, %q: PlayOptions.Client chooses one", names)
	}
	return "", fmt.Errorf("the recording has no client %q, only %q", p.opts.Client, names)
}

// commands are those of a client, to find replies that answer none.
type commands struct {
	ids     map[string]bool // of all sessions so far
	session int             // how many commands the latest session has so far
}

// add adds e. It returns why e cannot be played, or nil.
func (c *commands) add(e *Entry) error {
	id := string(idOf(e.Message))
	switch e.Kind {
	case Connected:
		c.session = 0
	case Sent:
		c.ids[id] = true
		c.session++
	case Received:
		if e.Omitted > 0 {
			return fmt.Errorf("the recording cannot be played past %s: a message of %d bytes was left out (record.Options.MaxMessage)", place(e.Line), e.Omitted)
		}
		// QEMU may send the reply to a command of an earlier client, but only before its
		// replies to this one. The first command negotiates.
		if id != "" && c.session > 1 && !c.ids[id] {
			return fmt.Errorf("recording%s: a reply with the id %s, which no command before it has: %s", at(e.Line), id, shorten(e.Message))
		}
	}
	return nil
}

// place is at for another sentence.
func place(line int) string {
	if line == 0 {
		return "a place"
	}
	return fmt.Sprintf("line %d", line)
}

// add adds an entry to its session. A Sent is dropped if an Unsent follows it.
func (p *Player) add(e Entry) {
	i := slices.IndexFunc(p.sessions, func(s []Entry) bool { return s[0].Session == e.Session })
	switch {
	case e.Kind == Connected:
		p.sessions = append(p.sessions, []Entry{e})
	case e.Kind == Unsent:
		s := p.sessions[i]
		for j := len(s) - 1; j >= 0; j-- {
			if s[j].Kind == Sent {
				p.sessions[i] = slices.Delete(s, j, j+1)
				return
			}
		}
	default:
		p.sessions[i] = append(p.sessions[i], e)
	}
}

// Sessions returns how many sessions the recording has.
func (p *Player) Sessions() int { return len(p.sessions) }

// Serve plays the next session to conn, closes conn, and returns when it is over. It sets
// the deadlines of conn. The Player may be used for one session at a time.
//
// The error is a [*MismatchError] if the client did something else, or that of the
// connection. If ctx ends first, the error matches its cause, and says what the Player was
// waiting for.
func (p *Player) Serve(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	p.mu.Lock()
	if p.next >= len(p.sessions) {
		p.mu.Unlock()
		return fmt.Errorf("recording: all %d sessions have been played", len(p.sessions))
	}
	entries := p.sessions[p.next]
	p.next++
	p.mu.Unlock()
	s := newPlaying(p, conn, entries)
	defer s.rcv.Discard()
	conn.SetDeadline(time.Time{}) // only ctx limits the session; an error here comes again
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(past) })
	defer stop()
	s.ctx = ctx
	err := s.play()
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("recording%s: waiting for %s: %w", at(s.line), s.waits, context.Cause(ctx))
	}
	return err
}

// Serve plays a recording to the clients that connect to ln: one session to each
// connection, one after another, as QEMU serves its clients. opts may be nil. Serve
// returns when all sessions were played, and closes ln. It is what a program needs to
// show or debug a recorded failure without QEMU; tests use qmptest.Replay.
//
// The error is that of [NewPlayer], [Player.Serve] or ln. If ctx ends first, it matches the
// cause of ctx.
func Serve(ctx context.Context, ln net.Listener, rec *Recording, opts *PlayOptions) error {
	defer ln.Close()
	p, err := NewPlayer(rec, opts)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	for i := range p.Sessions() {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return fmt.Errorf("recording: waiting for connection %d of %d: %w", i+1, p.Sessions(), err)
		}
		if err := p.Serve(ctx, conn); err != nil {
			return err
		}
	}
	return nil
}
