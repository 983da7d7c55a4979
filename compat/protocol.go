package compat

import (
	"net"
	"os"

	"github.com/goqmp/qmp/legacy"
	qmpsync "github.com/goqmp/qmp/sync"
)

// QEMUMonitorProtocol is the class of the newer generation: one QMP server,
// driven by calls that wait. Make one with [New], [NewConn] or [Wrap].
type QEMUMonitorProtocol struct{ legacy *legacy.QEMUMonitorProtocol }

// New returns an object for the server at addr, as [legacy.New] does.
func New(addr string, opts *legacy.Options) (*QEMUMonitorProtocol, error) {
	q, err := legacy.New(addr, opts)
	if err != nil {
		return nil, err
	}
	return Wrap(q), nil
}

// NewConn returns an object for the server at the other end of conn, an open
// connection, which Connect uses, once. It is the object's from then on.
// opts.Server must be false.
func NewConn(conn net.Conn, opts *legacy.Options) (*QEMUMonitorProtocol, error) {
	o := legacy.Options{}
	if opts != nil {
		o = *opts
	}
	o.Conn = conn
	return New("", &o)
}

// Wrap returns an object over q, with the same connection, state, time limit and
// queue of events. Both may be used at the same time.
func Wrap(q *legacy.QEMUMonitorProtocol) *QEMUMonitorProtocol { return &QEMUMonitorProtocol{q} }

// Legacy returns the object for calls by their older names, over the same
// connection.
func (q *QEMUMonitorProtocol) Legacy() *legacy.QEMUMonitorProtocol { return q.legacy }

// Sync returns the blocking client of the floors below, over the same
// connection. The way back is legacy.Wrap.
func (q *QEMUMonitorProtocol) Sync() *qmpsync.Client { return q.legacy.Sync() }

// Cmd executes a command and returns the value of the reply's return member; an
// error reply is an [*async.ExecuteError]. It was Command in the older
// generation: see [legacy.QEMUMonitorProtocol.Command].
func (q *QEMUMonitorProtocol) Cmd(name string, args any) (any, error) {
	return q.legacy.Command(name, args)
}

// CmdRaw executes a command and returns the whole reply, an error reply
// included. It was Cmd in the older generation, without an id: see
// [legacy.QEMUMonitorProtocol.Cmd].
func (q *QEMUMonitorProtocol) CmdRaw(name string, args any) (map[string]any, error) {
	return q.legacy.Cmd(name, args)
}

// CmdObj sends obj as it is, and returns the whole reply: see
// [legacy.QEMUMonitorProtocol.CmdObj].
func (q *QEMUMonitorProtocol) CmdObj(obj any) (map[string]any, error) { return q.legacy.CmdObj(obj) }

// Connect connects to the server: see [legacy.QEMUMonitorProtocol.Connect].
func (q *QEMUMonitorProtocol) Connect(negotiate bool) (map[string]any, error) {
	return q.legacy.Connect(negotiate)
}

// Accept takes the peer that connects to an object made with
// legacy.Options.Server, stops listening, and removes the file of a unix socket:
// see
// [legacy.QEMUMonitorProtocol.Accept].
func (q *QEMUMonitorProtocol) Accept(wait legacy.Wait) (map[string]any, error) {
	return q.legacy.Accept(wait)
}

// Greeting returns the whole greeting: see
// [legacy.QEMUMonitorProtocol.Greeting].
func (q *QEMUMonitorProtocol) Greeting() map[string]any { return q.legacy.Greeting() }

// PullEvent takes the oldest event off the queue: see
// [legacy.QEMUMonitorProtocol.PullEvent].
func (q *QEMUMonitorProtocol) PullEvent(wait legacy.Wait) (map[string]any, error) {
	return q.legacy.PullEvent(wait)
}

// GetEvents takes all events off the queue: see
// [legacy.QEMUMonitorProtocol.GetEvents].
func (q *QEMUMonitorProtocol) GetEvents(wait legacy.Wait) ([]map[string]any, error) {
	return q.legacy.GetEvents(wait)
}

// ClearEvents throws the queue away.
func (q *QEMUMonitorProtocol) ClearEvents() { q.legacy.ClearEvents() }

// SetTimeout limits each Cmd, CmdRaw and CmdObj from now on: see
// [legacy.QEMUMonitorProtocol.SetTimeout].
func (q *QEMUMonitorProtocol) SetTimeout(wait legacy.Wait) { q.legacy.SetTimeout(wait) }

// SendFDSCM sends a file descriptor at once: see
// [legacy.QEMUMonitorProtocol.SendFDSCM].
func (q *QEMUMonitorProtocol) SendFDSCM(f *os.File) error { return q.legacy.SendFDSCM(f) }

// Close ends the connection, or the listening: see
// [legacy.QEMUMonitorProtocol.Close].
func (q *QEMUMonitorProtocol) Close() error { return q.legacy.Close() }

// ParseAddress parses an address by the module's rule: see
// [legacy.ParseAddress].
func ParseAddress(text string) (legacy.Address, error) { return legacy.ParseAddress(text) }
