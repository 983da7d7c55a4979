package record

import (
	"encoding/json"
	"time"
)

// A Kind says what an [Entry] records. Its text is the name of the member that the
// entry's line has.
type Kind string

// The kinds of entries.
const (
	Connected Kind = "connected" // a connection was made
	Sent      Kind = "sent"      // the client began to send a message
	Unsent    Kind = "unsent"    // no byte of the message of the last Sent was sent after all
	Received  Kind = "received"  // the client received a message
	Ended     Kind = "ended"     // the connection has ended
	Missing   Kind = "missing"   // entries were left out here
)

// An Entry is one line of a recording, without the header and the last line.
type Entry struct {
	Line    int           // the number of its line in the file, from 1; 0 if it was not read from a file
	Time    time.Duration // since the recording began; 0 in a stable recording
	Client  string        // the name given to [Recorder.Tracer]; it may be ""
	Session uint64        // counts the client's connections, from 1
	Kind    Kind

	// Address is where a Connected went, as the caller of Connect gave it. A stable
	// recording does not have it.
	Address string

	// Message is the message of a Sent, Unsent or Received, without white space
	// between its tokens. It is nil for a message of [async.Client.SendFiles].
	//
	// If Omitted is not 0, the message had that many bytes, which are more than
	// Options.MaxMessage. Message then has only the name of the command or event, and
	// the id.
	Message json.RawMessage
	Omitted int

	// Files is how many descriptors went with a Sent.
	Files int

	// End says how a connection ended; nil for the other kinds.
	End *End

	// Gap says what a Missing stands for; nil for the other kinds.
	Gap *Gap
}

// A Gap is a place where entries were left out.
type Gap struct {
	Entries int    // how many; 0 if that was not known yet
	Reason  string // for people
}

// A Cause says in one word how a connection ended.
type Cause string

// The causes.
const (
	// ByClient is an end by the client: it disconnected, or gave up the handshake, or a
	// message of the server had the wrong contents.
	ByClient Cause = "client"
	EOF      Cause = "eof"     // the server closed the connection
	Reset    Cause = "reset"   // the server, or the system, reset the connection
	CutOff   Cause = "cut off" // the server closed the connection inside a message

	// What the server sent was not a message, so the client ended the connection.
	NotJSON   Cause = "not JSON"
	NotObject Cause = "not an object"
	TooLarge  Cause = "too large" // larger than async.Options.MaxMessage
	TooDeep   Cause = "too deep"  // more levels than the client takes

	// Failed is any other failure of the connection, such as a timeout of the network.
	Failed Cause = "failed"
)

// An End says how a connection ended.
type End struct {
	Cause Cause
	Error string // as the client's Disconnect returns it; "" for none. A stable recording does not have it

	// Bytes is what came of a message that was CutOff, NotJSON or NotObject. If it was
	// longer than 80 bytes, or may have a secret, Bytes is only its beginning, and
	// Shortened is true.
	Bytes     []byte
	Shortened bool

	Limit int // the limit that a message exceeded which was TooLarge
}

// A Header is the first line of a recording.
type Header struct {
	Version int       // the version of the format: 1
	Time    time.Time // when the recording began; the zero time in a stable recording
	Masked  bool      // known secrets are masked by "***"
	Stable  bool      // what differs from run to run is left out: see Options.Stable
}

// FormatVersion is the version of the format that this package writes. It reads no
// other version.
const FormatVersion = 1
