// Package mux lets many users share one monitor. QEMU serves one client of a monitor at a
// time; a [Mux] is that client, and a QMP server for everybody else:
//
//	c, err := async.Dial(ctx, "/run/vm1.qmp", nil)
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	m := mux.New(mux.Over(c), nil)
//	defer m.Close()
//
//	ln, err := mux.Listen(ctx, "/run/vm1-users.qmp")
//	if err != nil {
//		return err
//	}
//	return m.Serve(ctx, ln, &mux.Door{ReadOnly: true, Audit: slog.Default()})
//
// # What a user sees
//
// A user sees a QMP server like QEMU: the server's own greeting, a negotiation of its own, and
// the answers of QEMU to what is not a command, in the words of the QEMU that is shared. It
// chooses its ids: an id is any JSON value, and comes back as it was sent. (QEMU writes numbers
// in its own way and sorts the members of an object; a Mux does neither.) A user that enables
// out-of-band execution can use it, whatever other users do.
//
// Every user gets every event, once it has negotiated, with the server's timestamp. An event
// that the server sent before the reply to a user's command comes before it.
//
// Users share what belongs to the monitor itself: the names that getfd gives to descriptors,
// and the end of the connection. They also share the machine: nothing keeps two users from
// contradicting each other.
//
// # Who waits for whom
//
// A user's in-band commands are executed one after another, as QEMU does, and answered in
// that order. So one user has at most one of the eight in-band commands that the client keeps
// unanswered (see package async), the others wait in a queue that serves them in turn, and a
// user who sends a thousand commands delays another user by one. QEMU executes the in-band
// commands of all users one after another in any case. Out-of-band commands wait only for
// out-of-band commands of the same user.
//
// When a user leaves, its commands that were not sent are dropped, and so are the replies to
// those that were, which the server goes on executing. No other user is disturbed.
//
// # Slow users
//
// A user that does not read holds nobody up, and has a bound. Two cases are different. Its
// replies are its own doing: when more than 1 MiB of them is unread, its next command is not
// executed, and when 64 commands or 1 MiB of them wait, or its unanswered commands have 16
// descriptors, the user is not read any more. So a user who sends commands without reading is
// stopped, as by QEMU, which stops reading.
//
// Events are not its doing, and the server does not wait. When more than Door.MaxUnread of them
// is unread, the user is disconnected ([SlowUserError]): it notices that, connects again, and
// asks for the present state, as after any other lost connection. A gap among the events would
// be missed by a client that does not know of it. A user that does know can be spared the end of
// its connection: with Door.DropEvents the oldest unread events are dropped, and in their place
// the user gets the event [EventsLost].
//
// # Rules
//
// Each [Mux.Serve] has a [Door], whose rules hold for the users who come in by it. A command
// that a door does not allow gets the error of a command that QEMU has been told to disable:
// class CommandNotFound, for which clients are prepared. A command over one of the limits gets
// the class GenericError; it may be sent again later.
//
// With Door.Audit each command leaves a line: the user's number, who it is (for a unix socket
// the user id, the group and the process, from the system), the command with its known secrets
// masked, the result (done, failed, refused), the class and the text of an error, how long it
// waited, and how long it was executed.
//
// # Descriptors
//
// A user of a unix socket sends descriptors for getfd and add-fd as to QEMU: with the command, or
// before it with a space. They are passed on with the first of these commands that comes after
// them. Without a descriptor of its own such a command is refused, so no user gets another one's.
//
// The system may join bytes that a user sent before descriptors with those that it sent with
// them, and does not say where the latter begin. So if a user sends several getfd and add-fd
// without waiting for the replies, it sends each in a message of its own, with its descriptors:
// those of a message are passed on with its last getfd or add-fd.
//
// # The end of the server
//
// When the connection to the server ends, commands that are executed get an error, which says
// whether they were sent, and users are disconnected. If the client connects again by itself
// (async.Options.Reconnect), new users then come in by the same door, with the new server's
// greeting. A user who comes before that is disconnected at once.
//
// With Options.KeepUsers they stay: each gets the event [ConnectionLost], commands fail until
// the client is connected again, or wait with Reconnect.Wait, and then go to the new server.
// What the old one knew is lost: names of descriptors, and events in the gap. So this is for
// users that know of it.
package mux
