package record

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/goqmp/qmp/async"
)

// A Recorder writes what its tracers see to one recording. Any number of goroutines may
// call its methods at the same time.
//
// One goroutine writes. No connection ever waits for it: what it has not written yet is
// in a queue of limited size. So a slow writer costs entries, never time. After the first
// error, which is usually that of the writer, the Recorder writes nothing more, and the
// connections go on. Err and Close return the error.
type Recorder struct {
	opts  Options
	start time.Time
	file  *os.File // of Create, else nil
	wake  chan struct{}
	done  chan struct{} // closed when the goroutine that writes has ended

	mu     sync.Mutex          // guards the fields below; held briefly, never while anything is written
	names  map[string]struct{} // of the clients
	queue  batch               // what the goroutine that writes has not taken
	spare  batch               // empty; its memory is used again
	lost   int                 // how many entries did not fit in the queue since the last one that did
	missed int                 // how many entries were left out
	closed bool
	err    error // the first error of the writer
}

// A batch is a part of the recording that waits to be written.
type batch struct {
	items   []item
	data    []byte          // the messages of items
	flushes []chan struct{} // closed when the batch is written
}

// An item is an entry, with its message in batch.data.
type item struct {
	entry Entry
	at, n int // the message in batch.data; n is 0 for none
}

// itemSize is what an item takes in a batch, in bytes.
const itemSize = 256

// New returns a Recorder that writes to w. opts may be nil. [Recorder.Close] ends it, and
// does not close w. One goroutine of the Recorder calls w.Write, with whole lines.
func New(w io.Writer, opts *Options) *Recorder { return newRecorder(w, nil, opts) }

// Create returns a Recorder that writes to a new file, which only its owner may read. A
// file or symbolic link at path is removed first. A device, such as /dev/stderr, or a
// named pipe is written to as it is. [Recorder.Close] closes the file.
func Create(path string, opts *Options) (*Recorder, error) {
	f, err := create(path)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	return newRecorder(f, f, opts), nil
}

func create(path string) (*os.File, error) {
	// A link in a folder of others may lead to another file of the user. So nothing that
	// is there is written to.
	if info, err := os.Lstat(path); err == nil {
		switch info.Mode().Type() {
		case 0, os.ModeSymlink:
			if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
				return os.OpenFile(path, os.O_WRONLY, 0) // a link to a device, as /dev/stderr is
			}
			if err := os.Remove(path); err != nil {
				return nil, err
			}
		default:
			return os.OpenFile(path, os.O_WRONLY, 0)
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
}

func newRecorder(w io.Writer, file *os.File, opts *Options) *Recorder {
	r := &Recorder{
		start: time.Now(), file: file,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		names: make(map[string]struct{}),
	}
	if opts != nil {
		r.opts = *opts
	}
	r.opts.MaxMessage = orDefault(r.opts.MaxMessage, DefaultMaxMessage)
	r.opts.MaxSize = orDefault(r.opts.MaxSize, DefaultMaxSize)
	r.opts.MaxQueue = orDefault(r.opts.MaxQueue, DefaultMaxQueue)
	go r.write(&writer{r: r, w: w})
	return r
}

// Tracer returns a tracer for one client: add it to async.Options.Tracers of that client.
// name tells the clients of a recording apart, and may be "" if there is one. It is
// usually the client's Nickname. If another tracer has the name, "-2" is added, or "-3"
// and so on.
//
// Two clients cannot have one tracer, since both count their connections from 1. That is
// an error of the Recorder.
func (r *Recorder) Tracer(name string) *async.Tracer {
	r.mu.Lock()
	defer r.mu.Unlock()
	unique := name
	for i := 2; ; i++ {
		if _, taken := r.names[unique]; !taken {
			break
		}
		unique = fmt.Sprintf("%s-%d", name, i)
	}
	r.names[unique] = struct{}{}
	return r.tracer(unique)
}

// Err returns the error after which the Recorder writes nothing more, or nil.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Flush waits until everything that was recorded before the call is written. It returns
// the error of the Recorder, or that of ctx if it ends first.
func (r *Recorder) Flush(ctx context.Context) error {
	written := make(chan struct{})
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		written = r.done
	} else {
		r.queue.flushes = append(r.queue.flushes, written)
		r.mu.Unlock()
		r.ring()
	}
	select {
	case <-written:
		return r.Err()
	case <-ctx.Done():
		return fmt.Errorf("recording: flush: %w", context.Cause(ctx))
	}
}

// Close ends the recording: it waits until everything that was recorded before the call
// is written, and the last line, which says that the recording is complete. What
// happens on connections after that is not recorded. Close waits for the writer without a
// limit; call Flush first if the writer may hang.
//
// The error is the first one of the Recorder. A second call returns the same error.
func (r *Recorder) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.ring()
	<-r.done
	return r.Err()
}

// ring wakes the goroutine that writes.
func (r *Recorder) ring() {
	select {
	case r.wake <- struct{}{}:
	default: // it is awake, or will be soon
	}
}

// add queues an entry. message is copied. It never waits.
func (r *Recorder) add(e Entry, at time.Time, message []byte) {
	e.Time = at.Sub(r.start)
	r.mu.Lock()
	if r.closed || r.err != nil {
		r.mu.Unlock()
		return
	}
	q := &r.queue
	size := len(q.data) + len(message) + (len(q.items)+1)*itemSize
	if limit := r.opts.MaxQueue; limit >= 0 && size > limit && len(q.items) > 0 {
		r.lost++
		r.missed++
		r.mu.Unlock()
		return
	}
	r.noteLost(e.Time)
	q.items = append(q.items, item{e, len(q.data), len(message)})
	q.data = append(q.data, message...)
	first := len(q.items) == 1
	r.mu.Unlock()
	if first {
		r.ring()
	}
}

// fail keeps err if it is the first error, and drops what waits to be written.
func (r *Recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
	r.queue.items, r.queue.data = nil, nil
}

// noteLost queues an entry that says how many did not fit before it. The caller holds mu.
func (r *Recorder) noteLost(at time.Duration) {
	if r.lost == 0 {
		return
	}
	gap := &Gap{Entries: r.lost, Reason: "the writer was too slow for record.Options.MaxQueue"}
	r.queue.items = append(r.queue.items, item{entry: Entry{Kind: Missing, Time: at, Gap: gap}})
	r.lost = 0
}
