// Package usage writes what tells people about the program: --help, the manual page, and
// the completion scripts for bash, zsh and fish. All come from the model of the command
// line, which package kong makes of the program's options, and from the texts in this
// package.
package usage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// A group is options under a title.
type group struct {
	title string
	flags []*kong.Flag
}

// groups returns the options of a command by their groups: its own options first, and
// last those that all commands have.
func groups(node *kong.Node) []group {
	var all []group
	add := func(flags []*kong.Flag, other string) {
		for _, f := range flags {
			if f.Hidden {
				continue
			}
			title := other
			if f.Group != nil {
				title = f.Group.Title
			}
			i := slices.IndexFunc(all, func(g group) bool { return g.title == title })
			if i < 0 {
				i = len(all)
				all = append(all, group{title: title})
			}
			all[i].flags = append(all[i].flags, f)
		}
	}
	for n := node; n != nil; n = n.Parent {
		other := "Options"
		if n.Parent == nil {
			other = "Other options"
		}
		add(n.Flags, other)
	}
	return all
}

// commands returns the commands below node that people are told about.
func commands(node *kong.Node) []*kong.Node {
	return slices.DeleteFunc(slices.Clone(node.Children), func(n *kong.Node) bool { return n.Hidden })
}

// shell returns the command that is meant when no command is named.
func shell(root *kong.Node) *kong.Node { return root.DefaultCmd }

// subject returns the node whose options are those of node: for the whole program those of
// its default command.
func subject(node *kong.Node) *kong.Node {
	if node.Parent == nil && node.DefaultCmd != nil {
		return node.DefaultCmd
	}
	return node
}

// placeholder returns the word for the value of an option, or "" if it has none.
func placeholder(f *kong.Flag) string {
	switch {
	case f.IsBool():
		return ""
	case f.PlaceHolder != "":
		return f.PlaceHolder
	case f.Enum != "":
		return strings.ReplaceAll(f.Enum, ",", "|")
	}
	return strings.ToUpper(f.Name)
}

// argument returns the word for a positional argument in a synopsis.
func argument(p *kong.Positional) string {
	word := strings.ToUpper(p.Name)
	if p.Enum != "" {
		word = strings.ReplaceAll(p.Enum, ",", "|")
	}
	if p.IsCumulative() {
		word += " ..."
	}
	if !p.Required {
		word = "[" + word + "]"
	}
	return word
}

// path returns the words that name a command.
func path(node *kong.Node) []string {
	if node.Parent == nil || node.Parent.Parent == nil && node == node.Parent.DefaultCmd {
		return nil
	}
	return append(path(node.Parent), node.Name)
}

// synopsis returns the arguments of a command, for one line.
func synopsis(node *kong.Node) string {
	words := path(node)
	if len(commands(node)) > 0 && node.Parent != nil {
		words = append(words, "COMMAND")
	}
	for _, p := range node.Positional {
		words = append(words, argument(p))
	}
	return strings.Join(words, " ")
}

// defaultOf returns the default of an option in words, or "".
func defaultOf(v *kong.Value) string {
	if !v.HasDefault || v.Default == "" {
		return ""
	}
	return fmt.Sprintf(" The default is %s.", v.Default)
}
