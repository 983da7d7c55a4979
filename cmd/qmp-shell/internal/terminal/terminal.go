// Package terminal is the line editor of qmp-shell. It prints above the line that is being
// typed without disturbing it, completes with a menu, and keeps a history.
//
// It stands on Bubble Tea, which reads keys, puts the terminal into raw mode and back, and
// notices a change of its size. A screen of its own draws: see screen.
package terminal

import (
	"context"
	"errors"
	"os"
	"runtime"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// A Kind is what a person did.
type Kind int

const (
	Line      Kind = iota // entered a line
	Interrupt             // pressed Ctrl-C where nothing was typed
	Leave                 // pressed Ctrl-D where nothing was typed, or the input has ended
)

// An Input is what a person did.
type Input struct {
	Kind Kind
	Text string // of a Line, without the line end at its end
}

// Options configures a terminal.
type Options struct {
	In, Out *os.File
	Environ []string // such as TERM=xterm; nil is os.Environ

	// Color allows colors and emphasis.
	Color bool

	// Prompt stands before the line, with a space at its end. [UI.SetPrompt] changes it.
	Prompt string

	// Handle is called for each Input, one after the other. It must return at once.
	Handle func(Input)

	// Complete returns what may stand at the cursor, which is at pos in bytes. It may take
	// time: typing goes on meanwhile, and an answer that comes too late is dropped. An Enter
	// right after Tab waits for the answer, unless Enter is pressed again. Complete may be
	// called again before it has returned. Nil completes nothing.
	Complete func(ctx context.Context, text string, pos int) Completion

	// Incomplete reports whether a text needs another line, such as an open transaction.
	// Enter begins one then. Nil is never.
	Incomplete func(text string) bool

	// History has the lines of before. Handle's caller adds to it. Nil is an empty one.
	History *History
}

// A UI is where a person types and reads. Its methods may be called concurrently. Before Run
// they may wait for it; after its end they do nothing.
type UI interface {
	// Run reads what is typed until Close, or until ctx ends, and gives the terminal back.
	// It returns an error if the terminal cannot be used.
	Run(ctx context.Context) error

	// Print prints whole lines above the line that is being typed. The text may have
	// colors. Line ends at its end do not count.
	Print(text string)

	// SetPrompt changes the prompt.
	SetPrompt(prompt string)

	// SetStatus sets what stands above the prompt: render returns its rows for a width in
	// columns. It is called by another goroutine, any number of times. Nil is nothing.
	SetStatus(render func(width int) []string)

	// Close ends Run. What was printed before stays.
	Close()
}

// New returns a UI: a line editor, if In and Out are terminals that can move the cursor,
// and otherwise one that reads lines and prints lines.
func New(opts Options) UI {
	if opts.Environ == nil {
		opts.Environ = os.Environ()
	}
	if opts.History == nil {
		opts.History = &History{}
	}
	if opts.Handle == nil {
		opts.Handle = func(Input) {}
	}
	tty := term.IsTerminal(int(opts.In.Fd())) && term.IsTerminal(int(opts.Out.Fd()))
	switch name := getenv(opts.Environ, "TERM"); {
	case !tty, name == "dumb", name == "" && needsTERM:
		return newPlain(opts, tty)
	}
	return newEditor(opts)
}

// needsTERM says that a terminal without a TERM is not known to move its cursor.
const needsTERM = runtime.GOOS != "windows"

// getenv returns a variable of an environment.
func getenv(environ []string, name string) (value string) {
	for _, v := range environ {
		if len(v) > len(name) && v[:len(name)] == name && v[len(name)] == '=' {
			value = v[len(name)+1:] // the last one counts
		}
	}
	return value
}

// An editor is a UI with a line editor.
type editor struct {
	program *tea.Program
	model   *model
	cancel  context.CancelFunc
}

func newEditor(opts Options) *editor {
	ctx, cancel := context.WithCancel(context.Background())
	m := &model{
		ctx:    ctx,
		opts:   opts,
		screen: &screen{w: opts.Out},
		style:  style{color: opts.Color},
		prompt: opts.Prompt,
	}
	return &editor{
		model:  m,
		cancel: cancel,
		program: tea.NewProgram(m,
			tea.WithInput(opts.In),
			tea.WithOutput(quiet{opts.Out}),
			tea.WithEnvironment(opts.Environ),
			tea.WithoutSignalHandler(),
			tea.WithFPS(1)),
	}
}

// quiet is a terminal that Bubble Tea may put into raw mode and ask for its size, but not
// draw on: what it writes is dropped.
type quiet struct{ *os.File }

func (quiet) Write(p []byte) (int, error) { return len(p), nil }

func (quiet) WriteString(s string) (int, error) { return len(s), nil }

func (e *editor) Run(ctx context.Context) error {
	defer e.cancel()
	stop := context.AfterFunc(ctx, e.Close)
	defer stop()
	out := e.model.opts.Out
	out.WriteString(ansi.SetModeBracketedPaste)
	_, err := e.program.Run()
	e.model.screen.leave()
	out.WriteString(ansi.ResetModeBracketedPaste)
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		err = nil
	}
	return err
}

func (e *editor) Print(text string) { e.program.Send(printMsg{text}) }

func (e *editor) SetPrompt(prompt string) { e.program.Send(promptMsg{prompt}) }

func (e *editor) SetStatus(render func(width int) []string) { e.program.Send(statusMsg{render}) }

func (e *editor) Close() { e.program.Quit() }
