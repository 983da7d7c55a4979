package record

// The defaults of [Options], in bytes.
const (
	DefaultMaxMessage = 1 << 20
	DefaultMaxSize    = 64 << 20
	DefaultMaxQueue   = 4 << 20
)

// Options configures a [Recorder]. A nil *Options, like the zero value, suits most
// recordings.
type Options struct {
	// Unmasked keeps the secrets in the messages. Without it they are masked as they
	// are in the log: docs/guarantees.md, "E16", says which ones are known. A masked
	// argument matches any value when the recording is played; a masked result is
	// played as the text "***".
	Unmasked bool

	// Stable leaves out what differs from run to run, so that a recording can be a
	// golden file: ids are numbered from 1, in commands and in their replies; the
	// timestamps of events are 0; lines have no time, no address and no text of an
	// error. Stable does not change arguments and results: see Filter. In a recording
	// that is played without delays, the order of messages is the only time.
	Stable bool

	// MaxMessage limits one message in the recording, in bytes. Of a longer message the
	// recording has only the name, the id and the length. Zero means 1 MiB, which is
	// enough for query-qmp-schema; a negative number means no limit.
	MaxMessage int

	// MaxSize limits the whole recording, in bytes, except for its last lines. What
	// comes later is left out, and the recording says so. Zero means 64 MiB; a negative
	// number means no limit.
	MaxSize int64

	// MaxQueue limits what waits in memory for a slow writer, in bytes. What comes while
	// the queue is full is left out, and the recording says how much and where. Zero
	// means 4 MiB; a negative number means no limit.
	MaxQueue int

	// Filter changes an entry before it is written, or leaves it out by returning
	// false: to shorten paths that differ from run to run, say, or to mask more. It
	// comes after masking and Stable. It may change the Entry but not the bytes of its
	// Message, and must copy the bytes that it keeps. A new Message must be a JSON
	// object. It is called by one goroutine, in the order of the recording, and may
	// block: the connections do not wait for it.
	Filter func(Entry) (Entry, bool)
}

// orDefault returns n, or byDefault if n is 0. The result is negative for no limit.
func orDefault[T int | int64](n, byDefault T) T {
	if n == 0 {
		return byDefault
	}
	return n
}
