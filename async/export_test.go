// What the tests of package async_test see of the engine, and change in it.
package async

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goqmp/qmp/internal/socket"
)

// Counts has what a connection keeps count of.
type Counts struct {
	Pending            int // entries of unanswered commands
	Window             int // free places among the in-band commands
	Descriptors        int // 1 unless a command with descriptors is unanswered
	Waiting            int // commands that wait for one of these
	Turn, TimerRunning bool
}

// AwaitTurn waits until nothing is being written over c's present connection: a
// reply may come before the engine knows that its command was written. It
// returns false if there is no connection, or if the turn to write was lost in
// a failed write.
func AwaitTurn(c *Client, patience time.Duration) bool {
	s := sessionOf(c)
	if s == nil {
		return false
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-s.turn:
		s.turn <- struct{}{}
		return true
	case <-limit.C:
		return false
	}
}

// ReadCounts returns the counts of c's present connection.
func ReadCounts(c *Client) (b Counts, ok bool) {
	s := sessionOf(c)
	if s == nil {
		return Counts{}, false
	}
	k := s.calls
	k.mu.Lock()
	defer k.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return Counts{
		Pending:      len(k.pending),
		Window:       k.window.size - len(k.window.inside),
		Descriptors:  k.descriptors.size - len(k.descriptors.inside),
		Waiting:      len(k.window.waiting) + len(k.descriptors.waiting),
		Turn:         len(s.turn) == 1,
		TimerRunning: s.readOn != nil,
	}, true
}

// A RiggedSender replaces what writes to a connection. Try writes as much as it
// can without waiting; Send writes the rest.
type RiggedSender struct {
	Try, Send func(b []byte, files []*os.File) (int, error)
}

// rigged is a RiggedSender as a socket.Sender.
type rigged struct{ r RiggedSender }

func (g rigged) CheckFiles() error                            { return nil }
func (g rigged) Try(b []byte, files []*os.File) (int, error)  { return g.r.Try(b, files) }
func (g rigged) Send(b []byte, files []*os.File) (int, error) { return g.r.Send(b, files) }
func (g rigged) Interruptible() bool                          { return true }

// RigSender makes c's present connection write with r.
func RigSender(c *Client, r RiggedSender) {
	s := sessionOf(c)
	<-s.turn
	s.out = rigged{r}
	s.turn <- struct{}{}
}

// CountGoroutines returns a function that says how often a goroutine had to finish a
// write over c's present connection since the call of CountGoroutines.
func CountGoroutines(c *Client) func() int {
	s := sessionOf(c)
	<-s.turn
	count := &countingSender{Sender: s.out}
	s.out = count
	s.turn <- struct{}{}
	return func() int { return int(count.sends.Load()) }
}

type countingSender struct {
	socket.Sender
	sends atomic.Int32
}

func (g *countingSender) Send(b []byte, files []*os.File) (int, error) {
	g.sends.Add(1)
	return g.Sender.Send(b, files)
}

// Pulse returns a function that does what the engine does at each read, for Health.
func Pulse() func() {
	p := &pulse{began: time.Now()}
	return func() { p.note(&p.received) }
}

// FileError returns an error as a sender returns it when err is the fault of
// the files alone. Unless before is nil, it is called when the engine examines
// the error.
func FileError(err error, before func()) error {
	return &lateFileError{socket.FileError{Err: err}, before}
}

type lateFileError struct {
	socket.FileError
	before func()
}

func (e *lateFileError) As(target any) bool {
	bad, ok := target.(**socket.FileError)
	if ok {
		if e.before != nil {
			e.before()
		}
		*bad = &e.FileError
	}
	return ok
}

func sessionOf(c *Client) *session {
	at := c.now()
	if at == nil {
		return nil
	}
	return at.session
}

// recorded has the moves of each client that RecordMoves was called with, as
// "from>to". A move that is not in the table ends the test run.
var recorded sync.Map // of *Client to *[]string, whose Client.mu guards it

func init() {
	checkMove = func(c *Client, from, to activity) {
		if !slices.Contains(activities[from].next, to) {
			panic(fmt.Sprintf("a client moves from %v to %v, which is not in the table", from, to))
		}
		if moves, ok := recorded.Load(c); ok {
			moves := moves.(*[]string)
			*moves = append(*moves, fmt.Sprintf("%v>%v", from, to))
		}
	}
}

// RecordMoves records the moves of c from now on. read returns them.
func RecordMoves(c *Client) (read func() []string) {
	moves := new([]string)
	recorded.Store(c, moves)
	return func() []string {
		c.mu.Lock()
		defer c.mu.Unlock()
		recorded.Delete(c)
		return slices.Clone(*moves)
	}
}

// LegalMoves returns the table: the moves between activities, and the
// transitions of the states that go with them.
func LegalMoves() (moves []string, transitions []Transition) {
	for from, a := range activities {
		for _, to := range a.next {
			moves = append(moves, fmt.Sprintf("%v>%v", activity(from), to))
			t := Transition{From: a.state, To: activities[to].state}
			if t.From != t.To && !slices.Contains(transitions, t) {
				transitions = append(transitions, t)
			}
		}
	}
	return moves, transitions
}

// RigSocket makes each Close of the socket at which c listens call beforeClose
// first.
func RigSocket(c *Client, beforeClose func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rigged := *c.stage
	rigged.socket = riggedSocket{rigged.socket, beforeClose}
	c.stage = &rigged
}

// RigAccept makes each Accept of the socket at which c listens fail with err, but for
// the first n.
func RigAccept(c *Client, n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rigged := *c.stage
	rigged.socket = &failingSocket{rigged.socket, n, err}
	c.stage = &rigged
}

type failingSocket struct {
	listeningSocket
	n   int // how many Accepts work
	err error
}

func (s *failingSocket) Accept(ctx context.Context) (net.Conn, error) {
	if s.n--; s.n < 0 {
		return nil, s.err
	}
	return s.listeningSocket.Accept(ctx)
}

type riggedSocket struct {
	listeningSocket
	before func()
}

func (s riggedSocket) Close() error {
	s.before()
	return s.listeningSocket.Close()
}
