// Package qmpsync is a QMP client for programs that call and wait. Its calls take
// no contexts; time limits are durations. It drives QEMU, qemu-storage-daemon or
// the guest agent, and is built on package async. The folder is sync/, but the
// package is named qmpsync, so that it never shadows the standard library's sync.
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
// A duration that is given to a call (SetTimeout, Accept, WaitEvent, Next) is the
// call's time limit. 0 means no limit. With a negative duration the call fails at
// once and sends nothing, as if its time had run out.
//
// A duration in [Options] is a setting. 0 means the default, and a negative number
// means no limit.
//
// When a call reaches its limit, errors.As finds an [*async.TimeoutError] in the
// call's error. That error matches os.ErrDeadlineExceeded and
// context.DeadlineExceeded.
//
// # Events
//
// A client has a queue of its own for events, [Client.Events]. It collects all
// events from the moment at which New, Dial or Wrap makes the client. If the server
// sends an event before a reply, the event is in the queue when the call returns.
// [Client.WaitEvent] reads this queue up to the event that the caller wants.
// [Client.NewListener] makes further queues, each with its own names, filter and
// limit.
//
// # A server that is started again
//
// With Async.Reconnect in [Options], a client connects again by itself when its
// connection has ended: see [async.Reconnect]. In the gap a command fails at once, or
// waits within its time limit if Wait is set there. Reads of events go on across the
// gap; the notice of the end has the number of the connection.
//
// # Moving to contexts
//
// [Client.Async] returns the client of package async that has the same connection.
// [Wrap] makes a blocking client of one of package async. So a program can move to
// contexts call by call. The types and errors that calls take and return are those
// of package async.
//
// # Concurrency
//
// Any goroutine may call any method of a [Client] and an [EventListener] at any
// time. No call starts a goroutine. Several calls may wait at the same time;
// Disconnect and Close end them all.
//
// # Traps
//
//   - The server may still execute a command that timed out, unless
//     [async.ExecInterruptedError.SafeToRetry] says that the command cannot have
//     been sent. The library never sends a command a second time.
//   - When a connection ends without a call of Disconnect or Close, and the client
//     does not connect again by itself, the client stays in [async.Disconnecting]
//     until [Client.Disconnect] or [Client.Close] has returned the cause. After a reply to quit, the cause is io.EOF.
//     [Client.Quit] executes quit, waits for that end and disconnects.
//     [async.HungUp] reports whether an error says that the server ended the
//     connection.
//   - WaitEvent discards the events that came before the one that it returns. If
//     two goroutines wait for different events, give each its own listener.
//   - When a connection ends without a call of Disconnect or Close, Client.Events
//     gets a notice of it. If nobody has read that notice, WaitEvent on the next
//     connection returns it first, as an error. A listener that is made for each
//     connection, as in the example of Connect, does not have this problem.
package qmpsync
