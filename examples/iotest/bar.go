package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A bar shows on a terminal how far a job is. Elsewhere it writes a line for every
// quarter, so that a log stays short.
type bar struct {
	w        io.Writer
	terminal bool
	start    time.Time
	quarter  int64 // the last one told of, off a terminal
}

func newBar(w io.Writer) *bar {
	b := &bar{w: w, start: time.Now(), quarter: -1}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		b.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return b
}

// interval is how often the bar wants to be shown.
func (b *bar) interval() time.Duration { return 50 * time.Millisecond }

// show shows the bar for that much of a whole, in bytes.
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

// end goes to the next line.
func (b *bar) end() {
	if b.terminal {
		fmt.Fprintln(b.w)
	}
}
