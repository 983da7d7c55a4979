//go:build linux

package chaos

import (
	"encoding/json"
	"fmt"
	"sync"
)

// A ledger keeps the books of one client: what its callers were told, and what
// its hooks have seen on the wire. It goes on over connections, since QEMU gives
// the answer to a command whose client has gone to the next client.
type ledger struct {
	mu     sync.Mutex // guards the fields below
	calls  map[string]*entry
	faults []string

	handshakes int // messages without a token that were sent, and not answered yet

	// Of this connection.
	current []string // tokens of the calls
	late    int      // replies that had nobody waiting
	events  []string // on the wire
	took    taken    // from the workers' listener
}

// An entry is one command.
type entry struct {
	fate     fate // the zero fate until the call has returned
	settled  bool // its connection is history
	sent     int  // how often it was about to be written
	answered int  // how often a reply came, in its own connection
}

// taken is what workers took from a listener.
type taken struct{ events, notices int }

func newLedger() *ledger { return &ledger{calls: make(map[string]*entry)} }

// open enters a command and returns its token.
func (l *ledger) open() string {
	token := newToken()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls[token] = &entry{}
	l.current = append(l.current, token)
	return token
}

// ended notes what the caller was told.
func (l *ledger) ended(token string, f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls[token].fate = f
}

// gave notes what a worker was given by its listener.
func (l *ledger) gave(t taken) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took.events += t.events
	l.took.notices += t.notices
}

// sent is a hook.
func (l *ledger) sent(msg json.RawMessage) json.RawMessage {
	l.mu.Lock()
	defer l.mu.Unlock()
	token := findToken(msg)
	switch e := l.calls[token]; {
	case token == "":
		l.handshakes++
	case e == nil:
		l.faultf("%s was sent, but by nobody", token)
	default:
		e.sent++
	}
	return nil
}

// received is a hook.
func (l *ledger) received(msg json.RawMessage) json.RawMessage {
	l.mu.Lock()
	defer l.mu.Unlock()
	if token := findToken(msg); token != "" {
		l.replied(token)
		return nil
	}
	var m struct {
		Event string          `json:"event"`
		QMP   json.RawMessage `json:"QMP"`
	}
	err := json.Unmarshal(msg, &m)
	switch {
	case err != nil:
		l.faultf("received what is not JSON: %v: %.200s", err, msg)
	case m.Event != "":
		l.events = append(l.events, m.Event)
	case m.QMP == nil && l.handshakes == 0:
		l.faultf("received a reply that is nobody's: %.200s", msg)
	case m.QMP == nil:
		l.handshakes--
	}
	return nil
}

// replied notes a reply. mu is held.
func (l *ledger) replied(token string) {
	e := l.calls[token]
	switch {
	case e == nil:
		l.faultf("received a reply to %s, which nobody has sent", token)
	case !e.settled:
		e.answered++
	case e.fate.where != sent:
		l.faultf("%s was %v, and is answered in a later connection", token, e.fate)
	default:
		l.late++
	}
}

// faultf notes what must not be. mu is held.
func (l *ledger) faultf(format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

// settle closes the books of a connection, which has ended for this cause and
// no longer calls the hooks. It returns how many replies came for callers that
// had gone, and what contradicts the callers' fates.
func (l *ledger) settle(cause string) (late int, faults []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, token := range l.current {
		e := l.calls[token]
		if fault := e.contradiction(cause); fault != "" {
			l.faultf("%s: %s: %v, written %d times, answered %d times", token, fault, e.fate, e.sent, e.answered)
		}
		if e.fate.where == sent {
			l.late += e.answered
		}
		e.settled = true
	}
	late, faults = l.late, l.faults
	l.late, l.faults, l.current = 0, nil, nil
	return late, faults
}

// contradiction says what is wrong with a command whose connection has ended for
// this cause, or "".
func (e *entry) contradiction(cause string) string {
	f := e.fate
	switch {
	case f == fate{}:
		return "it has no fate"
	case e.sent > 1:
		return "sent twice"
	case e.answered > e.sent:
		return "answered more often than sent"
	case f.what == answered && e.answered == 0:
		return "its answer was never received"
	case f.what == unconnected && e.sent > 0:
		return "sent without a connection"
	case f.where == sent && e.sent == 0:
		return "never written"
	case f.where != sent && f.what != answered && e.answered > 0:
		return "safe to retry, and executed"
	case f.endedByPeer() && e.answered > 0:
		return "its answer was received and lost"
	case f.endedByPeer() && f.what != cause:
		return "the disconnect said " + cause
	}
	return ""
}

// wire returns the events of this connection, and what the workers took of them,
// and begins a new count.
func (l *ledger) wire() (events []string, took taken) {
	l.mu.Lock()
	defer l.mu.Unlock()
	events, took = l.events, l.took
	l.events, l.took = nil, taken{}
	return events, took
}
