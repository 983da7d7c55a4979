package compat

import (
	"net"
	"os"

	"github.com/goqmp/qmp/legacy"
	qmpsync "github.com/goqmp/qmp/sync"
)

// QEMUMonitorProtocol is the class of the newer generation. It drives one QMP server
// by calls that wait. Make one with [New], [NewConn] or [Wrap]. All methods may be
// called concurrently.
type QEMUMonitorProtocol struct{ legacy *legacy.QEMUMonitorProtocol }

// New returns an object for the server at addr. addr, opts and errors are those of
// [legacy.New].
func New(addr string, opts *legacy.Options) (*QEMUMonitorProtocol, error) {
	q, err := legacy.New(addr, opts)
	if err != nil {
		return nil, err
	}
	return Wrap(q), nil
}

// NewConn returns an object for the server at the other end of conn, an open
// connection. The first Connect uses conn; a second one fails. If NewConn succeeds,
// the object owns conn and Close closes it. If opts.Server is true, the error is an
// *async.ConnectError. opts.Conn is ignored.
func NewConn(conn net.Conn, opts *legacy.Options) (*QEMUMonitorProtocol, error) {
	o := legacy.Options{}
	if opts != nil {
		o = *opts
	}
	o.Conn = conn
	return New("", &o)
}

// Wrap returns an object that has the connection, state, time limit and queue of
// events of q. Both may be used at the same time.
func Wrap(q *legacy.QEMUMonitorProtocol) *QEMUMonitorProtocol { return &QEMUMonitorProtocol{q} }

// Legacy returns the object of package legacy that has the same connection, for
// calls by their older names.
func (q *QEMUMonitorProtocol) Legacy() *legacy.QEMUMonitorProtocol { return q.legacy }

// Sync returns the client of package qmpsync that has the same connection. To get
// from it to an object of this package, call legacy.Wrap and then [Wrap].
func (q *QEMUMonitorProtocol) Sync() *qmpsync.Client { return q.legacy.Sync() }

// Cmd executes a command and returns the value of the reply's return member. An
// error reply is an *async.ExecuteError. In the older generation it was named
// command: see [legacy.QEMUMonitorProtocol.Command].
func (q *QEMUMonitorProtocol) Cmd(name string, args any) (any, error) {
	return q.legacy.Command(name, args)
}

// CmdRaw executes a command and returns the whole reply, also if that is an error
// reply. In the older generation it was named cmd, and took an id: see
// [legacy.QEMUMonitorProtocol.Cmd].
func (q *QEMUMonitorProtocol) CmdRaw(name string, args any) (map[string]any, error) {
	return q.legacy.Cmd(name, args)
}

// CmdObj sends obj unchanged and returns the whole reply: see
// [legacy.QEMUMonitorProtocol.CmdObj].
func (q *QEMUMonitorProtocol) CmdObj(obj any) (map[string]any, error) { return q.legacy.CmdObj(obj) }

// Connect connects to the server: see [legacy.QEMUMonitorProtocol.Connect].
func (q *QEMUMonitorProtocol) Connect(negotiate bool) (map[string]any, error) {
	return q.legacy.Connect(negotiate)
}

// Accept waits for a peer to connect to an object that was made with
// legacy.Options.Server, stops listening, and removes the file of a unix socket: see
// [legacy.QEMUMonitorProtocol.Accept].
func (q *QEMUMonitorProtocol) Accept(wait legacy.Wait) (map[string]any, error) {
	return q.legacy.Accept(wait)
}

// Greeting returns the whole greeting: see
// [legacy.QEMUMonitorProtocol.Greeting].
func (q *QEMUMonitorProtocol) Greeting() map[string]any { return q.legacy.Greeting() }

// PullEvent removes the oldest event from the queue and returns it: see
// [legacy.QEMUMonitorProtocol.PullEvent].
func (q *QEMUMonitorProtocol) PullEvent(wait legacy.Wait) (map[string]any, error) {
	return q.legacy.PullEvent(wait)
}

// GetEvents removes all events from the queue and returns them: see
// [legacy.QEMUMonitorProtocol.GetEvents].
func (q *QEMUMonitorProtocol) GetEvents(wait legacy.Wait) ([]map[string]any, error) {
	return q.legacy.GetEvents(wait)
}

// ClearEvents discards all events in the queue.
func (q *QEMUMonitorProtocol) ClearEvents() { q.legacy.ClearEvents() }

// SetTimeout sets the time limit of each Cmd, CmdRaw and CmdObj that begins after
// it: see
// [legacy.QEMUMonitorProtocol.SetTimeout].
func (q *QEMUMonitorProtocol) SetTimeout(wait legacy.Wait) { q.legacy.SetTimeout(wait) }

// SendFDSCM sends a file descriptor now, for a command that is sent after it: see
// [legacy.QEMUMonitorProtocol.SendFDSCM].
func (q *QEMUMonitorProtocol) SendFDSCM(f *os.File) error { return q.legacy.SendFDSCM(f) }

// Close ends the connection, or stops listening: see
// [legacy.QEMUMonitorProtocol.Close].
func (q *QEMUMonitorProtocol) Close() error { return q.legacy.Close() }

// ParseAddress parses an address by the Python module's rule: see
// [legacy.ParseAddress].
func ParseAddress(text string) (legacy.Address, error) { return legacy.ParseAddress(text) }
