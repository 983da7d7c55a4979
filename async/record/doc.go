// Package record writes what happens on QMP connections to a file, and reads it back: a
// failure that was recorded with QEMU can be looked at, and played to a client without
// QEMU.
//
//	rec, err := record.Create("vm1.qmp.jsonl", nil)
//	if err != nil {
//		return err
//	}
//	defer rec.Close()
//	vm, err := async.Dial(ctx, "/run/vm1.qmp", &async.Options{
//		Tracers: []*async.Tracer{rec.Tracer("vm1")},
//	})
//
// A test plays the file by qmptest.ReplayFile, in a bubble of testing/synctest. A program,
// such as a shell, plays it by [Serve], and shows it by [Load] or [Read]. The page
// docs/recipes/replay.md has a whole example.
//
// # The file
//
// A recording has one JSON object on each line. The first line has the version of the
// format and says whether secrets are masked. The last line says that the recording is
// complete. Each line between them is an [Entry]:
//
//	{"qmp-recording":1,"time":"2026-03-01T09:00:00Z","masked":true}
//	{"t":0.0002,"client":"vm1","session":1,"connected":{"address":"/run/vm1.qmp"}}
//	{"t":0.0012,"client":"vm1","session":1,"sent":{"execute":"quit","id":2}}
//	{"t":0.0016,"client":"vm1","session":1,"received":{"return":{},"id":2}}
//	{"t":0.0018,"client":"vm1","session":1,"ended":{"cause":"eof","error":"EOF"}}
//	{"complete":true}
//
// t is the time since the recording began, in seconds. client is left out if it is "". A
// session is one connection of a client. The messages are those on the wire, without the
// white space between their tokens. A line has one of these members:
//
//   - connected: an object with the address;
//   - sent, unsent, received: the message; null for one of SendFiles. Beside it may be
//     files (how many descriptors went with it) and omitted (the length of a message of
//     which only the name and the id were kept);
//   - ended: an object with cause, one of [Cause]; error, the client's error; bytes, or
//     base64 if they are not UTF-8, which is what came of a message that was not whole;
//     shortened, which says that bytes is only its beginning; limit;
//   - missing: an object with entries, how many were left out here, and reason.
//
// A reader ignores members that it does not know, and blank lines. So a person may edit a
// recording, to make it smaller, for example. A [FormatError] names the line that a reader
// cannot take.
//
// # Who may call what concurrently
//
// Any goroutine may call the methods of a [Recorder] at any time, and any number of clients
// may share one, each with a tracer of its own. A Recording belongs to the caller. A
// [Player] plays one session at a time.
//
// # Traps
//
//   - Close the clients before the Recorder. What happens on a connection after
//     [Recorder.Close] is not recorded.
//   - A recorder is not a wrapper of a net.Conn: it sees messages, and not bytes. Attempts to
//     connect that fail are not in a recording.
//   - A masked result is played as the text "***". If the program needs it, record with
//     Options.Unmasked, and treat the file as a secret. What a guest agent's client reads
//     from the guest is masked.
//   - The timestamps of events are those of the recorded QEMU, also when they are played.
//   - Over a unix socket, a recorded reset is played as an end of file, unless the client has
//     sent something that the Player has not read. In memory and over TCP it is a reset.
package record
