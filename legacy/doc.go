// Package legacy has the calls of QEMU's old Python qmp module: scripts and test
// harnesses in the style of QEMU's iotests move to Go call by call.
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
// Arguments are what encodes to a JSON object: a map, whose members go out
// sorted; a struct, raw JSON or [async.Members], which keep their order. Replies
// and events are maps: a JSON integer is an int64, a uint64 above 2^63-1, a
// *big.Int beyond 64 bits; any other number is a float64; the rest is
// map[string]any, []any, string, bool and nil. A number over 4,300 digits is an
// [*async.MessageError].
//
// The wire carries an id with every command, so that the late reply of a command
// that timed out answers no other. Replies hold the ids that callers gave, and no
// others.
//
// # Events
//
// Events are one queue per object, without a limit, kept through Close, the end
// of a connection, and the next Connect. The connection is read all the time, so
// an event is in the queue as soon as it comes, and before the reply behind it is
// returned.
//
// # Who may call what
//
// Every method may be called by any goroutine at any time; several calls may wait
// side by side, and Close ends them all. [QEMUMonitorProtocol.Sync] is the door
// to the floor below, on the same connection, and [Wrap] the way back.
//
// # Traps
//
//   - Cmd returns an error reply as data, with a nil error. Command makes an
//     [*async.ExecuteError] of it.
//   - A connection that ended by itself refuses everything but events, Connect
//     too, until Close, which returns the reason if a call has met it: after a
//     quit that was answered, that is io.EOF. Sync().Quit waits for it.
//   - With NoWait a dead connection looks like an empty queue. Any other wait, a
//     command, and then Close give the reason.
//   - A nil event with a nil error is what PullEvent(NoWait) returns where there
//     is none.
//   - A command that timed out may still be executed.
package legacy
