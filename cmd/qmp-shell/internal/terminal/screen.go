package terminal

import (
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// A screen draws a frame of a few lines at the end of what the terminal shows, and
// prints text above it. What is printed scrolls as the output of any program does, so it
// stays in the terminal's history, and long lines can be copied.
//
// A row of a frame is at most width-1 columns wide. So the cursor is never after the last
// column, where terminals differ in what they do.
type screen struct {
	w      io.Writer
	width  int // in columns
	height int // in rows

	drawn frame
	out   strings.Builder // what is written next
}

// A frame is what is shown below the printed text.
type frame struct {
	rows     []string // none is wider than the screen's width-1
	row, col int      // of the cursor
}

// draw shows f in place of the last frame.
func (s *screen) draw(f frame) {
	if slices.Equal(f.rows, s.drawn.rows) {
		if f.row != s.drawn.row || f.col != s.drawn.col {
			s.out.WriteString("\r")
			s.vertical(f.row - s.drawn.row)
			s.right(f.col)
			s.drawn = f
			s.flush()
		}
		return
	}
	s.top()
	s.paint(f)
	s.flush()
}

// print prints text above the frame f, which is shown in place of the last one.
func (s *screen) print(text string, f frame) {
	s.top()
	s.out.WriteString(ansi.EraseScreenBelow)
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		s.out.WriteString(line)
		s.out.WriteString("\r\n")
	}
	s.paint(f)
	s.flush()
}

// clear makes the screen empty, and shows f at its top.
func (s *screen) clear(f frame) {
	s.out.WriteString(ansi.EraseEntireScreen + ansi.CursorHomePosition)
	s.paint(f)
	s.flush()
}

// resize notes the size of the terminal. The caller then draws: the terminal has put the
// rows that are wider than it is now on several lines, and redraw finds the first of them.
func (s *screen) resize(width, height int) {
	if width == s.width {
		s.height = height
		return
	}
	row := 0
	for i, text := range s.drawn.rows {
		if i == s.drawn.row {
			break
		}
		row += max((ansi.StringWidth(text)+width-1)/width, 1)
	}
	s.drawn.row = row + s.drawn.col/width
	s.drawn.rows = nil // so that the next draw paints
	s.width, s.height = width, height
}

// leave erases the frame, for the time after the program.
func (s *screen) leave() {
	s.top()
	s.out.WriteString(ansi.EraseScreenBelow)
	s.drawn = frame{}
	s.flush()
}

// top puts the cursor to the first column of the frame's first row.
func (s *screen) top() {
	s.out.WriteString("\r")
	s.vertical(-s.drawn.row)
}

// paint writes f from the first column of its first row on. Nothing of the last frame
// stays.
func (s *screen) paint(f frame) {
	for i, row := range f.rows {
		if i > 0 {
			s.out.WriteString("\r\n")
		}
		s.out.WriteString(row)
		s.out.WriteString(ansi.EraseLineRight)
	}
	s.out.WriteString(ansi.EraseScreenBelow + "\r")
	s.vertical(f.row - max(len(f.rows)-1, 0))
	s.right(f.col)
	s.drawn = f
}

// vertical moves the cursor down, or up if n is negative.
func (s *screen) vertical(n int) {
	switch {
	case n > 0:
		s.out.WriteString(ansi.CursorDown(n))
	case n < 0:
		s.out.WriteString(ansi.CursorUp(-n))
	}
}

// right moves the cursor from the first column to col.
func (s *screen) right(col int) {
	if col > 0 {
		s.out.WriteString("\x1b[" + strconv.Itoa(col) + "C")
	}
}

// flush writes what was put together, in one piece. A terminal that can shows it all at
// once (mode 2026); others ignore that.
func (s *screen) flush() {
	io.WriteString(s.w, ansi.SetModeSynchronizedOutput+ansi.HideCursor+s.out.String()+ansi.ShowCursor+ansi.ResetModeSynchronizedOutput)
	s.out.Reset()
}
