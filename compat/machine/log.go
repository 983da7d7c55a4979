package machine

import (
	"io"
	"os"
	"sync"
)

const (
	// outputSize is how much of the output errors hold.
	outputSize = 8 << 10
	// keptLog is how much of the log is kept when its file goes.
	keptLog = 1 << 20
)

// An outputLog is what a process writes to stdout and stderr, in a file that
// both share, so that it is in order and nobody has to read along.
type outputLog struct {
	file *os.File
	from int64 // where this process's part begins

	mu   sync.Mutex // guards the fields below
	kept []byte     // of a closed log
	done bool       // the file is closed
}

// openLog opens the log at path, behind what is there.
func openLog(path string) (*outputLog, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	from, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, also(err, f.Close())
	}
	return &outputLog{file: f, from: from}, nil
}

// tail returns the last bytes of the log, at most so many.
func (l *outputLog) tail(most int64) string {
	if l == nil {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return string(l.kept[max(0, int64(len(l.kept))-most):])
	}
	return string(l.read(most))
}

// read reads the end of the file. mu is held. What cannot be read is left out:
// the log is for people, who have a worse problem when they look at it.
func (l *outputLog) read(most int64) []byte {
	info, err := l.file.Stat()
	if err != nil {
		return nil
	}
	from := max(l.from, info.Size()-most) // most is positive, so this does not overflow
	text := make([]byte, max(0, info.Size()-from))
	n, _ := l.file.ReadAt(text, from)
	return text[:n]
}

// close keeps the end of the log and closes the file.
func (l *outputLog) close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return nil
	}
	l.kept, l.done = l.read(keptLog), true
	return l.file.Close()
}
