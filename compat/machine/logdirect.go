package machine

import (
	"io"
	"os"
	"sync"
)

// A directLog is a file to which a detached process writes directly, also after this
// program has ended. The file has no size limit; limit is for what tail returns.
type directLog struct {
	path  string
	from  int64 // the offset in the file where this process's log begins
	limit int   // in bytes; negative: no limit

	file *os.File

	mu     sync.Mutex // guards the fields below
	closed bool       // close was called
	kept   []byte     // the log as it was then
}

// openDirectLog opens the log at path. from is the offset in the file where the log
// begins. A negative from is for a new log: it makes the file if there is none, and
// begins at its end.
func openDirectLog(path string, from int64, limit int) (*directLog, error) {
	flags := os.O_APPEND | os.O_RDWR
	if from < 0 {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	if from < 0 {
		if from, err = f.Seek(0, io.SeekEnd); err != nil {
			return nil, also(err, f.Close())
		}
	}
	if limit >= 0 {
		limit = max(limit, minLogLimit)
	}
	return &directLog{path: path, from: from, limit: limit, file: f}, nil
}

func (l *directLog) output() *os.File { return l.file }

func (l *directLog) started() {}

func (l *directLog) settle() {}

func (l *directLog) tail(most int) string {
	text := l.read()
	l.mu.Lock()
	if l.closed {
		text = l.kept
	}
	l.mu.Unlock()
	return string(text[max(0, len(text)-most):])
}

// read reads the log. If the log is longer than limit, read returns its beginning and
// its end. What cannot be read is left out, without an error: most callers put the
// log into the text of another error, which matters more.
func (l *directLog) read() []byte {
	info, err := l.file.Stat()
	if err != nil {
		return nil
	}
	size := max(0, info.Size()-l.from)
	if l.limit < 0 || size <= int64(l.limit) {
		return l.readAt(0, int(size))
	}
	text := logText{limit: l.limit}
	text.write(l.readAt(0, l.limit/4))
	end := l.limit - l.limit/4
	text.write(l.readAt(size-int64(end), end))
	text.dropped = size - int64(l.limit)
	return text.render(nil, -1)
}

func (l *directLog) readAt(offset int64, size int) []byte {
	text := make([]byte, size)
	n, _ := l.file.ReadAt(text, l.from+offset)
	return text[:n]
}

func (l *directLog) close() error {
	text := l.read()
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.closed, l.kept = true, text
	}
	l.mu.Unlock()
	if closed {
		return nil
	}
	return l.file.Close()
}
