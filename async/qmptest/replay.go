package qmptest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/goqmp/qmp/async/record"
)

// ReplayOptions configures Replay. A nil *ReplayOptions, like the zero value, is strict:
// the client has to do what the recorded client did, in the same order.
type ReplayOptions struct {
	// Network is Unix, TCP, TCP6, Memory or SocketPair. The default is Memory in a
	// bubble of testing/synctest, and Unix elsewhere. A command with file descriptors
	// needs Unix or SocketPair.
	Network string

	// DialTo makes the server connect to a client that listens at this address.
	// Network is ignored then.
	DialTo string

	// Limit is how long all sessions may take. Zero means DefaultLimit and the time
	// that the recording took; in a bubble an hour and that time.
	Limit time.Duration

	// MayStop says that the client need not come to the end of the recording. It may
	// hang up earlier in each session.
	MayStop bool

	// Client, NoDelays, Unordered and Ignore are those of [record.PlayOptions].
	Client    string
	NoDelays  bool
	Unordered bool
	Ignore    []string
}

// Replay plays a recording to a client: what QEMU did when it was recorded happens
// again, without QEMU. The client of the test connects with Player.Dial, or to
// Player.Addr, once for each session of the recording. After the last session it is
// refused.
//
// If the client does something else than the recorded one, the test fails, and the
// failure names the line of the recording, and shows both messages. It also fails if the
// recording cannot be played: see [record.NewPlayer]. [record.Player] says how the
// server behaves.
func Replay(t testing.TB, opts *ReplayOptions, rec *record.Recording) *Player {
	t.Helper()
	if opts == nil {
		opts = &ReplayOptions{}
	}
	var p *Player
	player, err := record.NewPlayer(rec, &record.PlayOptions{
		Client: opts.Client, NoDelays: opts.NoDelays, Unordered: opts.Unordered, Ignore: opts.Ignore,
		OnCommand: func(msg json.RawMessage, files int) { p.rec.add(newMessage(p.sessionsPlayed(), msg, files)) },
	})
	if err != nil {
		t.Fatalf("qmptest: %v", err)
	}
	script := ScriptOptions{Network: opts.Network, DialTo: opts.DialTo, Limit: opts.Limit, MayStop: opts.MayStop}
	if script.Network == "" && inBubble() {
		script.Network = Memory
	}
	if script.Limit == 0 {
		script.Limit = defaultLimit()
		if n := len(rec.Entries); n > 0 && !opts.NoDelays {
			script.Limit += rec.Entries[n-1].Time
		}
	}
	var steps []Step
	for i := range player.Sessions() {
		steps = append(steps, Accept(), session(player, i, opts.MayStop))
	}
	p = prepare(t, &script, steps)
	p.begin()
	return p
}

// ReplayFile is Replay for a file. A recording that is cut off fails the test, and so
// does every other error of [record.LoadFile]: to play what is there of it, load it, and
// call Replay.
func ReplayFile(t testing.TB, opts *ReplayOptions, path string) *Player {
	t.Helper()
	rec, err := record.LoadFile(path)
	if errors.Is(err, io.ErrUnexpectedEOF) && rec != nil {
		t.Fatalf("qmptest: %v\nto play what is there of it, call record.LoadFile and qmptest.Replay", err)
	}
	if err != nil {
		t.Fatalf("qmptest: %v", err)
	}
	return Replay(t, opts, rec)
}

// session returns the step that plays session i of the recording. mayStop says that the
// client may hang up before its end.
func session(player *record.Player, i int, mayStop bool) Step {
	name := fmt.Sprintf("session %d of %d of the recording", i+1, player.Sessions())
	return Step{name: name, waits: "the client", play: func(s *Peer) error {
		conn, err := s.Conn()
		if err != nil {
			return err
		}
		s.closed = true
		err = player.Serve(s.Context(), conn)
		if mismatch, ok := errors.AsType[*record.MismatchError](err); ok && mismatch.Sent == nil && mayStop {
			return nil // the client hung up
		}
		return err
	}}
}

// sessionsPlayed returns the number of the session that is being played, from 0.
func (p *Player) sessionsPlayed() int {
	at, _ := p.Step()
	return at / 2
}
