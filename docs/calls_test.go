package docs_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat"
	"github.com/goqmp/qmp/legacy"
)

// use takes the results of calls, so that code that only has to compile does not
// need variables for them.
func use(...any) {}

// Example_calls has the calls of the first tables of migrating.md. It is compiled
// and not run, since the calls do not make sense one after another.
func Example_calls() {
	addr, path, conn, f := "/run/vm1.qmp", "/run/vm1.qmp", net.Conn(nil), os.Stdin
	qmp, err := legacy.New("/run/vm1.qmp", nil)
	use(legacy.New("127.0.0.1:4444", nil))
	use(legacy.New("[::1]:4444", nil))
	use(legacy.New(addr, &legacy.Options{Server: true, Nickname: "vm1"}))
	use(legacy.New(addr, nil))
	use(compat.NewConn(conn, nil))
	use(legacy.ParseAddress("localhost:4444"))
	use(qmp, err, path)

	greeting, err := qmp.Connect(true)
	use(qmp.Connect(false))
	use(qmp.Accept(legacy.For(15 * time.Second)))
	use(qmp.Accept(legacy.Forever))
	use(qmp.Close())
	use(greeting, err)

	reply, err := qmp.Cmd("query-status", nil)
	use(qmp.Cmd("x", map[string]any{"a": 1}))
	use(qmp.Cmd("x", map[string]any{"a": 1}, "my-id"))
	use(qmp.CmdObj(map[string]any{"execute": "stop"}))
	value, err := qmp.Command("x", map[string]any{"a": 1})
	use(reply, value, err)

	qmp.SetTimeout(legacy.For(5 * time.Second))
	qmp.SetTimeout(legacy.Forever)
	use(qmp.PullEvent(legacy.NoWait))
	use(qmp.PullEvent(legacy.Forever))
	use(qmp.PullEvent(legacy.For(1500 * time.Millisecond)))
	use(qmp.GetEvents(legacy.NoWait))
	use(qmp.GetEvents(legacy.For(time.Second)))
	qmp.ClearEvents()

	use(qmp.SendFDSCM(f))
	use(qmp.IsSCMAvailable())
	use(qmp.SyscallConn())

	vm := compat.Wrap(qmp)
	use(vm.Cmd("x", map[string]any{"a": 1}))
	use(vm.CmdRaw("x", map[string]any{"a": 1}))

	var refused *async.ExecuteError
	var interrupted *async.ExecInterruptedError
	var state *async.StateError
	var connect *async.ConnectError
	var greetingErr *async.GreetingError
	var negotiation *async.NegotiationError
	var badReply *async.BadReplyError
	var parse *async.ServerParseError
	var message *async.MessageError
	var id *async.InvalidIDError
	var port *legacy.BadPortError
	var broken async.ProtocolError
	use(
		errors.As(err, &refused),
		errors.As(err, &interrupted),
		errors.As(err, &state),
		errors.As(err, &connect),
		errors.As(err, &greetingErr),
		errors.As(err, &negotiation),
		errors.As(err, &badReply),
		errors.As(err, &parse),
		errors.As(err, &message),
		errors.As(err, &id),
		errors.As(err, &port),
		errors.As(err, &broken),
		errors.Is(err, os.ErrDeadlineExceeded),
		errors.Is(err, io.EOF),
		errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.ECONNREFUSED),
	)
}
