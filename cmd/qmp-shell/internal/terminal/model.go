package terminal

import (
	"context"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// A model is the state of a terminal. It belongs to the goroutine of Bubble Tea, which
// calls Update for one message after another.
type model struct {
	ctx    context.Context // of questions for completions
	opts   Options
	screen *screen
	style  style

	prompt string
	status func(width int) []string // what stands above the prompt
	sized  bool                     // the size of the terminal is known
	early  []string                 // what is to be printed when it is

	line    buffer
	browser browser
	search  *search   // nil while there is no search
	menu    *menu     // nil while there is none
	asked   int       // counts questions for completions, so that only the newest answer counts
	tab     *question // nil if none is open
	entered bool      // Enter was pressed after Tab; the line waits for the answer to tab
}

// A question is that of a Tab, which was not answered yet.
type question struct {
	number int
	text   string
	pos    int
}

// The messages of a Terminal to its model.
type (
	printMsg  struct{ text string }
	promptMsg struct{ text string }
	statusMsg struct{ render func(width int) []string }

	// completedMsg is the answer to the question of that number.
	completedMsg struct {
		Completion
		number int
		text   string // the line that was asked about
		pos    int
		quiet  bool // the menu is only brought up to date
	}
)

func (m *model) Init() tea.Cmd { return nil }

// View returns nothing: the screen draws by itself.
func (m *model) View() tea.View { return tea.View{} }

func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.resize(msg.Width, msg.Height)
	case printMsg:
		m.print(msg.text)
	case promptMsg:
		m.prompt = msg.text
	case statusMsg:
		m.status = msg.render
	case completedMsg:
		m.completed(msg)
	case tea.PasteMsg:
		m.paste(msg.Content)
	case tea.KeyPressMsg:
		cmd = m.key(msg)
	case tea.ResumeMsg:
		m.screen.out.WriteString(ansi.SetModeBracketedPaste)
		m.screen.drawn = frame{}
	}
	if m.sized {
		m.screen.draw(m.frame())
	}
	return m, cmd
}

func (m *model) resize(width, height int) {
	if width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	if !m.sized {
		m.sized = true
		m.screen.width, m.screen.height = width, height
		for _, text := range m.early {
			m.print(text)
		}
		m.early = nil
		return
	}
	m.screen.resize(width, height)
}

// print prints text above the line that is being typed.
func (m *model) print(text string) {
	if !m.sized {
		m.early = append(m.early, text)
		return
	}
	m.screen.print(text, m.frame())
}

// frame returns what is to be shown.
func (m *model) frame() frame {
	width, height := max(m.screen.width-1, 1), max(m.screen.height-1, 1)
	var above, below []string
	if m.status != nil {
		for _, row := range m.status(width) {
			above = append(above, ansi.Truncate(row, width, "…"))
		}
	}
	input := m.input(width)
	if m.menu != nil {
		below = m.menu.rows(width, height, m.style)
	}
	// Where there is not room for everything, the line that is typed comes first.
	if n := max(height-len(input.rows), 0); len(below) > n {
		below = below[:n]
	}
	if n := max(height-len(input.rows)-len(below), 0); len(above) > n {
		above = above[len(above)-n:]
	}
	if n := len(input.rows); n > height {
		first := min(max(input.row-height/2, 0), n-height)
		input.rows, input.row = input.rows[first:first+height], input.row-first
	}
	rows := append(above, input.rows...)
	return frame{rows: append(rows, below...), row: len(above) + input.row, col: input.col}
}

// input returns the rows of the prompt and of what was typed.
func (m *model) input(width int) frame {
	prompt, text, pos := m.prompt, m.line.text, m.line.pos
	if s := m.search; s != nil {
		prompt = "(search: " + s.query + ") "
		if s.failed {
			prompt = "(nothing found: " + s.query + ") "
		}
		text = s.shown()
		pos = max(strings.Index(text, s.query), 0)
	}
	return layout(prompt, text, pos, width, m.style)
}

// layout puts a prompt and a text on rows of a width. A text of several lines has marks
// before all lines but the first, below the prompt.
func layout(prompt, text string, pos, width int, st style) frame {
	if ansi.StringWidth(prompt) > width/3*2 {
		prompt = ansi.Truncate(prompt, max(width/3*2, 1), "… ")
	}
	indent := ansi.StringWidth(prompt)
	mark := strings.Repeat(".", max(min(indent-1, 3), 0))
	mark = strings.Repeat(" ", max(indent-len(mark)-1, 0)) + mark + " "
	f := frame{}
	var row strings.Builder
	row.WriteString(st.bold(prompt))
	col, at := indent, 0
	wrap := func(head string) {
		f.rows = append(f.rows, row.String())
		row.Reset()
		row.WriteString(head)
	}
	for {
		if at == pos {
			f.row, f.col = len(f.rows), col
		}
		if at == len(text) {
			break
		}
		c := first(text[at:])
		w := ansi.StringWidth(c)
		switch {
		case c == "\n":
			wrap(st.dim(mark))
			col = ansi.StringWidth(mark)
		case col+w > width && col > 0:
			wrap("")
			col = 0
			if at == pos {
				f.row, f.col = len(f.rows), 0
			}
			fallthrough
		default:
			row.WriteString(c)
			col += w
		}
		at += len(c)
	}
	if col >= width && pos == len(text) { // the cursor needs a place after the last character
		wrap("")
		f.row, f.col = len(f.rows), 0
	}
	f.rows = append(f.rows, row.String())
	return f
}
