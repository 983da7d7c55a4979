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
	// Server makes New listen at the address, for a peer that connects. Accept
	// takes the peer.
	Server bool

	// Nickname is the object's name in the log, and in errors about its state, its
	// connection and its calls.
	Nickname string

	// Conn is an open connection. The first Connect uses it in place of the
	// address; a second one fails. The object owns it as soon as New has
	// succeeded: Close closes it, even if Connect was never called. Conn and Server
	// cannot be used together.
	Conn net.Conn

	// Sync configures the client of package qmpsync, and with it that of package
	// async. Nickname replaces its Async.Nickname, and Conn its Async.Dialer. Its
	// EventLimit is ignored: the object keeps all events. With its Async.Reconnect an
	// old script goes on when its QEMU is started again.
	Sync qmpsync.Options
}

// QEMUMonitorProtocol is the old module's class: one QMP server, driven by
// calls that wait. Make one with [New] or [Wrap].
type QEMUMonitorProtocol struct {
	sync *qmpsync.Client
	addr string
	conn *openConn // Options.Conn, or nil

	sendLimit time.Duration // the time limit of SendFDSCM; 0 and less mean none

	// met is the number of the newest connection whose end the caller has seen: a call
	// has returned it as an error, or an event was taken from the queue after it. Then
	// Close returns it too.
	met atomic.Uint64
}

// New returns an object for the server at addr: a path, or host:port.
// [async.ParseAddress] says what else addr may be; [ParseAddress] has the old
// module's rule. The object is not connected yet, and Connect is the first to use
// addr. With Options.Server New listens at addr; if that fails, the error is an
// [*async.ConnectError] or an [*async.AddressError]. If Options has both Conn and
// Server, or Conn and Sync.Async.Reconnect, the error is an [*async.ConnectError].
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
				Err: errors.New("legacy.Options has both Conn and Server: set only one of them"),
			}
		}
		if below.Async.Reconnect != nil {
			return nil, &async.ConnectError{
				Op: "connect", Stage: async.StageConnection, Client: opts.Nickname,
				Err: errors.New("legacy.Options has both Conn and Sync.Async.Reconnect: a connection that is already open cannot be made again"),
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

// An openConn is an open connection that Connect can use once.
type openConn struct {
	mu   sync.Mutex // guards the field below
	conn net.Conn   // nil once it has been taken
}

// take returns the connection the first time, and nil after that.
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
	return nil, errors.New("legacy.Options.Conn has been used already, or closed: make a new object for a new connection")
}

// close closes the connection unless it has been taken.
func (o *openConn) close() error {
	if o == nil {
		return nil
	}
	if conn := o.take(); conn != nil {
		return conn.Close()
	}
	return nil
}

// Wrap returns an object that has the connection, state, time limit and queue of
// events of c. Both may be used at the same time. The object has no address: to
// connect again, call Sync().Connect.
func Wrap(c *qmpsync.Client) *QEMUMonitorProtocol {
	return &QEMUMonitorProtocol{sync: c, sendLimit: qmpsync.DefaultCommandLimit}
}

// Sync returns the client of package qmpsync that has the same connection. It also
// has the same queue of events: each event goes to the first call that reads it,
// through either.
func (q *QEMUMonitorProtocol) Sync() *qmpsync.Client { return q.sync }

// Connect connects to the server. If negotiate is true, it waits for the greeting,
// negotiates capabilities and returns the whole greeting. If negotiate is false, it
// returns nil as soon as the connection is established, and sends nothing. The time
// limit is Options.Sync.ConnectLimit, by default 15 seconds; SetTimeout does not
// affect it.
//
// If the object is not idle, the error is an [*async.StateError]. Any other error is
// an [*async.ConnectError] around the cause, or an [*async.AddressError], and the
// object is idle after it.
func (q *QEMUMonitorProtocol) Connect(negotiate bool) (map[string]any, error) {
	connect := q.sync.Connect
	if !negotiate {
		connect = q.sync.ConnectUnnegotiated
	}
	if err := connect(q.addr); err != nil {
		return nil, q.meet(err)
	}
	if !negotiate {
		return nil, nil
	}
	return q.Greeting(), nil
}

// Accept waits for a peer to connect to an object that was made with
// Options.Server, negotiates and returns the greeting, like Connect(true), all
// within wait. [NoWait] means For(0) here. The old module's default was 15 seconds.
//
// Accept stops listening when the peer has connected, and removes the file of a unix
// socket; if no peer came, Close removes it. The old module leaves the file in place
// and its callers remove it. With this package they find nothing to remove.
//
// If the object does not listen, the error is an [*async.StateError]; to listen
// again, call Sync().Listen or make a new object. Any other error is an
// [*async.ConnectError]; the object is idle after it and no longer listens. For(0)
// is the exception: Accept fails, and the object still listens.
func (q *QEMUMonitorProtocol) Accept(wait Wait) (map[string]any, error) {
	if err := q.sync.Accept(wait.limit()); err != nil {
		return nil, q.meet(err)
	}
	return q.Greeting(), nil
}

// Greeting returns the whole greeting of the current connection, or of the last one.
// It is nil before the first connection, and after Connect(false).
func (q *QEMUMonitorProtocol) Greeting() map[string]any {
	g := q.sync.Greeting()
	if g == nil {
		return nil
	}
	m, _ := g.Object() // it can only fail for a number with thousands of digits
	return m
}

// SetTimeout sets the time limit of each Cmd, CmdObj and Command that begins after
// it, in all later connections too. It replaces Options.Sync.CommandLimit, by default
// 6 hours. [Forever] means no limit. With [NoWait] or For(0) these calls fail at once
// and send nothing.
func (q *QEMUMonitorProtocol) SetTimeout(wait Wait) { q.sync.SetTimeout(wait.limit()) }

// Close ends the connection, or stops listening, and waits until nothing of it is
// left. Then the object may connect again. Close of an idle object returns nil. If
// the peer does not take the message that is being written, Close waits for it no
// longer than Options.Sync.CloseLimit, by default 5 seconds, and then returns an
// error that wraps an [*async.TimeoutError]. The object is idle after that too.
//
// If the peer has already ended the connection, by an end of file or a reset, Close
// returns that error only if the caller can know of it: a call returned it, a command
// or a wait for an event failed after it, or an event was taken from the queue after
// it. Otherwise Close returns nil. So a program that stops a machine, waits for its
// process and then calls Close gets no error, as with the old module. Calls through
// Sync() do not count. Only one Close returns the error.
//
// If the peer broke the protocol, Close returns that error, an
// [async.ProtocolError], in every case.
func (q *QEMUMonitorProtocol) Close() error {
	session := q.sync.Async().Session()
	err := q.sync.Disconnect()
	if met := q.met.Swap(0) == session; !met && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		err = nil
	}
	if closeErr := q.conn.close(); err == nil {
		err = closeErr
	}
	return err
}

// meet returns err, the error of a call, unchanged. If err says that the peer has
// ended the connection, meet records that the caller has seen that end.
func (q *QEMUMonitorProtocol) meet(err error) error {
	if !async.HungUp(err) {
		return err
	}
	session := q.sync.Async().Session()
	if ended, ok := errors.AsType[*async.ExecInterruptedError](err); ok && ended.Session != 0 {
		session = ended.Session
	}
	q.met.Store(session)
	return err
}

// SendFDSCM sends a file descriptor now, with a single space byte. Call it before
// the command that uses the descriptor, such as getfd. f stays the caller's.
//
// If the connection does not use a unix socket, the error is an
// [*async.MessageError]. If f is not open, the error is an [*async.MessageError] that
// matches syscall.EBADF. The connection stays usable after both. If the peer does not
// read within Options.Sync.CommandLimit, the error is an [*async.ExecInterruptedError]
// around an [*async.TimeoutError]. SetTimeout does not affect SendFDSCM.
//
// If two commands with descriptors may run at the same time, use Files of
// [async.Command] with Sync().Do instead: these descriptors are sent together with
// their command.
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

// IsSCMAvailable reports whether SendFDSCM can work, that is, whether the object is
// connected over a unix socket.
func (q *QEMUMonitorProtocol) IsSCMAvailable() bool { return q.sync.Async().CanSendFiles() }

// SyscallConn gives access to the socket, to ask the system about it. It replaces
// the old get_sock_fd. That returned a bare number, which could belong to another
// file by the time it was used. Do not read or write through it: the engine does
// that. Without a connection the error is an [*async.StateError].
func (q *QEMUMonitorProtocol) SyscallConn() (syscall.RawConn, error) {
	return q.sync.Async().SyscallConn()
}
