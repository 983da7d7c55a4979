// Package async is a QMP client for programs that use contexts. QMP is the JSON
// protocol over which programs drive QEMU, qemu-storage-daemon and the QEMU guest
// agent.
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
// [Client.Execute] returns the value of the reply as JSON. [Call] decodes it.
// [Client.ExecuteOOB] executes a command out of band: it overtakes the commands
// that the server is busy with. [Client.Do] takes everything that a command can
// carry, and returns the whole reply.
//
// Any number of goroutines may execute commands at the same time. Each reply finds
// its caller by its id. The client enables out-of-band execution if the server
// offers it. At most eight commands are unanswered at a time then, and the others
// wait in order. Without it, all commands are sent at once.
//
// A command is never sent twice. When its context ends, only that call ends, and
// the [ExecInterruptedError] says whether the command may have reached the server.
//
// # Events
//
// An [EventListener] is a queue. It receives events from the moment it is made,
// whether the client is connected or not. So make it before the command whose
// events it waits for. An event that the server sent before a reply is in the
// queue when the call that got the reply returns.
//
// # Connections
//
// A [Client] may have many connections, one after the other. [Client.Connect]
// makes one. Where the server connects to the client, [Client.Listen] and
// [Client.Accept] do. [Client.Disconnect] ends the connection and returns what
// went wrong with it. [Client.WatchRunstate] follows the client's state. The
// channel of [Client.Done] is closed when there is no connection any more.
//
// With [Reconnect] in [Options], a client connects again by itself when its server
// has died, and listeners go on with the next connection.
//
// # Health
//
// [Client.Health] says how the server is: healthy, busy, silent or gone, with the evidence.
// It sends nothing. With Keepalive in [Options] the client asks the server if it says
// nothing, and tells when the verdict changes.
//
// # Errors
//
// These are the error types that calls return. The table says for each whether the
// command was sent, and what to do. Errors may be wrapped: match the types with
// errors.As, and ErrNoOOB with errors.Is.
//
//	AddressError           not sent    correct the address: the error says how
//	StateError             not sent    connect, wait, or disconnect, as the error says
//	ConnectError           not sent    look at its cause (below), then connect again
//	MessageError           not sent    Command is set: QEMU could not read the command,
//	                                   or not take its files. Correct it
//	InvalidIDError         not sent    choose another id
//	ErrNoOOB               not sent    execute the command in band
//	ExecInterruptedError   Sent says   if SafeToRetry, send it again. If not, ask the server
//	                                   whether it was executed. Its cause is below
//	ExecuteError           sent        the server refused it: Class and Desc say why
//	HMPError               sent        the human monitor refused the line: Text says why
//	BadReplyError          sent        the reply is malformed: ask the server whether the
//	                                   command was executed
//	MessageError           sent        Command is "": the reply has a number that is too
//	                                   long to decode, or too many values. Use its JSON
//	EventWaitError         no command  the event did not come in time: wait again, or give up
//	OverflowError          no command  events were lost: read on, and ask the server for its
//	                                   present state
//	ExecInterruptedError   no command  from a listener: the connection has ended
//	GaveUpError            no command  the client has given up connecting again: see its Why
//
// If a reply does not fit the Go type that [Call] or [Reply.Decode] is to store it in,
// the error has no type of this package. The command was sent and executed.
//
// A [ConnectError] and an [ExecInterruptedError] wrap a cause. [Client.Disconnect] and
// [Client.Err] return the cause of a connection's end. A cause is one of these:
//
//	io.EOF, syscall.ECONNRESET   the server ended the connection: HungUp matches both
//	ErrClosed                    this side ended it, with Disconnect or Close
//	context.Canceled,            the caller's context ended; its Cause matches, too
//	context.DeadlineExceeded
//	TimeoutError                 a time limit of a package with blocking calls was reached
//	GreetingError                the peer is not a QMP server, or serves another client
//	NegotiationError             the server refused qmp_capabilities, or did not reply to it
//	ServerParseError             the server could not read a command, and cannot say which:
//	                             connect again, and ask it which ones were executed
//	MessageError                 the server sent something that is not QMP, or is over a
//	                             limit: if it was MaxMessage, raise that; connect again
//	TLSError                     one side did not accept the other's certificate, or does not
//	                             speak TLS: the error says what to set
//	SilentError                  the server was silent, and Keepalive.CloseWhenSilent is set
//	any other                    an error of the operating system, or of Options.Dialer
//
// [ProtocolError] matches [GreetingError], [NegotiationError], [ServerParseError],
// [BadReplyError] and [MessageError].
//
// # Who may call what
//
// Every method of a [Client], an [EventListener] and a [RunstateWatcher] may be
// called by any goroutine at any time. There is one exception: hooks, filters and
// tracers run inside the engine. They must not call methods of their client.
//
// A connection has one goroutine, which reads. A caller writes its own command. If
// the server is slow to take it, one more goroutine finishes the write.
//
// A [Reply], an [Event], a [Greeting] and an error do not change. Any number of
// goroutines may use one. They share its bytes, so do not write into them. The
// maps of [Reply.Object] and [Event.Object], and decoded values, belong to the
// caller. A [Command] and its arguments are read until the call returns: do not
// change them before that. [Options] and [ListenerOptions] are copied when they
// are given.
//
// # Traps
//
//   - When the server ends the connection, the client stays in [Disconnecting] until
//     [Client.Disconnect] or [Client.Close] has returned the cause, unless it connects
//     again ([Reconnect]). After an
//     answered quit the cause is io.EOF. [Client.Quit] tells a server to quit,
//     waits for that end, and disconnects.
//   - When QEMU dies, the cause is io.EOF, or syscall.ECONNRESET if QEMU had not
//     read everything that was sent. The difference says nothing about why it died.
//     A pending call ends with an [ExecInterruptedError]. A later call gets a
//     [StateError], whose Cause is the same. Handle both; [HungUp] does.
//   - [EventListener.Next] and [EventListener.All] do not wait for the next
//     connection, unless the client connects again by itself. Range over All again
//     after the next Connect.
//   - If a listener was not read to its end, it still has the notice that the last
//     connection ended. Make one listener for each connection, before Connect, as
//     the example of Connect does. An [OverflowError] is not the end.
//   - QEMU serves one client of a monitor at a time. A second client can connect,
//     but gets no greeting until the first one has gone.
//   - An unbounded listener that is not read keeps everything. Close it, or set
//     Limit in [ListenerOptions].
//   - The context of [Client.Connect] bounds connecting. It does not bound the
//     connection's life after that.
//   - [Call] and [Reply.Decode] match names without regard to case, '-' and '_'.
//     A field that no member matches keeps its zero value, without an error.
//   - The server may still execute a command whose context has ended, unless
//     [ExecInterruptedError.SafeToRetry] is true.
package async
