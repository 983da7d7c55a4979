// Package async is a QMP client for programs that use contexts. QMP is the JSON
// protocol by which QEMU, qemu-storage-daemon and the QEMU guest agent are
// driven.
//
//	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
//	defer cancel()
//
//	c, err := async.Dial(ctx, "/run/vm1.qmp", nil)
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//
//	events := c.NewListener(nil, "STOP")
//	defer events.Close()
//
//	if _, err := c.Execute(ctx, "stop", nil); err != nil {
//		return err
//	}
//	ev, err := events.Next(ctx)
//	if err != nil {
//		return err
//	}
//	fmt.Println(ev.Name, "at", ev.Timestamp)
//
// # Commands
//
// [Client.Execute] returns the value of the reply as JSON, [Call] decodes it,
// [Client.ExecuteOOB] overtakes what the server is busy with, and [Client.Do]
// takes everything that a command can carry and returns the whole reply. Any
// number of goroutines may execute commands at the same time; replies find
// their callers by id. Where out-of-band execution is enabled (it is if the
// server offers it), at most eight commands are unanswered at a time and the
// others wait in order; without it, all are sent at once.
//
// A command is never sent twice. When its context ends, only that call ends,
// and the [ExecInterruptedError] says whether the server may have seen it.
//
// # Events
//
// An [EventListener] is a queue of events that is filled from the moment it is
// made, connected or not: make it before the command whose events it waits for.
// An event that the server sent before a reply is in the queue when the call
// returns.
//
// # The life of a connection
//
// A [Client] outlives its connections. [Client.Connect] makes one, or
// [Client.Listen] and [Client.Accept] where the server does the dialling;
// [Client.Disconnect] ends it and says what went wrong. [Client.WatchRunstate]
// tells every change of state.
//
// # Who may call what
//
// Every method of a [Client], an [EventListener] and a [RunstateWatcher] may be
// called by any goroutine at any time, with one exception: hooks and filters run
// inside the engine, and call nothing of their client. One goroutine belongs to a
// connection; it reads. Callers write by themselves.
//
// A [Reply], an [Event], a [Greeting] and all errors do not change. Any number of
// goroutines may use one, and none may write into its bytes, which are shared. The
// maps of [Reply.Object] and [Event.Object], and what is decoded, are the caller's
// own. A [Command] and its arguments are read until the call returns: change them
// afterwards. [Options] and [ListenerOptions] are copied where they are given.
//
// # Traps
//
//   - A connection that ended by itself leaves the client in [Disconnecting]
//     until [Client.Disconnect] has collected the cause. After a quit that was
//     answered, that is io.EOF. [Client.Quit] tells a server to quit, waits for
//     that end and collects it; [HungUp] knows it in any error.
//   - A QEMU that dies is an io.EOF, or a reset (syscall.ECONNRESET) where it had
//     not read all that was sent: one cannot tell deaths apart by that. A call
//     that is pending then ends with an [ExecInterruptedError], and one that
//     comes later with a [StateError], whose Cause says why: handle both.
//   - [EventListener.Next] and [EventListener.All] do not wait for the next
//     connection. Range over All again after the next Connect. A listener that
//     was not read to its end still has the notice that the last connection has
//     ended: make one for each connection, as the example of Connect does, before
//     Connect. An [OverflowError] is not the end.
//   - QEMU serves one client at a time on a monitor and lets a second one
//     connect and wait: a greeting that does not come is a client elsewhere.
//   - An unbounded listener that nobody reads keeps everything. Close it, or set
//     [ListenerOptions].Limit.
//   - The context given to [Client.Connect] bounds connecting, and nothing
//     behind it.
//   - [Call] and [Reply.Decode] match names without regard to case, '-' and '_',
//     and say nothing of a field that no member matches: it keeps its zero value.
//   - A command whose context ended may still be executed, unless
//     [ExecInterruptedError.SafeToRetry] says that it cannot have been sent.
package async
