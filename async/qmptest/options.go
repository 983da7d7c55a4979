package qmptest

// A Version is what a greeting and query-version say.
type Version struct {
	Major, Minor, Micro int
	Package             string
}

// DefaultVersion is used where none is given.
var DefaultVersion = Version{Major: 7, Minor: 2, Micro: 22}

// Options configures a Server. A nil *Options, like the zero value, makes a
// running machine behind a unix socket that behaves as QEMU 7.2 does.
type Options struct {
	// Network is Unix (the default), TCP, TCP6 or Memory. A server can be
	// reached by Dial and DialOut, too, whatever its network.
	Network string

	// Name is what query-name says; empty for none.
	Name string

	// Paused makes the machine begin stopped, as QEMU does with -S.
	Paused bool

	// Version is what the greeting says. The zero Version means
	// DefaultVersion.
	Version Version

	// NoOOB leaves "oob" out of the greeting's capabilities, and refuses to
	// enable it.
	NoOOB bool

	// NoGreeting starts with commands at once, without greeting and
	// negotiation, as the guest agent does.
	NoGreeting bool

	// ManyClients serves all clients at once. Without it there is one at a
	// time, as in QEMU: further ones can connect, and wait without a greeting
	// until the one before has hung up.
	ManyClients bool

	// Pretty spreads each message over many lines, as QEMU does with
	// -mon pretty=on.
	Pretty bool

	// LineEnd is what goes behind each message. The default is CRLF.
	LineEnd LineEnd

	// MaxMessage limits one message of a client, in bytes. Zero means 64 MiB,
	// which is QEMU's bound, too; a negative number means no limit.
	MaxMessage int

	// PipeSize is how many bytes a connection made by Dial holds in each
	// direction. Zero means DefaultPipeSize.
	PipeSize int

	// NoRecord keeps nothing for Received, for floods.
	NoRecord bool
}
