// Package legacy has the calls of QEMU's old Python qmp module, so that scripts and
// test harnesses in the style of QEMU's iotests can move to Go call by call.
//
//	vm, err := legacy.New("/run/vm1.qmp", nil)
//	if err != nil {
//		return err
//	}
//	defer vm.Close()
//	if _, err := vm.Connect(true); err != nil {
//		return err
//	}
//	if _, err := vm.Command("stop", nil); err != nil {
//		return err
//	}
//	event, err := vm.PullEvent(legacy.For(5 * time.Second))
//	if err != nil {
//		return err
//	}
//	fmt.Println(event["event"]) // STOP
//
// # The calls
//
//	Python                                      Go
//
//	qmp = QEMUMonitorProtocol("/run/vm.qmp")    qmp, err := legacy.New("/run/vm.qmp", nil)
//	QEMUMonitorProtocol(("::1", 4444))          legacy.New("[::1]:4444", nil)
//	QEMUMonitorProtocol(a, server=True,         legacy.New(a, &legacy.Options{Server: true,
//	                    nickname="vm1")                    Nickname: "vm1"})
//	parse_address("localhost:4444")             legacy.ParseAddress("localhost:4444")
//	with qmp:                                   defer qmp.Close()
//	qmp.connect()                               qmp.Connect(true)
//	qmp.connect(negotiate=False)                qmp.Connect(false)
//	qmp.accept()                                qmp.Accept(legacy.For(15 * time.Second))
//	qmp.accept(timeout=None)                    qmp.Accept(legacy.Forever)
//	qmp.cmd("stop")                             qmp.Cmd("stop", nil)
//	qmp.cmd("x", {"a": 1})                      qmp.Cmd("x", map[string]any{"a": 1})
//	qmp.cmd("x", {"a": 1}, "my-id")             qmp.Cmd("x", map[string]any{"a": 1}, "my-id")
//	qmp.cmd_obj({"execute": "stop"})            qmp.CmdObj(map[string]any{"execute": "stop"})
//	qmp.command("x", a=1)                       qmp.Command("x", map[string]any{"a": 1})
//	qmp.pull_event()                            qmp.PullEvent(legacy.NoWait)
//	qmp.pull_event(wait=True)                   qmp.PullEvent(legacy.Forever)
//	qmp.pull_event(wait=1.5)                    qmp.PullEvent(legacy.For(1500 * time.Millisecond))
//	qmp.get_events(wait=...)                    qmp.GetEvents(...), the same waits
//	qmp.clear_events()                          qmp.ClearEvents()
//	qmp.settimeout(5.0)                         qmp.SetTimeout(legacy.For(5 * time.Second))
//	qmp.settimeout(None)                        qmp.SetTimeout(legacy.Forever)
//	qmp.send_fd_scm(f.fileno())                 qmp.SendFDSCM(f)
//	qmp.is_scm_available()                      qmp.IsSCMAvailable()
//	qmp.get_sock_fd()                           qmp.SyscallConn()
//	qmp.close()                                 qmp.Close()
//	except QMPConnectError                      errors.As(err, &e), e a *async.ConnectError
//	except QMPTimeoutError                      errors.Is(err, os.ErrDeadlineExceeded)
//
// # Messages
//
// Arguments are anything that encodes to a JSON object. The members of a map are
// sent in sorted order. A struct, raw JSON and [async.Members] keep their order.
//
// Replies and events are maps. In them a JSON integer is an int64, a uint64 above
// 2^63-1, and a *big.Int beyond 64 bits. Any other number is a float64. All other
// values are map[string]any, []any, string, bool and nil. A number with more than
// 4,300 digits cannot be converted: the error is an [*async.MessageError].
//
// On the wire every command has an id, so that the late reply to a command that
// timed out is never taken for the reply to another one. A reply holds an id only if
// the caller gave one.
//
// # Events
//
// Each object has one queue of events, without a limit. Close, the end of a
// connection and the next Connect leave the events in it. The library reads the
// connection all the time, so an event is in the queue as soon as it comes. If the
// server sends an event before a reply, the event is in the queue when the call
// returns.
//
// # Concurrency
//
// Any goroutine may call any method at any time. Several calls may wait at the same
// time; Close ends them all.
//
// # A QEMU that is started again
//
// With Sync.Async.Reconnect in [Options], an object connects again by itself when its
// connection has ended: see [async.Reconnect]. In the gap a command fails at once, or
// waits within its time limit if Wait is set there. PullEvent and GetEvents read on
// across the gap. A Close in the gap returns why the connection ended, by the rule of
// [QEMUMonitorProtocol.Close].
//
// # Moving to newer calls
//
// [QEMUMonitorProtocol.Sync] returns the client of package qmpsync that has the same
// connection. [Wrap] makes an object of this package from such a client.
//
// # Traps
//
//   - Cmd returns an error reply as data, with a nil error. Command returns it as an
//     [*async.ExecuteError].
//   - When a connection has ended without a call of Close, and the object does not
//     connect again, commands, SendFDSCM and Connect fail until Close. Close then returns why the connection ended, if a
//     call has seen that end. After a reply to quit, that is io.EOF. Sync().Quit
//     executes quit and waits for that end.
//   - With NoWait a connection that has ended looks like an empty queue. Calls with
//     any other wait, commands, and Close after one of these return the reason.
//   - If the queue is empty, PullEvent(NoWait) returns a nil event and a nil error.
//   - The server may still execute a command that timed out.
package legacy
