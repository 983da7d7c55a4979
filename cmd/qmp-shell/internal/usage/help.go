package usage

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// Help returns what --help prints for a command, or for the whole program if node is its
// root, in lines of at most width characters.
func Help(node *kong.Node, width int) string {
	w := &writer{width: max(50, min(width, 100))}
	root := node
	for root.Parent != nil {
		root = root.Parent
	}
	if node == shell(root) {
		node = root
	}
	if node == root {
		for i, f := range forms {
			lead := "Usage: "
			if i > 0 {
				lead = "       "
			}
			w.text(lead+root.Name+" "+f[0], "")
			w.text("           "+f[1], "           ")
		}
		w.text("", "")
		w.text(about, "")
	} else {
		w.text("Usage: "+root.Name+" [OPTION ...] "+synopsis(node), "           ")
		w.text("", "")
		w.text(node.Help, "")
	}
	if list := commands(node); len(list) > 0 {
		w.title("Commands")
		for _, c := range list {
			w.item(c.Name, c.Help)
		}
	}
	s := subject(node)
	if len(s.Positional) > 0 {
		w.title("Arguments")
		for _, p := range s.Positional {
			w.item(strings.ToUpper(p.Name), p.Help+defaultOf(p))
		}
	}
	for _, g := range groups(s) {
		w.title(g.title)
		for _, f := range g.flags {
			w.item(option(f), f.Help+defaultOf(f.Value))
		}
	}
	if node == root {
		for _, s := range []section{language, statuses, environment, examples} {
			w.title(s.title)
			for _, i := range s.items {
				w.item(i[0], i[1])
			}
		}
		w.text("", "")
		w.text(fmt.Sprintf("%s COMMAND --help tells more about a command.", root.Name), "")
	}
	return w.String()
}

// option returns an option as people write it.
func option(f *kong.Flag) string {
	text := "    --" + f.Name
	if f.Short != 0 {
		text = fmt.Sprintf("-%c, --%s", f.Short, f.Name)
	}
	if value := placeholder(f); value != "" {
		text += "=" + value
	}
	return text
}

// A writer writes lines of limited width.
type writer struct {
	strings.Builder
	width int
}

// title writes the title of a section.
func (w *writer) title(title string) { w.WriteString("\n" + title + ":\n") }

// column is where the explanations begin.
const column = 30

// item writes a term and its explanation, which begins in a column of its own.
func (w *writer) item(term, text string) {
	indent := strings.Repeat(" ", column)
	if w.width < 75 {
		indent = "        "
	}
	first := "  " + term
	if len(first)+2 <= len(indent) {
		first += strings.Repeat(" ", len(indent)-len(first))
		w.text(first+text, indent)
		return
	}
	w.WriteString(first + "\n")
	w.text(indent+text, indent)
}

// text writes text. Lines after the first begin with indent.
func (w *writer) text(text, indent string) {
	line := text
	for len(line) > w.width {
		cut := strings.LastIndexByte(line[:w.width+1], ' ')
		if cut <= len(indent) {
			break // one word that is too long
		}
		w.WriteString(strings.TrimRight(line[:cut], " ") + "\n")
		line = indent + line[cut+1:]
	}
	w.WriteString(line + "\n")
}
