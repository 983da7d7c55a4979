package async

import (
	"os"
	"time"

	"github.com/goqmp/qmp/internal/socket"
)

// Books is what a connection keeps count of.
type Books struct {
	Pending            int // entries of unanswered commands
	Window             int // free places among the in-band commands
	Descriptors        int // 1 unless a command with descriptors is unanswered
	Waiting            int // commands that wait for one of these
	Turn, TimerRunning bool
}

// AwaitTurn waits until nothing is being written over c's present connection: a
// reply may come before the engine knows that its command has gone out. It
// reports false if there is no connection, or if the right to write is lost.
func AwaitTurn(c *Client, patience time.Duration) bool {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
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

// ReadBooks returns the books of c's present connection.
func ReadBooks(c *Client) (b Books, ok bool) {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s == nil {
		return Books{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return Books{
		Pending:      len(s.pending),
		Window:       s.window.free,
		Descriptors:  s.descriptors.free,
		Waiting:      len(s.window.waiting) + len(s.descriptors.waiting),
		Turn:         len(s.turn) == 1,
		TimerRunning: s.readOn != nil,
	}, true
}

// A RiggedSender takes the place of what writes to a connection: Try as far as
// that goes without waiting, Send for the rest.
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
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	<-s.turn
	s.out = rigged{r}
	s.turn <- struct{}{}
}

// FileError is what a sender returns where err concerns the files alone. before,
// unless nil, is called when the engine looks into it.
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
