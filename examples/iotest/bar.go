package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A bar shows the progress of a job. On a terminal it is one line that changes. In a log
// it is a line for every quarter, so that the log stays short.
type bar struct {
	w        io.Writer
	terminal bool
	start    time.Time
	quarter  int64 // in a log: the last quarter that was written
}

// newBar returns a bar that writes to w.

func newBar(w io.Writer) *bar {
	b := &bar{w: w, start: time.Now(), quarter: -1}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		b.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return b
}

// interval is the time between two calls of show.
func (b *bar) interval() time.Duration { return 50 * time.Millisecond }

// show shows that done of total bytes are copied.
func (b *bar) show(done, total int64) {
	if total <= 0 {
		return
	}
	const width = 40
	full := int(done * width / total)
	rate := float64(done>>20) / max(time.Since(b.start).Seconds(), 0.001)
	line := fmt.Sprintf("  [%s%s] %3d%%  %4d of %d MiB, %.0f MiB/s",
		strings.Repeat("#", full), strings.Repeat(".", width-full), done*100/total, done>>20, total>>20, rate)
	if b.terminal {
		fmt.Fprintf(b.w, "\r%-79s", line)
		return
	}
	if quarter := done * 4 / total; quarter > b.quarter {
		b.quarter = quarter
		fmt.Fprintln(b.w, line)
	}
}

// end ends the bar's line.
func (b *bar) end() {
	if b.terminal {
		fmt.Fprintln(b.w)
	}
}
