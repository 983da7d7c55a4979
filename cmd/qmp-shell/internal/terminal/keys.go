package terminal

import (
	"math"
	"strings"

	tea "charm.land/bubbletea/v2"
)

// key does what a key is for.
func (m *model) key(msg tea.KeyPressMsg) tea.Cmd {
	name := msg.String()
	if m.entered && name != "enter" && name != "ctrl+j" {
		m.entered, m.menu = false, nil
	}
	if m.search != nil && m.searchKey(name, msg.Text) {
		return nil
	}
	if m.menu != nil {
		if cmd, done := m.menuKey(name); done {
			return cmd
		}
	}
	before := m.line.text
	if run, ok := edits[name]; ok {
		run(&m.line)
	} else if cmd, ok := m.command(name); ok {
		return cmd
	} else if msg.Text != "" {
		m.line.insert(msg.Text)
	}
	if m.line.text != before {
		m.browser = browser{}
		if m.menu != nil {
			return m.ask(true)
		}
	}
	return nil
}

// edits are the keys that change the line or move the cursor in it, as in other shells.
var edits = map[string]func(*buffer){
	"left":           func(b *buffer) { b.move(b.before()) },
	"ctrl+b":         func(b *buffer) { b.move(b.before()) },
	"right":          func(b *buffer) { b.move(b.after()) },
	"ctrl+f":         func(b *buffer) { b.move(b.after()) },
	"alt+b":          func(b *buffer) { b.move(b.wordStart()) },
	"alt+left":       func(b *buffer) { b.move(b.wordStart()) },
	"ctrl+left":      func(b *buffer) { b.move(b.wordStart()) },
	"alt+f":          func(b *buffer) { b.move(b.wordEnd()) },
	"alt+right":      func(b *buffer) { b.move(b.wordEnd()) },
	"ctrl+right":     func(b *buffer) { b.move(b.wordEnd()) },
	"ctrl+a":         func(b *buffer) { b.move(b.lineStart()) },
	"home":           func(b *buffer) { b.move(b.lineStart()) },
	"ctrl+e":         func(b *buffer) { b.move(b.lineEnd()) },
	"end":            func(b *buffer) { b.move(b.lineEnd()) },
	"alt+<":          func(b *buffer) { b.move(0) },
	"alt+>":          func(b *buffer) { b.move(len(b.text)) },
	"backspace":      func(b *buffer) { b.replace(b.before(), b.pos, "") },
	"ctrl+h":         func(b *buffer) { b.replace(b.before(), b.pos, "") },
	"delete":         func(b *buffer) { b.replace(b.pos, b.after(), "") },
	"ctrl+k":         func(b *buffer) { b.kill(b.pos, max(b.lineEnd(), min(b.after(), b.pos+1))) },
	"ctrl+u":         func(b *buffer) { b.kill(b.lineStart(), b.pos) },
	"ctrl+w":         func(b *buffer) { b.kill(b.argumentStart(), b.pos) },
	"alt+backspace":  func(b *buffer) { b.kill(b.wordStart(), b.pos) },
	"ctrl+backspace": func(b *buffer) { b.kill(b.wordStart(), b.pos) },
	"alt+d":          func(b *buffer) { b.kill(b.pos, b.wordEnd()) },
	"alt+delete":     func(b *buffer) { b.kill(b.pos, b.wordEnd()) },
	"ctrl+y":         (*buffer).yank,
	"ctrl+t":         (*buffer).transpose,
	"ctrl+_":         (*buffer).undo,
	"ctrl+/":         (*buffer).undo,
	"alt+enter":      func(b *buffer) { b.insert("\n") },
}

// command does what the other keys are for. ok is false if the key has no meaning.
func (m *model) command(name string) (cmd tea.Cmd, ok bool) {
	switch name {
	case "enter", "ctrl+j":
		m.enter()
	case "tab":
		return m.ask(false), true
	case "ctrl+c":
		m.interrupt()
	case "ctrl+d":
		if m.line.text == "" {
			m.opts.Handle(Input{Kind: Leave})
		} else {
			m.line.replace(m.line.pos, m.line.after(), "")
		}
	case "up", "ctrl+p":
		if name != "up" || !m.line.up() {
			m.browse(-1)
		}
	case "down", "ctrl+n":
		if name != "down" || !m.line.down() {
			m.browse(1)
		}
	case "ctrl+r":
		entries := m.opts.History.Entries()
		m.menu = nil
		m.search = &search{entries: entries, at: len(entries), saved: state{m.line.text, m.line.pos}}
	case "ctrl+l":
		m.screen.clear(m.frame())
	case "ctrl+z":
		m.screen.leave()
		return tea.Suspend, true
	default:
		return nil, false
	}
	return nil, true
}

// enter ends the line, or begins another one if the text is not complete. After a Tab that
// has no answer yet it waits, so that what is entered does not depend on how fast the server
// answers. A second Enter does not wait.
func (m *model) enter() {
	text := m.line.text
	if q := m.tab; !m.entered && q != nil && *q == (question{m.asked, text, m.line.pos}) {
		m.entered = true
		m.menu = &menu{Completion: Completion{Hint: "waiting for the completion; Enter again enters the line as it is"}, selected: -1}
		return
	}
	m.entered, m.tab = false, nil
	m.menu = nil
	if m.opts.Incomplete != nil && m.opts.Incomplete(text) {
		m.line.move(len(text))
		m.line.insert("\n")
		return
	}
	m.accept(text, "")
	m.opts.Handle(Input{Kind: Line, Text: text})
}

// accept prints the line as it was entered, and makes it empty.
func (m *model) accept(text, end string) {
	m.line.clear()
	m.browser, m.menu, m.search = browser{}, nil, nil
	m.entered, m.tab = false, nil
	m.asked++
	f := layout(m.prompt, text, len(text), math.MaxInt, m.style) // the terminal wraps it, so that it can be copied
	m.print(strings.Join(f.rows, "\n") + end)
}

// interrupt forgets what was typed, or tells the program if there is nothing.
func (m *model) interrupt() {
	if m.line.text != "" {
		m.accept(m.line.text, "^C")
		return
	}
	m.opts.Handle(Input{Kind: Interrupt})
}

// browse shows an older or a newer entry of the history.
func (m *model) browse(n int) {
	m.menu = nil
	if text, ok := m.browser.step(m.opts.History, m.line.text, n); ok {
		m.line.set(text)
	}
}

// paste inserts what was pasted. A line end at its end is left out, so that what was
// pasted can be looked at before it is entered.
func (m *model) paste(text string) {
	if m.search != nil {
		m.search.query += clean(strings.ReplaceAll(text, "\n", " "))
		m.search.look(min(m.search.at, len(m.search.entries)-1), -1)
		return
	}
	m.line.insert(strings.TrimRight(text, "\r\n"))
	m.browser, m.menu = browser{}, nil
	m.entered = false
	m.asked++
}

// searchKey handles a key during a search. It reports false if the key ends the search
// and then means what it means outside of one.
func (m *model) searchKey(name, text string) bool {
	s := m.search
	switch {
	case name == "ctrl+r" || name == "up":
		s.look(s.at-1, -1)
	case name == "ctrl+s" || name == "down":
		s.look(s.at+1, 1)
	case name == "backspace" || name == "ctrl+h":
		if s.query != "" {
			b := buffer{text: s.query, pos: len(s.query)}
			s.query = s.query[:b.before()]
			s.at = len(s.entries)
			s.look(len(s.entries)-1, -1)
		}
	case name == "ctrl+g" || name == "ctrl+c" || name == "esc":
		m.line.text, m.line.pos = s.saved.text, s.saved.pos
		m.search = nil
	case text != "":
		s.query += clean(text)
		s.look(min(s.at, len(s.entries)-1), -1)
	default:
		m.search = nil
		if found := s.shown(); found != "" {
			at := strings.Index(found, s.query)
			m.line.set(found)
			if name != "enter" {
				m.line.move(max(at, 0))
			}
		}
		return false
	}
	return true
}

// menuKey handles a key while there is a menu. done is false if the key means what it
// means without one.
func (m *model) menuKey(name string) (cmd tea.Cmd, done bool) {
	n := len(m.menu.Candidates)
	switch {
	case n > 0 && (name == "tab" || name == "down" || m.menu.selected >= 0 && name == "right"):
		m.choose(1)
	case n > 0 && (name == "shift+tab" || m.menu.selected >= 0 && (name == "up" || name == "left")):
		m.choose(-1)
	case name == "enter" && m.menu.selected >= 0:
		m.menu = nil // the candidate is in the line already
		return m.ask(true), true
	case name == "esc" || name == "ctrl+g":
		m.unchoose()
		m.menu = nil
		m.asked++
	default:
		return nil, false
	}
	return nil, true
}

// choose puts the next candidate into the line.
func (m *model) choose(n int) {
	m.menu.choose(n)
	c := m.menu.Candidates[m.menu.selected]
	m.line.replace(m.menu.Start, m.menu.end, c.Text)
	m.menu.end = m.line.pos
}

// unchoose puts back what was typed.
func (m *model) unchoose() {
	if m.menu.selected >= 0 {
		m.line.replace(m.menu.Start, m.menu.end, m.menu.typed)
	}
}

// ask asks for what may stand at the cursor. With quiet, the line does not change, and
// only the menu is brought up to date.
func (m *model) ask(quiet bool) tea.Cmd {
	m.asked++
	if m.opts.Complete == nil {
		return nil
	}
	text, pos, number := m.line.text, m.line.pos, m.asked
	if m.tab = nil; !quiet {
		m.tab = &question{number, text, pos}
	}
	ctx, complete := m.ctx, m.opts.Complete
	return func() tea.Msg {
		return completedMsg{Completion: complete(ctx, text, pos), number: number, text: text, pos: pos, quiet: quiet}
	}
}

// completed takes the answer to ask, and enters the line if that was waiting for it.
func (m *model) completed(msg completedMsg) {
	answered := m.tab != nil && m.tab.number == msg.number
	m.complete(msg)
	if !answered {
		return
	}
	m.tab = nil
	if m.entered {
		m.enter()
	}
}

// complete completes the line, or shows the menu.
func (m *model) complete(msg completedMsg) {
	if msg.number != m.asked || msg.text != m.line.text || msg.pos != m.line.pos || m.search != nil || !msg.fits(len(m.line.text)) {
		return // something else was typed meanwhile
	}
	typed := m.line.text[msg.Start:msg.End]
	prefix := msg.common()
	grown := len(prefix) > len(typed) && strings.HasPrefix(strings.ToLower(prefix), strings.ToLower(typed))
	m.menu = nil
	switch {
	case len(msg.Candidates) == 0 && msg.Hint == "":
	case len(msg.Candidates) == 1 && !msg.quiet:
		m.line.replace(msg.Start, msg.End, prefix)
	case !msg.quiet && grown:
		m.line.replace(msg.Start, msg.End, prefix)
		msg.End = m.line.pos
		fallthrough
	default:
		m.menu = &menu{Completion: msg.Completion, selected: -1, typed: m.line.text[msg.Start:msg.End], end: msg.End}
	}
}
