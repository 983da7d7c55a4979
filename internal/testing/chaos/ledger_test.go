//go:build linux

package chaos

import (
	"encoding/json"
	"fmt"
	"sync"
)

// A ledger records of one client what its calls returned, and which messages its
// hooks have seen. It covers all connections of the client, because QEMU may send the
// reply to a command over the next connection.
type ledger struct {
	mu     sync.Mutex        // guards the fields below
	calls  map[string]*entry // by token
	faults []string

	handshakes int // unanswered commands without a token

	// For this connection.
	current []string // the tokens of the calls
	late    int      // replies to calls that had ended
	events  []string // received, in order
	took    taken    // read by the workers
}

// An entry is one command.
type entry struct {
	fate     fate // the zero fate until the call has returned
	settled  bool // its connection has ended
	sent     int  // how often the hook for sending has seen it
	answered int  // how many replies came over its own connection
}

// taken is how many events and notices workers have read.
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

// ended records the result of a call.
func (l *ledger) ended(token string, f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls[token].fate = f
}

// gave records what a worker has read from its listener.
func (l *ledger) gave(t taken) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took.events += t.events
	l.took.notices += t.notices
}

// sent is the client's OnSend.
func (l *ledger) sent(msg json.RawMessage) json.RawMessage {
	l.mu.Lock()
	defer l.mu.Unlock()
	token := findToken(msg)
	switch e := l.calls[token]; {
	case token == "":
		l.handshakes++
	case e == nil:
		l.faultf("%s was sent, but no call has it", token)
	default:
		e.sent++
	}
	return nil
}

// received is the client's OnReceive.
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
		l.faultf("received a message that is not JSON: %v: %.200s", err, msg)
	case m.Event != "":
		l.events = append(l.events, m.Event)
	case m.QMP == nil && l.handshakes == 0:
		l.faultf("received a reply without a token while no handshake is under way: %.200s", msg)
	case m.QMP == nil:
		l.handshakes--
	}
	return nil
}

// replied records a reply. The caller holds mu.
func (l *ledger) replied(token string) {
	e := l.calls[token]
	switch {
	case e == nil:
		l.faultf("received a reply to %s, which was never sent", token)
	case !e.settled:
		e.answered++
	case e.fate.where != sent:
		l.faultf("%s was %v, and is answered in a later connection", token, e.fate)
	default:
		l.late++
	}
}

// faultf records a fault. The caller holds mu.
func (l *ledger) faultf(format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

// settle checks the calls of a connection that has ended for this cause, and whose
// hooks are not called any more. It returns how many replies came for calls that had
// ended, and the faults: messages that contradict the results of the calls.
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

// contradiction returns what is wrong with a command whose connection has ended for
// this cause, or "".
func (e *entry) contradiction(cause string) string {
	f := e.fate
	switch {
	case f == fate{}:
		return "its call has no result"
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
		return "the result of the disconnect was " + cause
	}
	return ""
}

// wire returns the events of this connection, and how many of them the workers have
// read. It sets both to zero.
func (l *ledger) wire() (events []string, took taken) {
	l.mu.Lock()
	defer l.mu.Unlock()
	events, took = l.events, l.took
	l.events, l.took = nil, taken{}
	return events, took
}
