package machine

import (
	"errors"
	"os"
	"sync"
	"time"
)

const (
	// outputSize is how much of the output an error holds, in bytes.
	outputSize = 8 << 10
	// minLogLimit is the smallest limit of a log, in bytes.
	minLogLimit = 4 << 10
)

// A processLog is what a process writes to stdout and stderr. output and started
// belong to the goroutine that starts the process. The other methods may be called
// concurrently.
type processLog interface {
	// output returns the file to which the process is to write. It is nil after
	// started.
	output() *os.File
	// started says that the process was started, or that its start has failed.
	started()
	// settle is for a process that has ended. It returns when all that the process
	// has written is in the log.
	settle()
	// tail returns the end of the log, at most so many bytes.
	tail(most int) string
	// close ends the log. tail returns the same afterwards as before.
	close() error
}

// An outputLog takes what a process writes to stdout and stderr. Both are the same
// pipe, so the output stays in order. A goroutine, the reader, reads the pipe all the
// time and never waits for other goroutines. So the process never has to wait,
// however much it writes.
//
// The process could also write to a file directly. But the file could not be kept
// within a limit: whoever cuts a part out of it loses what the process writes
// meanwhile, and nobody can know when the process is silent. The disadvantage of the
// pipe is that its contents are lost if this program ends suddenly. But then the
// process is killed as well.
type outputLog struct {
	pipe   *os.File      // the end that the reader reads
	theirs *os.File      // the process's end; nil after started; only the goroutine of Launch uses it
	file   *logFile      // Options.LogFile, or nil; only the reader uses it
	done   chan struct{} // closed when the reader has ended

	mu   sync.Mutex // guards the fields below
	text logText
	// waiting has a channel for each call of catchUp. The reader closes it when it
	// has taken all that was in the pipe when the channel was added.
	waiting []chan struct{}
}

// openLog opens a log of at most limit bytes. Unless path is empty, the log is also
// copied to the file at path. If writing that file fails, the copy ends and failed is
// called with the error.
func openLog(path string, limit int, failed func(error)) (*outputLog, error) {
	if limit >= 0 {
		limit = max(limit, minLogLimit)
	}
	l := &outputLog{text: logText{limit: limit}, done: make(chan struct{})}
	var err error
	if path != "" {
		if l.file, err = openLogFile(path, limit, failed); err != nil {
			return nil, err
		}
	}
	if l.pipe, l.theirs, err = os.Pipe(); err != nil {
		return nil, also(err, l.file.close())
	}
	go l.read()
	return l, nil
}

func (l *outputLog) output() *os.File { return l.theirs }

func (l *outputLog) started() {
	if l.theirs != nil {
		_ = l.theirs.Close() // this program has written nothing to it
		l.theirs = nil
	}
}

// read is the reader. It takes all output until every process that holds the other
// end of the pipe has ended, or close is called.
func (l *outputLog) read() {
	defer close(l.done)
	defer func() { _ = l.file.close() }() // a failed write was reported to failed
	buf := make([]byte, 64<<10)
	for {
		n, err := l.pipe.Read(buf)
		l.take(buf[:n])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			// catchUp has interrupted the read, and waits for what is in the pipe
			// now. The process may write without a pause: so the reader takes no
			// more than a full pipe before it answers.
			l.mu.Lock()
			waiting := l.waiting
			l.waiting = nil
			_ = l.pipe.SetReadDeadline(time.Time{})
			l.mu.Unlock()
			for left := maxPipe; left > 0; left -= n {
				if n = readNow(l.pipe, buf); n <= 0 {
					break
				}
				l.take(buf[:n])
			}
			for _, caught := range waiting {
				close(caught)
			}
		case err != nil:
			return
		}
	}
}

// take adds b to the log. Only the reader calls it.
func (l *outputLog) take(b []byte) {
	if len(b) == 0 {
		return
	}
	l.mu.Lock()
	l.text.write(b)
	l.mu.Unlock()
	l.file.write(b, func(dst []byte, most int) []byte {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.text.render(dst, most)
	})
}

// catchUp returns when all that was written before the call is in the log. It does so
// by a read deadline in the past, which interrupts the reader. On a system that cannot
// interrupt a read it returns false at once.
func (l *outputLog) catchUp() bool {
	caught := make(chan struct{})
	l.mu.Lock()
	err := l.pipe.SetReadDeadline(time.Unix(1, 0))
	if err == nil {
		l.waiting = append(l.waiting, caught)
	}
	l.mu.Unlock()
	if err != nil {
		return errors.Is(err, os.ErrClosed) // close was called, and ends the reader
	}
	select {
	case <-caught:
	case <-l.done:
	}
	return true
}

func (l *outputLog) settle() {
	if l.catchUp() {
		return
	}
	// The reader ends at the end of file. That may take long: another process may
	// have inherited the process's end of the pipe.
	late := time.NewTimer(endGrace)
	defer late.Stop()
	select {
	case <-l.done:
	case <-late.C:
	}
}

// tail returns the end of the log, at most so many bytes. It has all that the process
// wrote before the call. So a caller that has got a reply from QEMU finds in the log
// what QEMU printed before it sent the reply.
func (l *outputLog) tail(most int) string {
	l.catchUp()
	l.mu.Lock()
	text := l.text.render(nil, -1)
	l.mu.Unlock()
	return string(text[max(0, len(text)-most):])
}

func (l *outputLog) close() error {
	l.started()
	err := l.pipe.Close()
	<-l.done
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
