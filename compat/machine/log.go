package machine

import (
	"errors"
	"os"
	"sync"
	"time"
)

const (
	// outputSize is how much of the output errors hold.
	outputSize = 8 << 10
	// minLogLimit is the least that a log holds.
	minLogLimit = 4 << 10
)

// A processLog is what a process writes to stdout and stderr.
type processLog interface {
	// output is where the process writes; nil once it was started.
	output() *os.File
	// started says that the process has its output, or never will.
	started()
	// settle returns when all that a process has written that has ended is there.
	settle()
	// tail returns the end, at most so many bytes.
	tail(most int) string
	// close ends the log. What tail returned before, it returns after.
	close() error
}

// An outputLog takes what a process writes to stdout and stderr, from a pipe that
// both share, so that it stays in order. A goroutine reads all the time and never
// waits for anybody else, so the process does not wait either, whatever it writes.
//
// The process could write to a file directly. But then nothing could bound the
// file: to replace a part of a file loses what the process writes meanwhile, and
// there is no moment at which it is known to be silent. The price of the pipe is
// that what is in it is lost when this program ends suddenly. By then the process
// is being killed as well.
type outputLog struct {
	pipe   *os.File      // what the process writes is read here
	theirs *os.File      // the process's end, until it was started; of Launch only
	file   *logFile      // Options.LogFile; of the reader only; nil without
	done   chan struct{} // closed when the reader has ended

	mu      sync.Mutex // guards what follows
	text    logText
	waiting []chan struct{} // closed once what was in the pipe when they were added was taken
}

// openLog opens a log that holds limit bytes, and a copy of it at path unless that
// is empty. failed is told why the copy ends early.
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
		_ = l.theirs.Close() // nothing was written there
		l.theirs = nil
	}
}

// read takes everything, until all who can write have ended or close is called.
func (l *outputLog) read() {
	defer close(l.done)
	defer func() { _ = l.file.close() }() // a failed write was told
	buf := make([]byte, 64<<10)
	for {
		n, err := l.pipe.Read(buf)
		l.take(buf[:n])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			// Somebody waits for what is in the pipe now. What is written meanwhile may
			// have no end.
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

// take adds b to the log. It runs on the reader only.
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

// catchUp returns when all that was written so far is in the log. It reports false at
// once on a system that cannot interrupt a read.
func (l *outputLog) catchUp() bool {
	caught := make(chan struct{})
	l.mu.Lock()
	err := l.pipe.SetReadDeadline(time.Unix(1, 0))
	if err == nil {
		l.waiting = append(l.waiting, caught)
	}
	l.mu.Unlock()
	if err != nil {
		return errors.Is(err, os.ErrClosed) // the reader has ended, or will without us
	}
	select {
	case <-caught:
	case <-l.done:
	}
	return true
}

// settle returns when all that a process has written that has ended is in the log.
func (l *outputLog) settle() {
	if l.catchUp() {
		return
	}
	// The end of file comes, unless somebody else has the process's end of the pipe.
	late := time.NewTimer(endGrace)
	defer late.Stop()
	select {
	case <-l.done:
	case <-late.C:
	}
}

// tail returns the end of the log, at most so many bytes. What the process wrote
// before the call is in it: who has a reply of QEMU's finds in the log what QEMU
// printed before it replied.
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
