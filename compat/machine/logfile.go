package machine

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// A logFile is the copy of the log at Options.LogFile. What was in the file before
// stays. A regular file grows by limit at most: when it would grow further, the log
// in it is written again, without its middle. Anything else, such as a terminal or
// /dev/null, gets everything.
//
// Its methods may be called on a nil logFile. One goroutine at a time may call them.
type logFile struct {
	file   *os.File // nil after a write has failed, or close
	limit  int      // in bytes; negative: no limit
	from   int64    // the offset where the log begins
	size   int64    // the size of the whole file, if no other program writes to it
	buf    []byte   // for the log that is written again; kept to be reused
	failed func(error)
}

func openLogFile(path string, limit int, failed func(error)) (*logFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	l := &logFile{file: f, limit: -1, failed: failed}
	info, err := f.Stat()
	if err != nil {
		return nil, also(err, f.Close())
	}
	if info.Mode().IsRegular() {
		l.limit, l.from, l.size = limit, info.Size(), info.Size()
	}
	return l, nil
}

// write adds b to the file. render appends the whole log to dst, including b; of the
// log's end it appends at most most bytes.
func (l *logFile) write(b []byte, render func(dst []byte, most int) []byte) {
	if l == nil || l.file == nil {
		return
	}
	var err error
	if l.limit >= 0 && l.size-l.from+int64(len(b)) > int64(l.limit) {
		if err = l.restart(); err == nil {
			l.buf = render(l.buf[:0], l.limit/4)
			b = l.buf
		}
	}
	if err == nil {
		_, err = l.file.Write(b)
		l.size += int64(len(b))
	}
	if err != nil {
		l.failed(also(err, l.close()))
	}
}

// errSharedLog says that another program writes to the file.
var errSharedLog = errors.New("another program writes to the file of the log, so its size cannot be limited, and the log is not copied there any more (machine.Options.LogFile)")

// restart removes the log from the file, so that it can be written again. It fails
// if another program has written to the file.
func (l *logFile) restart() error {
	size, err := l.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if size != l.size {
		_, err := fmt.Fprintf(l.file, "\n[%v]\n", errSharedLog)
		return also(errSharedLog, err)
	}
	l.size = l.from
	return l.file.Truncate(l.from)
}

func (l *logFile) close() error {
	if l == nil || l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return f.Close()
}
