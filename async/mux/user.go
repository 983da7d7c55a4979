package mux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/qemujson"
	"github.com/goqmp/qmp/internal/socket"
)

const (
	// maxAhead and maxAheadBytes are how much of a user's commands is read while others
	// are executed, and maxAheadFiles is how many descriptors its unanswered commands may
	// have. When one is reached, the user is not read any more, as QEMU does not read a
	// client that has eight commands in its queue. One message may have 253 descriptors.
	maxAhead      = 64
	maxAheadBytes = 1 << 20
	maxAheadFiles = 16

	// maxReplies is how many bytes of replies a user may leave unread before its next
	// command is executed.
	maxReplies = 1 << 20

	// flushLimit is how long a user may take to read what is left when it is disconnected.
	flushLimit = time.Second

	readSize = 16 << 10
)

// A user is one connection. Four goroutines work for it: read reads and parses; one work
// executes its in-band commands, one after another, and another its out-of-band commands;
// write writes.
type user struct {
	mux    *Mux
	door   *door
	conn   net.Conn
	peer   Peer
	number uint64 // counts the users of the Mux, from 1
	log    *slog.Logger
	ctx    context.Context // of its commands; gone ends it
	cancel context.CancelCauseFunc

	parser  qemujson.Parser // read only
	held    descriptors     // read only
	rate    bucket          // read only
	version async.Version   // of the server that greeted it

	wg sync.WaitGroup // the goroutines of serve, and the one that closes conn

	mu         sync.Mutex // guards the fields below
	cond       *sync.Cond // on mu; broadcast after every change
	inBand     lane       // in-band commands, and errors about what is not a command
	outOfBand  lane
	files      int // how many descriptors unanswered requests have
	out        outbox
	negotiated bool
	oob        bool
	offersOOB  bool  // not written after newUser
	finishing  error // nothing more is read, and nothing more is executed; nil while it is served
	gone       error // why the connection is closed; nil before
}

// A lane is a queue of requests, which are executed one after another.
type lane struct {
	queue []*request
	bytes int    // of queue: see request.size
	begun uint64 // how many requests have been in the queue
	done  uint64 // how many of those were answered
	busy  bool   // a request is being executed
	over  bool   // its goroutine has ended
}

func newUser(m *Mux, d *door, conn net.Conn, number uint64, g *async.Greeting) *user {
	u := &user{mux: m, door: d, conn: conn, number: number, peer: peerOf(conn), version: g.Version}
	u.log = m.log.With("user", number, "peer", u.peer)
	if d.Name != "" {
		u.log = u.log.With("door", d.Name)
	}
	u.cond = sync.NewCond(&u.mu)
	u.ctx, u.cancel = context.WithCancelCause(context.Background())
	u.parser = qemujson.Parser{Positions: positions(g.Version), MaxBytes: d.MaxMessage}
	u.rate = newBucket(d.Rate, d.Burst)
	u.offersOOB = offersOOB(g, m.opts.NoOOB)
	u.out.limit, u.out.drop = d.MaxUnread, d.DropEvents
	u.out.add(greeting(g, m.opts.NoOOB))
	return u
}

// serve serves the user until its connection has ended, and returns why; nil if the user
// hung up.
func (u *user) serve(ctx context.Context) error {
	if !u.door.enter() {
		u.log.Warn("qmp mux: user refused", "limit", u.door.MaxUsers)
		return errors.Join(fmt.Errorf("mux: there are %d users already (mux.Door.MaxUsers)", u.door.MaxUsers), u.conn.Close())
	}
	defer u.door.leave()
	u.log.Info("qmp mux: user connected")
	stop := context.AfterFunc(ctx, func() { u.finish(contexts.Err(ctx)) })
	defer stop()
	if why := u.mux.cause(); why != nil {
		u.finish(why) // shut may have come before this user was in the list
	}

	u.wg.Go(u.write)
	u.wg.Go(func() { u.work(&u.inBand) })
	u.wg.Go(func() { u.work(&u.outOfBand) })
	u.read()
	u.wg.Wait()
	u.held.drop()
	u.mu.Lock()
	why := u.gone
	u.mu.Unlock()
	if errors.Is(why, errHungUp) {
		why = nil
	}
	if slow, ok := errors.AsType[*SlowUserError](why); ok {
		u.log.Warn("qmp mux: user disconnected", "error", slow)
	} else {
		u.log.Info("qmp mux: user gone", "error", why)
	}
	return why
}

// errHungUp says that the user has closed its connection.
var errHungUp = errors.New("the user has disconnected")

// read reads what the user sends, until its connection ends.
func (u *user) read() {
	buf := make([]byte, readSize)
	for u.hasRoom() {
		n, fds, err := socket.Read(u.conn, buf)
		u.feed(buf[:n], socket.Files(fds))
		if err != nil {
			if !u.isFinishing() { // otherwise write ends the connection, when everything is written
				u.end(errHungUp)
			}
			return
		}
	}
}

// feed takes the bytes of one read, and the files that came with it. The system may have
// joined bytes that were sent before the files with those that were sent with them, but not
// with later ones. So the files are for the last message: if that is complete, for the last
// command in b that takes files.
func (u *user) feed(b []byte, files []*os.File) {
	var reqs []*request
	end := 0
	u.parser.Feed(b, func(r qemujson.Result) {
		reqs = append(reqs, newRequest(r))
		end = r.End
	})
	last := -1
	if len(bytes.TrimSpace(b[end:])) == 0 {
		for i, req := range reqs {
			if req.takesFiles() {
				last = i
			}
		}
	}
	for i, req := range reqs {
		if i == last && len(files) > 0 {
			u.held.arrived(files)
			files = nil
		}
		u.received(req)
	}
	if len(files) > 0 {
		u.held.arrived(files)
	}
}

// hasRoom waits until less than the limits of requests are waiting. It reports false when
// the user is not to be read any more.
func (u *user) hasRoom() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.gone == nil && u.finishing == nil && u.isFull() {
		u.cond.Wait()
	}
	return u.gone == nil && u.finishing == nil
}

// isFull reports whether a limit of what waits is reached. mu is held.
func (u *user) isFull() bool {
	return len(u.inBand.queue)+len(u.outOfBand.queue) >= maxAhead ||
		u.inBand.bytes+u.outOfBand.bytes >= maxAheadBytes ||
		u.files >= maxAheadFiles
}

func (u *user) isFinishing() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.finishing != nil
}

// received queues one message of the user.
func (u *user) received(req *request) {
	if req.takesFiles() {
		req.files = u.held.take()
		req.sentFiles = len(req.files)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone != nil || u.finishing != nil {
		req.dropFiles()
		return
	}
	if req.fault == nil && req.command.Name != "qmp_capabilities" {
		req.fault = u.exceeds()
	}
	if req.fault != nil || len(req.files) > 0 && u.door.refuses(req.command.Name) != nil {
		req.dropFiles() // it will be refused when it is its turn, and needs none until then
	}
	u.files += len(req.files)
	l := &u.inBand
	if u.oob && req.outOfBand() {
		l = &u.outOfBand
	} else {
		req.after = u.outOfBand.begun
	}
	l.begun++
	l.queue = append(l.queue, req)
	l.bytes += req.size()
	u.cond.Broadcast()
}

// exceeds returns the error reply to one more command that a limit of the door forbids, or
// nil. mu is held.
func (u *user) exceeds() *fault {
	if most := u.door.MaxCommands; most > 0 {
		if n := u.inBand.unanswered() + u.outOfBand.unanswered(); n >= most {
			return &fault{classGeneric, fmt.Sprintf("too many commands: %d are unanswered, and this door of the multiplexer allows no more at a time", n)}
		}
	}
	if !u.rate.take(time.Now()) {
		return &fault{classGeneric, fmt.Sprintf("too many commands: this door of the multiplexer allows %g in a second", u.door.Rate)}
	}
	return nil
}

// unanswered returns how many of the lane's requests have not been answered.
func (l *lane) unanswered() int {
	n := 0
	for _, r := range l.queue {
		if r.fault == nil {
			n++
		}
	}
	if l.busy {
		n++
	}
	return n
}

// work executes the requests of one lane, until the user is not served any more.
func (u *user) work(l *lane) {
	for req := u.next(l); req != nil; req = u.next(l) {
		reply := u.execute(req)
		files := len(req.files)
		req.dropFiles()
		u.mux.deliver()
		u.mu.Lock()
		u.files -= files
		l.busy = false
		l.done++
		if u.gone == nil {
			u.out.add(reply)
		}
		if req.negotiates {
			// Not before the reply is queued: an event must not come before it.
			u.negotiated, u.oob = true, req.oob
		}
		u.cond.Broadcast()
		u.mu.Unlock()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, req := range l.queue {
		req.dropFiles()
	}
	l.queue, l.over = nil, true
	u.cond.Broadcast()
}

// next returns the next request of a lane, or nil when there will be none. It waits while
// the user does not read its replies.
func (u *user) next(l *lane) *request {
	u.mu.Lock()
	defer u.mu.Unlock()
	for {
		switch {
		case u.gone != nil:
			return nil
		case len(l.queue) > 0 && (u.out.replies < maxReplies && l.queue[0].after <= u.outOfBand.done || u.finishing != nil):
			req := l.queue[0]
			l.queue[0] = nil
			l.queue = l.queue[1:]
			l.bytes -= req.size()
			l.busy = true
			u.cond.Broadcast()
			return req
		case u.finishing != nil:
			return nil
		}
		u.cond.Wait()
	}
}

// event queues an event, or a notice among the events, for the user, if it has negotiated.
func (u *user) event(event message) {
	u.mu.Lock()
	if !u.negotiated || u.gone != nil {
		u.mu.Unlock()
		return
	}
	slow := u.out.addEvent(event)
	u.cond.Broadcast()
	u.mu.Unlock()
	if slow != nil {
		u.end(slow)
	}
}

// write writes what is queued for the user, until its connection ends.
func (u *user) write() {
	var buf []byte
	for {
		u.mu.Lock()
		for u.out.empty() && u.gone == nil && !(u.finishing != nil && u.inBand.over && u.outOfBand.over) {
			u.cond.Wait()
		}
		if u.gone != nil {
			u.mu.Unlock()
			return
		}
		buf = u.out.take(buf[:0])
		why := u.finishing
		u.mu.Unlock()
		if len(buf) == 0 {
			u.end(why)
			return
		}
		if _, err := u.conn.Write(buf); err != nil {
			u.mu.Lock()
			if u.finishing != nil {
				err = u.finishing
			} else if !errors.Is(err, os.ErrDeadlineExceeded) {
				err = errHungUp
			}
			u.mu.Unlock()
			u.end(err)
			return
		}
		u.mu.Lock()
		u.out.written()
		u.cond.Broadcast()
		u.mu.Unlock()
		if cap(buf) > 4*readSize {
			buf = nil
		}
	}
}

// finish disconnects the user because of why: nothing more is read. What waits is answered
// with an error, and everything is written first, within flushLimit.
func (u *user) finish(why error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.finishing != nil || u.gone != nil {
		return
	}
	u.finishing = why
	u.cancel(why)
	u.conn.SetDeadline(time.Now().Add(flushLimit))
	u.conn.SetReadDeadline(time.Unix(1, 0))
	u.cond.Broadcast()
}

// end closes the connection. Only the first why counts. It does not wait: closing a
// connection may take time, as for TLS, and whoever ends a user may hold a lock.
func (u *user) end(why error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone != nil {
		return
	}
	if u.finishing != nil {
		why = u.finishing
	}
	u.gone = why
	u.cancel(why)
	u.cond.Broadcast()
	u.wg.Go(func() { u.conn.Close() }) // write has not ended yet: it waits for mu
}
