package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/goqmp/qmp/internal/harmless"
)

// CopyOptions configures [Client.CopyOut] and [Client.CopyIn]. A nil *CopyOptions, like the
// zero value, suits most copies.
type CopyOptions struct {
	// Parallel is how many commands are under way at the same time. Zero means 4.
	Parallel int

	// NoCheck leaves out the comparison of checksums.
	NoCheck bool
}

// Copied says what was copied.
type Copied struct {
	Size   int64 // in bytes
	SHA256 [sha256.Size]byte

	// Checked says that the program sha256sum in the guest has computed the same sum. It
	// is false with NoCheck, and if the agent does not execute programs or the guest does
	// not have this one.
	Checked bool
}

// A ChecksumError says that the guest has computed another checksum than this side.
type ChecksumError struct {
	Name  string // in the guest
	Here  string // in hexadecimal
	Guest string
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%s: its SHA-256 in the guest is %s, and of what was copied %s; was it written to meanwhile?", harmless.Line(e.Name), harmless.Line(e.Guest), e.Here)
}

// CopyOut copies a file of the guest to dst, such as an [os.File]. It reads the file in
// pieces through several handles, compares checksums, and closes everything in the guest
// whatever happens. If the file changes meanwhile, the error may be a [*ChecksumError].
func (c *Client) CopyOut(ctx context.Context, dst io.WriterAt, name string, opts *CopyOptions) (Copied, error) {
	first, err := c.Open(ctx, name)
	if err != nil {
		return Copied{}, err
	}
	defer first.Close()
	size, err := first.Seek(0, io.SeekEnd)
	if err != nil {
		return Copied{}, err
	}
	return c.copy(ctx, name, size, opts, "r", func(f *File, at int64, n int) ([]byte, error) {
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			return nil, err
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(f, b); err != nil {
			return nil, fmt.Errorf("read %s at %d: %w", harmless.Line(name), at, err)
		}
		_, err := dst.WriteAt(b, at)
		return b, err
	})
}

// CopyIn copies size bytes of src, such as an [os.File], to a file of the guest, as
// [Client.Create] makes it. It writes the file in pieces through several handles, compares
// checksums, and closes everything in the guest whatever happens. After an error the
// file may be incomplete.
func (c *Client) CopyIn(ctx context.Context, name string, src io.ReaderAt, size int64, opts *CopyOptions) (Copied, error) {
	first, err := c.Create(ctx, name)
	if err != nil {
		return Copied{}, err
	}
	if err := first.Close(); err != nil {
		return Copied{}, err
	}
	return c.copy(ctx, name, size, opts, "r+", func(f *File, at int64, n int) ([]byte, error) {
		b := make([]byte, n)
		if k, err := src.ReadAt(b, at); k < n {
			return nil, err
		}
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			return nil, err
		}
		_, err := f.Write(b)
		return b, err
	})
}

// copy copies a file in pieces. Each worker opens it with mode. piece copies n bytes at the
// offset at, and returns them.
func (c *Client) copy(ctx context.Context, name string, size int64, opts *CopyOptions, mode string, piece func(f *File, at int64, n int) ([]byte, error)) (Copied, error) {
	if opts == nil {
		opts = &CopyOptions{}
	}
	parallel := opts.Parallel
	if parallel <= 0 {
		parallel = 4
	}
	pieces := (size + chunk - 1) / chunk
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sum := newOrderedSum()
	defer context.AfterFunc(ctx, sum.stop)()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(int64(parallel), pieces) {
		workers.Go(func() {
			if err := c.work(ctx, name, size, mode, &next, sum, piece); err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		return Copied{}, context.Cause(ctx)
	}
	copied := Copied{Size: size, SHA256: sum.value()}
	if opts.NoCheck {
		return copied, nil
	}
	err := c.check(ctx, name, &copied)
	return copied, err
}

// work copies pieces until none are left.
func (c *Client) work(ctx context.Context, name string, size int64, mode string, next *atomic.Int64, sum *orderedSum, piece func(f *File, at int64, n int) ([]byte, error)) (err error) {
	f, err := c.OpenFile(ctx, name, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for {
		i := next.Add(1) - 1
		at := i * chunk
		if at >= size {
			return nil
		}
		b, err := piece(f, at, int(min(chunk, size-at)))
		if err != nil {
			return err
		}
		sum.add(i, b)
	}
}

// check compares the checksum with that of the guest, if the guest can compute one.
func (c *Client) check(ctx context.Context, name string, copied *Copied) error {
	out, err := c.Command(ctx, "sha256sum", "--", name).Output()
	if ctx.Err() != nil {
		return err
	}
	guest, _, _ := strings.Cut(strings.TrimPrefix(string(out), `\`), " ") // a backslash marks a name with special characters
	if err != nil || len(guest) != 2*sha256.Size {
		return nil
	}
	if here := fmt.Sprintf("%x", copied.SHA256); here != guest {
		return &ChecksumError{Name: name, Here: here, Guest: guest}
	}
	copied.Checked = true
	return nil
}

// An orderedSum is the checksum of pieces that come in any order.
type orderedSum struct {
	mu      sync.Mutex // guards the fields below
	cond    *sync.Cond // on mu; broadcast after every change
	hash    hash.Hash
	next    int64 // the piece that comes next
	stopped bool
}

func newOrderedSum() *orderedSum {
	s := &orderedSum{hash: sha256.New()}
	s.cond = sync.NewCond(&s.mu)
	return s
}

// add waits until all pieces before piece i are added, and then adds it.
func (s *orderedSum) add(i int64, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.next != i && !s.stopped {
		s.cond.Wait()
	}
	_, _ = s.hash.Write(b) // never fails
	s.next++
	s.cond.Broadcast()
}

// stop ends all waits. The sum means nothing after that.
func (s *orderedSum) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.cond.Broadcast()
}

func (s *orderedSum) value() (sum [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return [sha256.Size]byte(s.hash.Sum(nil))
}
