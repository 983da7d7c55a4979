package qmptest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"
)

func TestPipeIsAConn(t *testing.T) {
	for name, size := range map[string]int{"default": DefaultPipeSize, "small": 7} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				a, b := PipeSize(size)
				return a, b, func() {
					a.Close()
					b.Close()
				}, nil
			})
		})
	}
}

// These tests hold the Pipe (pipe.go).

// wantErr requires err to be a *net.OpError around target. For io.EOF and nil it
// requires target itself.
func wantErr(t *testing.T, err, target error) {
	t.Helper()
	if target == nil || target == io.EOF {
		if err != target {
			t.Errorf("error %v, want %v", err, target)
		}
		return
	}
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || !errors.Is(err, target) {
		t.Errorf("error %v, want an OpError around %v", err, target)
		return
	}
	if op.Timeout() != (target == os.ErrDeadlineExceeded) {
		t.Errorf("Timeout() of %v is %v", err, op.Timeout())
	}
}

func TestPipeIsBuffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := PipeSize(4)
		defer a.Close()
		defer b.Close()
		if n, err := a.Write([]byte("abcd")); n != 4 || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
		a.SetWriteDeadline(time.Now().Add(time.Minute))
		start := time.Now()
		n, err := a.Write([]byte("e"))
		if n != 0 || time.Since(start) != time.Minute {
			t.Errorf("Write = %d after %v", n, time.Since(start))
		}
		wantErr(t, err, os.ErrDeadlineExceeded)

		a.SetWriteDeadline(time.Time{})
		var wg sync.WaitGroup
		wg.Go(func() {
			if n, err := a.Write([]byte("efghijklmn")); n != 10 || err != nil {
				t.Errorf("Write = %d, %v", n, err)
			}
			a.CloseWrite()
		})
		got, err := io.ReadAll(b)
		if string(got) != "abcdefghijklmn" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		wg.Wait()
	})
}

func TestPipePartialWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			stop func(a, b *PipeConn)
			want error
		}{
			"deadline":   {func(a, _ *PipeConn) { a.SetDeadline(time.Now()) }, os.ErrDeadlineExceeded},
			"close":      {func(a, _ *PipeConn) { a.Close() }, net.ErrClosed},
			"peer close": {func(_, b *PipeConn) { b.Close() }, syscall.EPIPE},
			"peer reset": {func(_, b *PipeConn) { b.Reset() }, syscall.ECONNRESET},
			"half close": {func(a, _ *PipeConn) { a.CloseWrite() }, syscall.EPIPE},
		} {
			a, b := PipeSize(3)
			done := make(chan struct{})
			go func() {
				defer close(done)
				n, err := a.Write([]byte("abcdef"))
				if n != 3 {
					t.Errorf("%s: wrote %d bytes", name, n)
				}
				wantErr(t, err, tt.want)
			}()
			synctest.Wait()
			tt.stop(a, b)
			<-done
			a.Close()
			b.Close()
		}
	})
}

func TestPipeBlockedReadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			stop func(a, b *PipeConn)
			want error
		}{
			"deadline":        {func(a, _ *PipeConn) { a.SetReadDeadline(time.Now().Add(time.Hour)) }, os.ErrDeadlineExceeded},
			"close":           {func(a, _ *PipeConn) { a.Close() }, net.ErrClosed},
			"reset":           {func(a, _ *PipeConn) { a.Reset() }, net.ErrClosed},
			"peer close":      {func(_, b *PipeConn) { b.Close() }, io.EOF},
			"peer half close": {func(_, b *PipeConn) { b.CloseWrite() }, io.EOF},
			"peer reset":      {func(_, b *PipeConn) { b.Reset() }, syscall.ECONNRESET},
		} {
			t.Log(name)
			a, b := Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, err := a.Read(make([]byte, 1))
				wantErr(t, err, tt.want)
			}()
			synctest.Wait()
			tt.stop(a, b)
			<-done
			a.Close()
			b.Close()
		}
	})
}

// As with sockets, the reader gets the buffered bytes before the end.
func TestPipeEndComesAfterData(t *testing.T) {
	for name, tt := range map[string]struct {
		end           func(*PipeConn) error
		reads, writes error
	}{
		"close": {(*PipeConn).Close, io.EOF, syscall.EPIPE},
		"reset": {(*PipeConn).Reset, syscall.ECONNRESET, syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := Pipe()
			defer a.Close()
			b.Write([]byte("last words"))
			if err := tt.end(b); err != nil {
				t.Error(err)
			}
			wantErr(t, tt.end(b), net.ErrClosed)
			wantErr(t, b.CloseWrite(), net.ErrClosed)
			wantErr(t, b.SetDeadline(time.Time{}), net.ErrClosed)
			got, err := io.ReadAll(a)
			if string(got) != "last words" {
				t.Errorf("read %q", got)
			}
			if tt.reads != io.EOF {
				wantErr(t, err, tt.reads)
			}
			_, err = a.Write([]byte("x"))
			wantErr(t, err, tt.writes)
		})
	}
}

func TestPipeResetAfterHalfClose(t *testing.T) {
	a, b := Pipe()
	defer a.Close()
	b.CloseWrite()
	b.Reset()
	_, err := a.Read(make([]byte, 1))
	wantErr(t, err, syscall.ECONNRESET)
}

func TestPipeDeadlineMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		defer a.Close()
		defer b.Close()
		start := time.Now()
		a.SetReadDeadline(start.Add(time.Second))
		a.SetReadDeadline(start.Add(time.Minute)) // this stops the first timer
		go func() {
			timer := time.NewTimer(30 * time.Second)
			<-timer.C
			a.SetReadDeadline(start.Add(time.Hour)) // this applies to the Read that waits, too
		}()
		_, err := a.Read(make([]byte, 1))
		wantErr(t, err, os.ErrDeadlineExceeded)
		if d := time.Since(start); d != time.Hour {
			t.Errorf("expired after %v", d)
		}
		// After the deadline Read fails even if there are bytes.
		b.Write([]byte("x"))
		_, err = a.Read(make([]byte, 1))
		wantErr(t, err, os.ErrDeadlineExceeded)
		a.SetReadDeadline(time.Time{})
		if n, err := a.Read(make([]byte, 5)); n != 1 || err != nil {
			t.Errorf("Read = %d, %v", n, err)
		}
	})
}

// The bytes of concurrent writes that have to wait do not mix.
func TestPipeWritesAreWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := PipeSize(3)
		defer b.Close()
		var wg sync.WaitGroup
		for _, c := range "abc" {
			wg.Go(func() { a.Write(bytes.Repeat([]byte{byte(c)}, 100)) })
		}
		go func() {
			wg.Wait()
			a.Close()
		}()
		got, _ := io.ReadAll(b)
		for i := range got {
			if got[i] != got[i/100*100] {
				t.Fatalf("mixed: %s", got)
			}
		}
		if len(got) != 300 {
			t.Errorf("%d bytes", len(got))
		}
		// Close ends a write that waits for its turn, too.
		c, d := PipeSize(1)
		defer d.Close()
		wg.Go(func() {
			_, err := c.Write([]byte("xxx"))
			wantErr(t, err, net.ErrClosed)
		})
		synctest.Wait()
		wg.Go(func() {
			_, err := c.Write([]byte("yyy"))
			wantErr(t, err, net.ErrClosed)
		})
		synctest.Wait()
		c.Close()
		wg.Wait()
	})
}

func TestPipeDial(t *testing.T) {
	s := Start(t, &Options{Network: Memory})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial with an ended context: %v", err)
	}
	s.Close()
	_, err := s.Dial(t.Context())
	wantErr(t, err, syscall.ECONNREFUSED)
}
