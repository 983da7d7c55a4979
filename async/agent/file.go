package agent

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/qapi/qga"
)

// chunk is how many bytes of a file one command carries at most. The agent allows 48 MiB,
// but does nothing else while it reads or writes them.
const chunk = 1 << 20

// releaseLimit limits the commands that give something back to the guest after the
// caller's context has ended: closing a file, removing temporary files.
const releaseLimit = 10 * time.Second

// release returns a context for such commands. Values of ctx stay.
func release(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), releaseLimit)
}

// A File is an open file in the guest. Its methods are for one goroutine at a time, except
// Close. All of them are limited by the context with which it was opened. The agent closes
// the file when that context ends. An error matches an [*fs.PathError], and fs.ErrNotExist
// and the like if the agent's error says so.
type File struct {
	client *Client
	ctx    context.Context
	name   string
	handle int64

	unwatch   func() bool // stops the watch of ctx; not written after OpenFile
	closeOnce sync.Once
	closed    chan struct{} // closed when the file is being closed
}

var _ interface {
	io.ReadWriteSeeker
	io.Closer
	io.ReaderFrom
	io.WriterTo
} = (*File)(nil)

// Open opens a file of the guest for reading. The agent never waits for data: the Read of an
// empty pipe is an error, or the end of the file.
func (c *Client) Open(ctx context.Context, name string) (*File, error) {
	return c.OpenFile(ctx, name, "r")
}

// Create opens a file of the guest for writing. If it exists, it becomes empty. If not, the
// agent makes it, for all users to read and write: mode 0666, less the agent's umask.
func (c *Client) Create(ctx context.Context, name string) (*File, error) {
	return c.OpenFile(ctx, name, "w")
}

// OpenFile opens a file of the guest. mode is that of the C function fopen: "r", "w", "a",
// "r+", "w+" or "a+".
func (c *Client) OpenFile(ctx context.Context, name, mode string) (*File, error) {
	f := &File{client: c, ctx: ctx, name: name, closed: make(chan struct{})}
	if ctx.Err() != nil {
		return nil, pathError("open", name, contexts.Err(ctx))
	}
	opening, cancel := context.WithCancel(context.WithoutCancel(ctx))
	opened := make(chan error, 1)
	go func() {
		defer cancel()
		var err error
		f.handle, err = qga.GuestFileOpen(opening, c, &qga.GuestFileOpenArguments{Path: name, Mode: &mode})
		opened <- err
	}()
	select {
	case err := <-opened:
		if err != nil {
			return nil, pathError("open", name, err)
		}
		f.unwatch = context.AfterFunc(ctx, func() { _ = f.close() }) // nobody is there to get the error
		return f, nil
	case <-ctx.Done():
		// The agent may still open the file. Then it has to be closed.
		c.trust.lose()
		go func() {
			defer time.AfterFunc(releaseLimit, cancel).Stop()
			if err := <-opened; err == nil {
				_ = f.close()
			}
		}()
		return nil, pathError("open", name, &async.ExecInterruptedError{
			Command: "guest-file-open", Sent: true, Client: c.opts.Engine.Nickname, Err: contexts.Err(ctx),
		})
	}
}

// Name returns the name that was given to Open.
func (f *File) Name() string { return f.name }

// Read reads up to len(b) bytes, with one command. At the end of the file it returns
// io.EOF. If the file has grown, the next Read reads on.
func (f *File) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	read, err := f.read(min(len(b), chunk))
	return copy(b, read), err
}

// read reads up to n bytes. It returns io.EOF if there are none.
func (f *File) read(n int) ([]byte, error) {
	if f.isClosed() {
		return nil, f.error("read", fs.ErrClosed)
	}
	got, err := async.Call[struct {
		BufB64 []byte
	}](f.ctx, f.client, "guest-file-read", map[string]int64{"handle": f.handle, "count": int64(n)})
	switch {
	case err != nil:
		return nil, f.error("read", err)
	case len(got.BufB64) == 0:
		return nil, io.EOF
	case len(got.BufB64) > n:
		return nil, f.error("read", errors.New("the agent has returned more than it was asked for"))
	}
	return got.BufB64, nil
}

// WriteTo reads the rest of the file in large pieces, and writes it to w.
func (f *File) WriteTo(w io.Writer) (n int64, err error) {
	for {
		b, err := f.read(chunk)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		k, err := w.Write(b)
		n += int64(k)
		if err != nil {
			return n, err
		}
	}
}

// Write writes b. The agent may keep it in memory until [File.Sync] or Close.
func (f *File) Write(b []byte) (n int, err error) {
	for n < len(b) {
		if f.isClosed() {
			return n, f.error("write", fs.ErrClosed)
		}
		got, err := async.Call[struct{ Count int }](f.ctx, f.client, "guest-file-write", writeArguments{f.handle, b[n:min(n+chunk, len(b))]})
		if err == nil && (got.Count < 1 || got.Count > len(b)-n) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return n, f.error("write", err)
		}
		n += got.Count
	}
	return n, nil
}

type writeArguments struct {
	Handle int64  `json:"handle"`
	BufB64 []byte `json:"buf-b64"`
}

// ReadFrom reads r to its end in large pieces, and writes them to the file.
func (f *File) ReadFrom(r io.Reader) (n int64, err error) {
	buf := make([]byte, chunk)
	for {
		k, readErr := io.ReadFull(r, buf)
		k, err := f.Write(buf[:k])
		n += int64(k)
		switch {
		case err != nil:
			return n, err
		case readErr == io.EOF || readErr == io.ErrUnexpectedEOF:
			return n, nil
		case readErr != nil:
			return n, readErr
		}
	}
}

// Seek sets the place for the next Read or Write.
func (f *File) Seek(offset int64, whence int) (int64, error) {
	if f.isClosed() {
		return 0, f.error("seek", fs.ErrClosed)
	}
	at, err := qga.GuestFileSeek(f.ctx, f.client, &qga.GuestFileSeekArguments{
		Handle: f.handle, Offset: offset, Whence: qga.GuestFileWhence{Value: new(int64(whence))},
	})
	if err != nil {
		return 0, f.error("seek", err)
	}
	return at.Position, nil
}

// Sync makes the agent pass what it keeps in memory to the guest's system.
func (f *File) Sync() error {
	if f.isClosed() {
		return f.error("sync", fs.ErrClosed)
	}
	return f.error("sync", qga.GuestFileFlush(f.ctx, f.client, &qga.GuestFileFlushArguments{Handle: f.handle}))
}

// Close closes the file in the guest. It works also if the context has ended; it takes 10 s
// at most. The error of a second call is fs.ErrClosed. If Close fails after a Write, what
// was written may be lost.
func (f *File) Close() error {
	f.unwatch()
	return f.close()
}

func (f *File) close() error {
	err := f.error("close", fs.ErrClosed)
	f.closeOnce.Do(func() {
		close(f.closed)
		ctx, cancel := release(f.ctx)
		defer cancel()
		err = f.error("close", f.client.again(ctx, func() error {
			return qga.GuestFileClose(ctx, f.client, &qga.GuestFileCloseArguments{Handle: f.handle})
		}))
	})
	return err
}

func (f *File) isClosed() bool {
	select {
	case <-f.closed:
		return true
	default:
		return false
	}
}

func (f *File) error(op string, err error) error {
	if err == nil {
		return nil
	}
	return pathError(op, f.name, err)
}

func pathError(op, name string, err error) error {
	return newPathError(op, name, guestError(err))
}

// newPathError returns an error that matches an [*fs.PathError]. It is one, unless the
// name of the file, or err, has a character that a terminal obeys.
func newPathError(op, name string, err error) error {
	return harmless.Error(&fs.PathError{Op: op, Path: name, Err: err})
}

// guestError returns err so that it matches the error of package fs that the words of the
// agent mean.
func guestError(err error) error {
	refused, ok := errors.AsType[*async.ExecuteError](err)
	if !ok {
		return err
	}
	if kind := kindOf(refused.Desc); kind != nil {
		return &systemError{err: err, kind: kind}
	}
	return err
}

// kindOf returns the error of package fs that the words of the guest's system mean, or
// nil.
func kindOf(words string) error {
	for _, known := range []struct {
		words string
		kind  error
	}{
		{"No such file or directory", fs.ErrNotExist},
		{"cannot find the file", fs.ErrNotExist}, // Windows
		{"cannot find the path", fs.ErrNotExist},
		{"Permission denied", fs.ErrPermission},
		{"Operation not permitted", fs.ErrPermission},
		{"Access is denied", fs.ErrPermission}, // Windows
		{"File exists", fs.ErrExist},
	} {
		if strings.Contains(words, known.words) {
			return known.kind
		}
	}
	return nil
}

// A systemError is an error of the guest's system.
type systemError struct {
	err  error
	kind error // of package fs
}

func (e *systemError) Error() string   { return e.err.Error() }
func (e *systemError) Unwrap() []error { return []error{e.err, e.kind} }
