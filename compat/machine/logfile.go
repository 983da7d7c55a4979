package machine

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// A logFile is the file in which the user wants the log. What was in it before
// stays. A regular file grows by limit at most: then the middle of the log is
// taken out of it, as it is out of the log. Anything else, such as a terminal or
// /dev/null, gets everything.
type logFile struct {
	file   *os.File // nil once it was given up
	limit  int      // in bytes; negative: no limit
	from   int64    // where the log begins
	size   int64    // the whole file's, if nobody else writes there
	anew   []byte   // what restart has written, for its room
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

// write adds b. render appends the whole log to dst, b included, with at most so
// many bytes of its end.
func (l *logFile) write(b []byte, render func(dst []byte, most int) []byte) {
	if l == nil || l.file == nil {
		return
	}
	var err error
	if l.limit >= 0 && l.size-l.from+int64(len(b)) > int64(l.limit) {
		if err = l.restart(); err == nil {
			l.anew = render(l.anew[:0], l.limit/4)
			b = l.anew
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

// errSharedLog is why a log's file was given up.
var errSharedLog = errors.New("another writer uses the file of the log, so that its size cannot be limited: nothing more is written to it (machine.Options.LogFile)")

// restart removes the log from the file, to be written anew.
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
