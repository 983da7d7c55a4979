//go:build unix

// Package ttytest is a terminal for tests: a pseudo-terminal whose screen a test can read
// and whose keyboard it can type on. Waits are for what the screen shows, and never for a
// time.
package ttytest

import (
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// limit is how long a wait may take before the test fails. It is far more than any wait
// takes on a machine that is busy.
const limit = 30 * time.Second

// A Terminal is a pseudo-terminal with a screen. Its methods are for the test's goroutine.
type Terminal struct {
	// TTY is the end for the program: its standard input and output.
	TTY *os.File

	t   testing.TB
	ptm *os.File

	mu      sync.Mutex
	changed *sync.Cond // the screen has changed, or the program's end is closed
	screen  *vt.Emulator
	raw     strings.Builder // everything that was written
	ended   bool
}

// New returns a terminal of that size, which is closed when the test is over.
func New(t testing.TB, width, height int) *Terminal {
	t.Helper()
	ptm, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	term := &Terminal{TTY: tty, t: t, ptm: ptm, screen: vt.NewEmulator(width, height)}
	term.changed = sync.NewCond(&term.mu)
	if err := pty.Setsize(ptm, &pty.Winsize{Cols: uint16(width), Rows: uint16(height)}); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		term.read()
	}()
	answers := make(chan struct{})
	go func() { // what a real terminal answers to questions
		defer close(answers)
		io.Copy(io.Discard, term.screen)
	}()
	t.Cleanup(func() {
		ptm.WriteString("\n") // nothing else ends a read of a terminal that still waits for a line
		tty.Close()
		ptm.Close()
		<-done
		term.screen.InputPipe().(io.Closer).Close()
		<-answers
	})
	return term
}

// read shows what the program writes.
func (term *Terminal) read() {
	b := make([]byte, 32<<10)
	for {
		n, err := term.ptm.Read(b)
		term.mu.Lock()
		term.raw.Write(b[:n])
		term.screen.Write(b[:n])
		term.ended = err != nil
		term.changed.Broadcast()
		term.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Type types text. "\r" is Enter, "\x03" is Ctrl-C, and so on.
func (term *Terminal) Type(text string) {
	term.t.Helper()
	if _, err := term.ptm.WriteString(text); err != nil {
		term.t.Fatal(err)
	}
}

// Keys that are not one character.
const (
	Enter    = "\r"
	Tab      = "\t"
	ShiftTab = "\x1b[Z"
	Up       = "\x1b[A"
	Down     = "\x1b[B"
	Right    = "\x1b[C"
	Left     = "\x1b[D"
	CtrlC    = "\x03"
	CtrlD    = "\x04"
	CtrlR    = "\x12"
)

// Resize changes the size of the terminal, as a person does with a window. The signal
// goes to this process: a program under test has the terminal, but not its session.
func (term *Terminal) Resize(width, height int) {
	term.t.Helper()
	term.mu.Lock()
	term.screen.Resize(width, height)
	term.mu.Unlock()
	if err := pty.Setsize(term.ptm, &pty.Winsize{Cols: uint16(width), Rows: uint16(height)}); err != nil {
		term.t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		term.t.Fatal(err)
	}
}

// A Screen is what a terminal shows at one moment.
type Screen struct {
	Rows     []string // without white space at their ends
	Row, Col int      // of the cursor
	History  []string // rows that were scrolled away
}

// Text returns everything, the rows that were scrolled away first.
func (s Screen) Text() string {
	return strings.TrimRight(strings.Join(append(slices.Clone(s.History), s.Rows...), "\n"), "\n")
}

// Contains reports whether a row has text in it. Rows that were scrolled away count.
func (s Screen) Contains(text string) bool { return strings.Contains(s.Text(), text) }

// Line returns the row with the cursor.
func (s Screen) Line() string { return s.Rows[s.Row] }

// Screen returns what the terminal shows now.
func (term *Terminal) Screen() Screen {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.look()
}

// look returns what the terminal shows. mu is held.
func (term *Terminal) look() Screen {
	var s Screen
	for _, line := range term.screen.Scrollback().Lines() {
		s.History = append(s.History, strings.TrimRight(line.String(), " "))
	}
	for row := range strings.SplitSeq(term.screen.String(), "\n") {
		s.Rows = append(s.Rows, strings.TrimRight(row, " "))
	}
	for len(s.Rows) < term.screen.Height() {
		s.Rows = append(s.Rows, "")
	}
	at := term.screen.CursorPosition()
	s.Row, s.Col = at.Y, at.X
	return s
}

// Wait waits until the screen is as the test wants it, and returns it. what says what is
// waited for.
func (term *Terminal) Wait(what string, ok func(Screen) bool) Screen {
	term.t.Helper()
	late := false
	timer := time.AfterFunc(limit, func() {
		term.mu.Lock()
		defer term.mu.Unlock()
		late = true
		term.changed.Broadcast()
	})
	defer timer.Stop()
	term.mu.Lock()
	defer term.mu.Unlock()
	for {
		s := term.look()
		if ok(s) {
			return s
		}
		if late || term.ended {
			term.t.Fatalf("the screen does not show %s, but (cursor at row %d, column %d)\n%s", what, s.Row, s.Col, s.Text())
		}
		term.changed.Wait()
	}
}

// WaitFor waits until a row has text in it.
func (term *Terminal) WaitFor(text string) Screen {
	term.t.Helper()
	return term.Wait("the text "+text, func(s Screen) bool { return s.Contains(text) })
}

// WaitLine waits until the row with the cursor is line, without the cursor's place.
func (term *Terminal) WaitLine(line string) Screen {
	term.t.Helper()
	return term.Wait("the line "+line, func(s Screen) bool { return s.Line() == strings.TrimRight(line, " ") })
}

// Raw returns everything that the program has written.
func (term *Terminal) Raw() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.raw.String()
}
