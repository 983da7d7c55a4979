package qmptest

// A Version is the version of QEMU that the greeting and query-version report.
type Version struct {
	Major, Minor, Micro int
	Package             string // of a distribution, such as "Debian 1:7.2+dfsg-7"
}

// DefaultVersion is the version of a Server whose Options name none, and of
// Greet.
var DefaultVersion = Version{Major: 7, Minor: 2, Micro: 22}

// Options configures a Server. A nil *Options, like the zero value, makes a
// running machine with a unix socket. It behaves as QEMU 7.2 does.
type Options struct {
	// Network is Unix (the default), TCP, TCP6 or Memory. Server.Dial and
	// Server.DialOut work with each of them.
	Network string

	// Name is what query-name returns. Empty means that the machine has no name.
	Name string

	// Paused makes the machine begin stopped, as QEMU does with -S.
	Paused bool

	// Version is what the greeting and query-version report. The zero Version
	// means DefaultVersion.
	Version Version

	// NoOOB leaves "oob" out of the greeting's capabilities. A client that
	// tries to enable it gets an error.
	NoOOB bool

	// NoGreeting makes the server a guest agent. There is no greeting and no
	// negotiation: commands are accepted immediately. A byte 0xFF ends a part of a
	// command. The server knows guest-sync, guest-sync-delimited, guest-ping and
	// guest-info, which lists all commands whose names begin with "guest-".
	NoGreeting bool

	// ManyClients serves all clients concurrently. Without it the server serves
	// one at a time, as QEMU does: others can connect, but get no greeting until
	// the client before them has hung up.
	ManyClients bool

	// Pretty spreads each message over many lines, as QEMU does with
	// -mon pretty=on.
	Pretty bool

	// LineEnd is what the server writes after each message. The default is CRLF.
	LineEnd LineEnd

	// MaxMessage limits one message of a client, in bytes. Zero means 64 MiB,
	// which is QEMU's limit, too. A negative number means no limit.
	MaxMessage int

	// PipeSize is how many bytes a connection made by Dial buffers in each
	// direction. Zero means DefaultPipeSize.
	PipeSize int

	// NoRecord makes the server keep no messages for Received. It is for tests
	// that send very many.
	NoRecord bool
}
