package terminal

import (
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// A Completion is what may stand at the cursor.
type Completion struct {
	// Start and End say which part of the text a candidate replaces, in bytes.
	Start, End int

	// Candidates are in the order in which they are shown.
	Candidates []Candidate

	// Hint is shown below the line, such as the type of the value that is expected. It may
	// be "", or have several lines.
	Hint string
}

// A Candidate is one text that may stand at the cursor.
type Candidate struct {
	Text        string // replaces the text from Start to End, with what separates it from the next word
	Label       string // what the menu shows; "" is Text
	Description string // stands beside the label; may be ""
}

func (c Candidate) label() string {
	if c.Label != "" {
		return c.Label
	}
	return strings.TrimRight(c.Text, " ")
}

// common returns the longest text with which all candidates begin.
func (c Completion) common() string {
	if len(c.Candidates) == 0 {
		return ""
	}
	prefix := c.Candidates[0].Text
	for _, candidate := range c.Candidates[1:] {
		for !strings.HasPrefix(candidate.Text, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return strings.ToValidUTF8(prefix, "")
}

// fits reports whether the completion is about a text of that length.
func (c Completion) fits(length int) bool {
	return 0 <= c.Start && c.Start <= c.End && c.End <= length
}

// A menu shows the candidates of a completion below the line. While a candidate is
// selected, it is in the line.
type menu struct {
	Completion
	selected int // -1 while none is selected
	typed    string
	end      int // where the selected candidate ends in the text
	top      int // the first row that is shown
}

// choose selects the candidate that is n further, around the end.
func (m *menu) choose(n int) {
	if m.selected < 0 && n < 0 {
		m.selected = 0
	}
	m.selected = (m.selected + n + len(m.Candidates)) % len(m.Candidates)
}

// most is how many rows of candidates are shown on a screen of that height.
func most(height int) int { return min(max(height/2-2, 1), 12) }

// rows returns what is shown of the menu in that width, which no row exceeds.
func (m *menu) rows(width, height int, st style) []string {
	if len(m.Candidates) == 0 {
		return hintRows(m.Hint, width, height, st)
	}
	described := slices.ContainsFunc(m.Candidates, func(c Candidate) bool { return c.Description != "" })
	longest := 0
	for _, c := range m.Candidates {
		longest = max(longest, ansi.StringWidth(c.label()))
	}
	columns := 1
	if !described {
		columns = max((width+2)/(longest+4), 1)
	}
	total := (len(m.Candidates) + columns - 1) / columns
	shown := min(total, most(height))
	if m.selected >= 0 { // scroll to the selected one
		row := m.selected % total
		m.top = min(max(m.top, row-shown+1), row)
	}
	m.top = min(m.top, total-shown)
	label := min(longest, max(width-4, 1))
	if described {
		label = min(label, max(width/2, 1))
	}
	var rows []string
	for row := m.top; row < m.top+shown; row++ {
		var line strings.Builder
		for column := range columns {
			i := column*total + row
			if i >= len(m.Candidates) {
				break
			}
			line.WriteString(m.cell(i, label, st))
		}
		if d := m.Candidates[row].Description; described && d != "" {
			line.WriteString(st.dim(ansi.Truncate(clean(strings.ReplaceAll(d, "\n", " ")), max(width-label-4, 0), "…")))
		}
		rows = append(rows, ansi.Truncate(line.String(), width, ""))
	}
	if shown < total {
		rows = append(rows, st.dim(ansi.Truncate(fmt.Sprintf("  %d of %d; Tab goes on", min((m.top+shown)*columns, len(m.Candidates)), len(m.Candidates)), width, "…")))
	}
	return append(rows, hintRows(m.Hint, width, 2, st)...)
}

// cell returns the label of a candidate, in a field of that width.
func (m *menu) cell(i, width int, st style) string {
	text := ansi.Truncate(clean(m.Candidates[i].label()), width, "…")
	pad := strings.Repeat(" ", width-ansi.StringWidth(text))
	if i == m.selected {
		return st.selected("> "+text+pad) + "  "
	}
	return "  " + text + pad + "  "
}

// hintRows returns the rows of a hint.
func hintRows(hint string, width, height int, st style) []string {
	if hint == "" {
		return nil
	}
	var rows []string
	for line := range strings.SplitSeq(clean(hint), "\n") {
		if len(rows) == most(height) {
			break
		}
		rows = append(rows, st.dim(ansi.Truncate("  "+line, width, "…")))
	}
	return rows
}
