// Package agent is a client of the QEMU guest agent (qemu-ga), the program through which
// the host executes commands in a guest.
//
//	a, err := agent.Dial(ctx, "/run/vm1.qga", nil)
//	if err != nil {
//		return err
//	}
//	defer a.Close()
//
//	out, err := a.Command(ctx, "uname", "-r").Output()
//	if err != nil {
//		return err
//	}
//	fmt.Printf("the guest runs Linux %s", out)
//
// [Dial] waits until the agent answers, so the same call waits for a guest that boots. It
// resynchronizes the line, so that what an earlier client has left there is not taken for
// an answer.
//
// # Commands
//
// A [Client] is an [async.Caller]: package qga has a function for each command of the
// agent, such as qga.GuestGetOsinfo(ctx, a). [Client.Do] says what differs from a QEMU
// monitor.
//
// # Programs, files, file systems
//
// [Client.Command] returns a [Cmd], which has the shape of that of os/exec. With
// Cmd.Stream, input and output pass while the program runs. [Client.Open] and
// [Client.Create] return a [File], [Client.FS] an [fs.FS]. [Client.CopyIn] and
// [Client.CopyOut] copy whole files. [Client.Freeze] keeps file systems frozen while a
// function runs.
//
// # Errors
//
// The errors of package async, and these:
//
//	DisabledError      not sent    the agent does not offer the command
//	LostReplyError     sent        the agent or the guest was restarted: ask the guest
//	                               whether the command was executed
//	ExitError          started     the program failed: Code or Signal says how
//	TruncatedError     started     the program wrote more than 16 MiB: use Stream
//	LostProcessError   started     the agent or the guest was restarted
//	StreamError        not started the guest has no shell, or the agent is restricted
//	ChecksumError      copied      the file changed meanwhile: copy again
//	LeaseError                     the file systems were thawed too early: do not use
//	                               the snapshot
//	ThawError                      the file systems may still be frozen: thaw them
//	fs.PathError                   of files; it matches fs.ErrNotExist and the like
//
// # Who may call what
//
// Every method of a [Client] may be called by any goroutine at any time. The agent executes
// one command at a time, in order. The methods of a [Cmd] and of a [File] are for one
// goroutine at a time, except [Cmd.Signal], [Cmd.Kill] and [File.Close].
//
// # Traps
//
//   - A chardev of QEMU serves one client at a time. A second Dial waits until the first
//     client has gone.
//   - When a context ends, the guest goes on with what it has begun. [Cmd.Kill] ends a
//     program.
//   - The agent may execute a command whose caller has given up, unless
//     [async.ExecInterruptedError.SafeToRetry] is true.
//   - A guest whose file systems stay frozen hangs. If the program ends inside
//     [Client.Freeze], nobody thaws them.
//   - The agent is a program of the guest. Whoever controls the guest decides what it
//     answers.
package agent
