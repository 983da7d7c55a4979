// Package qmpsync is a QMP client for programs that call and wait: no contexts,
// time limits as durations. It drives QEMU, qemu-storage-daemon or the guest
// agent over the engine of package async. The folder is sync/, the package
// qmpsync, so that it never shadows the standard library's sync.
//
//	c, err := qmpsync.Dial("/run/vm1.qmp", nil)
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//
//	c.SetTimeout(10 * time.Second)
//	if _, err := c.Execute("stop", nil); err != nil {
//		return err
//	}
//	ev, err := c.WaitEvent(5*time.Second, "STOP")
//	if err != nil {
//		return err
//	}
//	fmt.Println(ev.Name, "at", ev.Timestamp)
//
// # Durations
//
// A duration given to a call (SetTimeout, Accept, WaitEvent, Next) is its time
// limit: 0 is none, and a negative one has already expired, so that the call
// fails at once and sends nothing. A duration in [Options] is a setting: 0 is
// its default, and a negative one switches it off.
//
// Where a limit was reached, errors.As finds an [async.TimeoutError] in the
// call's error, which matches os.ErrDeadlineExceeded and
// context.DeadlineExceeded.
//
// # Events
//
// A client keeps the events that come in, from New, Dial or Wrap on, in a queue
// of its own: [Client.Events]. An event that the server sent before a reply is
// in it when the call returns. [Client.WaitEvent] reads it up to the event that
// is asked for, and [Client.NewListener] makes further queues, each with names,
// a filter and a limit of its own.
//
// # Up and down
//
// [Client.Async] is the door to the floor below, on the same connection, and
// [Wrap] the way back up: a program moves to contexts call by call. The types
// and errors that calls take and return are those of package async.
//
// # Who may call what
//
// Every method of a [Client] and an [EventListener] may be called by any goroutine
// at any time. No call starts a goroutine. Several calls may wait side by side, and
// Disconnect or Close ends them all.
//
// # Traps
//
//   - A command that ran out of time may still be executed, unless
//     [async.ExecInterruptedError.SafeToRetry] says that it cannot have been
//     sent. It is never sent again by itself.
//   - A connection that ended by itself leaves the client in
//     [async.Disconnecting] until [Client.Disconnect] or [Client.Close] has
//     collected the cause. Behind a quit that was answered, that is io.EOF.
//   - WaitEvent throws away the events in front of the one it returns. Where two
//     goroutines wait for different events, give each a listener.
//   - After a connection that ended by itself, WaitEvent on the next one first
//     returns why the last one ended, unless that was read. A listener for each
//     connection, as in the example of Connect, does not have it.
package qmpsync
