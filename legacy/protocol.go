package legacy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/goqmp/qmp/async"
	qmpsync "github.com/goqmp/qmp/sync"
)

// Options configures a [QEMUMonitorProtocol]. A nil *Options, like the zero
// value, connects to a QEMU monitor.
type Options struct {
	// Server listens at the address, from New on, for a peer that dials; Accept
	// takes it.
	Server bool

	// Nickname names the object in the log, and in errors about its state, its
	// connection and its calls.
	Nickname string

	// Conn is an open connection, which Connect uses, once, in place of the
	// address. It is the object's from New on: Close closes it, used or not. It
	// does not go with Server.
	Conn net.Conn

	// Sync configures the floors below. Its Async.Nickname, Async.Dialer and
	// EventLimit give way to what is said here: events are kept without a
	// limit.
	Sync qmpsync.Options
}

// QEMUMonitorProtocol is the old module's class: one QMP server, driven by
// calls that wait. Make one with [New] or [Wrap].
type QEMUMonitorProtocol struct {
	sync *qmpsync.Client
	addr string
	conn *openConn // of Options; nil without

	sendLimit time.Duration // of SendFDSCM; not positive for none

	// met says that the caller knows of the end of the present connection: a call
	// has returned it, or an event from before it. Then Close returns it, too.
	met atomic.Bool
}

// New returns an object for the server at addr: a path, or host:port (see
// [async.ParseAddress] for all that it may be, and [ParseAddress] for the old
// module's rule). It is not connected yet, and nothing looks at addr before
// Connect does; with Options.Server it listens, or the error is an
// [*async.ConnectError] or [*async.AddressError].
func New(addr string, opts *Options) (*QEMUMonitorProtocol, error) {
	if opts == nil {
		opts = &Options{}
	}
	below := opts.Sync
	below.EventLimit = -1
	if opts.Nickname != "" {
		below.Async.Nickname = opts.Nickname
	}
	var conn *openConn
	if opts.Conn != nil {
		if opts.Server {
			return nil, &async.ConnectError{
				Op: "listen", Stage: async.StageConnection, Client: opts.Nickname,
				Err: errors.New("an open connection cannot be listened on: legacy.Options has both Conn and Server"),
			}
		}
		conn = &openConn{conn: opts.Conn}
		below.Async.Dialer = conn.dial
	}
	q := Wrap(qmpsync.New(&below))
	q.addr, q.conn = addr, conn
	if below.CommandLimit != 0 {
		q.sendLimit = below.CommandLimit
	}
	if opts.Server {
		if err := q.sync.Listen(addr); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// An openConn is a connection that can be used once.
type openConn struct {
	mu   sync.Mutex // guards the field below
	conn net.Conn   // nil when it has been taken
}

func (o *openConn) take() net.Conn {
	o.mu.Lock()
	defer o.mu.Unlock()
	conn := o.conn
	o.conn = nil
	return conn
}

func (o *openConn) dial(context.Context) (net.Conn, error) {
	if conn := o.take(); conn != nil {
		return conn, nil
	}
	return nil, errors.New("legacy.Options.Conn has been used already, or closed")
}

// close closes it unless it has been taken.
func (o *openConn) close() error {
	if o == nil {
		return nil
	}
	if conn := o.take(); conn != nil {
		return conn.Close()
	}
	return nil
}

// Wrap returns an object over c, with the same connection, state, time limit and
// queue of events. Both may be used at the same time. It knows no address: to
// connect it again, call Sync().Connect.
func Wrap(c *qmpsync.Client) *QEMUMonitorProtocol {
	return &QEMUMonitorProtocol{sync: c, sendLimit: qmpsync.DefaultCommandLimit}
}

// Sync returns the client of the floor below, for its calls over the same
// connection. It shares the queue of events: an event goes to whoever reads it
// first.
func (q *QEMUMonitorProtocol) Sync() *qmpsync.Client { return q.sync }

// Connect connects to the server. With negotiate it waits for the greeting,
// negotiates capabilities and returns the whole greeting; without, it returns
// nil as soon as the connection is there, and sends nothing. All that is bounded
// by Sync.ConnectLimit, 15 seconds if nothing else is said; SetTimeout has no
// say.
//
// The object must be idle, or the error is an [*async.StateError]. Any other
// failure is an [*async.ConnectError] around the cause, or an
// [*async.AddressError], and the object is idle again.
func (q *QEMUMonitorProtocol) Connect(negotiate bool) (map[string]any, error) {
	connect := q.sync.Connect
	if !negotiate {
		connect = q.sync.ConnectUnnegotiated
	}
	if err := connect(q.addr); err != nil {
		return nil, q.meet(err)
	}
	q.met.Store(false)
	if !negotiate {
		return nil, nil
	}
	return q.Greeting(), nil
}

// Accept takes the peer that connects to an object made with Options.Server,
// and returns its greeting, like Connect(true). Then it no longer listens, and it
// has removed the file of a unix socket; Close does so where no peer came. (The
// old module leaves the file for its callers to remove: here they find nothing
// to remove.) wait
// bounds all that, [NoWait] being For(0); the old module's default was For 15
// seconds. A failure is an [*async.ConnectError], and the object is idle and no
// longer listens, except that an expired wait changes nothing. An object that
// does not listen gives an [*async.StateError]; to listen again, call
// Sync().Listen, or make a new object.
func (q *QEMUMonitorProtocol) Accept(wait Wait) (map[string]any, error) {
	if err := q.sync.Accept(wait.limit()); err != nil {
		return nil, q.meet(err)
	}
	q.met.Store(false)
	return q.Greeting(), nil
}

// Greeting returns the whole greeting of the present connection, or of the last
// one. It is nil before the first connection, and behind Connect(false).
func (q *QEMUMonitorProtocol) Greeting() map[string]any {
	g := q.sync.Greeting()
	if g == nil {
		return nil
	}
	m, _ := g.Object() // an error would be about a number of thousands of digits in it
	return m
}

// SetTimeout limits each Cmd, CmdObj and Command from now on, over reconnects
// too, in place of Sync.CommandLimit, which is 6 hours if nothing else is said.
// [Forever] is no limit; with [NoWait] or For(0) they fail at once and send
// nothing.
func (q *QEMUMonitorProtocol) SetTimeout(wait Wait) { q.sync.SetTimeout(wait.limit()) }

// Close ends the connection, or the listening, and waits until nothing of it is
// left.
//
// Where the peer has ended the connection before, by an end of file or a reset,
// Close is silent if nobody has met that end: whoever stops a machine, waits for
// its process and closes gets no error, as with the old module. The end was met if
// a command or a call that waits for events came afterwards or was under way, and
// also if an event was taken off the queue afterwards; then Close returns it, once.
// (Calls of Sync() do not count.) What broke the protocol, an
// [async.ProtocolError], is returned in any case. Close of an object that is idle
// returns nil.
//
// The object may connect again. A peer that does not take what is being written
// is waited for no longer than Sync.CloseLimit, 5 seconds if nothing else is
// said.
func (q *QEMUMonitorProtocol) Close() error {
	err := q.sync.Disconnect()
	if met := q.met.Swap(false); !met && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		err = nil
	}
	if closeErr := q.conn.close(); err == nil {
		err = closeErr
	}
	return err
}

// meet returns err, the error of a call, and remembers whether it says that the
// peer has ended the connection.
func (q *QEMUMonitorProtocol) meet(err error) error {
	if async.HungUp(err) {
		q.met.Store(true)
	}
	return err
}

// SendFDSCM sends a file descriptor at once, with a single space byte, ahead of
// the command that takes it, such as getfd. f stays the caller's. That needs a
// connection over a unix socket, or the error is an [*async.MessageError]; so it
// is for a file that is not open, and matches syscall.EBADF then. The connection
// stays usable after both. A peer that does not read is waited for no longer than
// Sync.CommandLimit, and then the error is an [*async.ExecInterruptedError] around
// an [*async.TimeoutError]. SetTimeout does not count here.
//
// Where two commands with descriptors may be under way, use Files of
// [async.Command] instead, with Sync().Do: they travel with their own command.
func (q *QEMUMonitorProtocol) SendFDSCM(f *os.File) error {
	ctx := context.Background()
	if q.sendLimit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, q.sendLimit, &async.TimeoutError{
			Op: "send a file descriptor", Limit: q.sendLimit, Option: "qmpsync.Options.CommandLimit",
		})
		defer cancel()
	}
	return q.meet(q.sync.Async().SendFiles(ctx, f))
}

// IsSCMAvailable reports whether SendFDSCM can work: the object is connected,
// over a unix socket.
func (q *QEMUMonitorProtocol) IsSCMAvailable() bool { return q.sync.Async().CanSendFiles() }

// SyscallConn gives access to the socket, to ask the system about it: the old
// get_sock_fd, whose bare number could belong to another file by the time it is
// used. Reading and writing are the engine's. Without a connection the error is
// an [*async.StateError].
func (q *QEMUMonitorProtocol) SyscallConn() (syscall.RawConn, error) {
	return q.sync.Async().SyscallConn()
}
