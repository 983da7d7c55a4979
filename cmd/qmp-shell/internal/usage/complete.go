package usage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Shells are the shells that Completion knows.
var Shells = []string{"bash", "zsh", "fish"}

// Completion returns the script that completes the program's command line in a shell. It
// is for the shell's own configuration: it starts nothing when it completes.
func Completion(root *kong.Node, name string) (string, error) {
	switch name {
	case "bash":
		return bash(root), nil
	case "zsh":
		return zsh(root), nil
	case "fish":
		return fish(root), nil
	}
	return "", fmt.Errorf("there is no completion for %s, only for %s", name, strings.Join(Shells, ", "))
}

// all returns node and all commands below it.
func all(node *kong.Node) []*kong.Node {
	nodes := []*kong.Node{node}
	for _, c := range commands(node) {
		nodes = append(nodes, all(c)...)
	}
	return nodes
}

// visible returns the options that can be given to a command.
func visible(node *kong.Node) []*kong.Flag {
	var flags []*kong.Flag
	for _, g := range groups(subject(node)) {
		flags = append(flags, g.flags...)
	}
	return flags
}

// spellings returns the ways to write an option, without its value.
func spellings(f *kong.Flag) []string {
	words := []string{"--" + f.Name}
	if f.Short != 0 {
		words = append(words, "-"+string(f.Short))
	}
	return words
}

// values returns the words that an option or argument may be, or nil if it may be another.
func values(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return v.EnumSlice()
}

// files reports whether an option or argument is the name of a file or folder here.
func files(v *kong.Value) bool {
	if v.Flag == nil && strings.HasPrefix(v.Name, "address") {
		return true
	}
	return v.Tag.Get("complete") == "file" || v.Tag.Type == "path"
}

// valued returns the options with a value of all commands, without those that occur twice.
func valued(root *kong.Node) []*kong.Flag {
	var flags []*kong.Flag
	for _, n := range all(root) {
		for _, f := range visible(n) {
			if !f.IsBool() && !slices.ContainsFunc(flags, func(o *kong.Flag) bool { return o.Name == f.Name }) {
				flags = append(flags, f)
			}
		}
	}
	return flags
}

// place returns the name of a command in a script: its words with a space between them.
func place(node *kong.Node) string { return strings.Join(path(node), " ") }

// bash returns the script for bash 3.2 and later. It does not need the package
// bash-completion, but uses that for the program after --.
func bash(root *kong.Node) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	fn := "_" + strings.ReplaceAll(root.Name, "-", "_")
	line("# Completion of %s for bash. To use it: source <(%s completion bash)", root.Name, root.Name)
	line("%s_files() {", fn)
	line(`	local IFS=$'\n'`)
	line(`	COMPREPLY+=($(compgen -f -- "$1"))`)
	line(`	compopt -o filenames 2>/dev/null`)
	line(`}`)
	line("%s() {", fn)
	line(`	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at= skip= count=0 i words= file=`)
	line(`	if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi`)
	line(`	COMPREPLY=()`)
	line(`	for ((i = 1; i < COMP_CWORD; i++)); do`)
	line(`		local word=${COMP_WORDS[i]}`)
	line(`		if [[ -n $skip && $word != = ]]; then skip=; continue; fi`)
	line(`		case $word in`)
	line(`		--)`)
	line(`			if declare -F _command_offset >/dev/null; then _command_offset $((i + 1)); return; fi`)
	line(`			if ((i + 1 == COMP_CWORD)); then COMPREPLY=($(compgen -c -- "$cur")); else %s_files "$cur"; fi`, fn)
	line(`			return ;;`)
	var options []string
	for _, f := range valued(root) {
		options = append(options, spellings(f)...)
	}
	line(`		%s) skip=1 ;;`, strings.Join(options, "|"))
	line(`		-* | =) ;;`)
	line(`		*)`)
	line(`			case "$at $word" in`)
	for _, n := range all(root)[1:] {
		p := path(n)
		for _, name := range append([]string{n.Name}, n.Aliases...) {
			line(`			"%s %s") at="%s"; count=0; continue ;;`, strings.Join(p[:len(p)-1], " "), name, place(n))
		}
	}
	line(`			esac`)
	line(`			((count++)) ;;`)
	line(`		esac`)
	line(`	done`)
	line(`	if [[ -n $skip || $prev == -* ]]; then`)
	line(`		case $prev in`)
	for _, f := range valued(root) {
		names := strings.Join(spellings(f), "|")
		switch {
		case values(f.Value) != nil:
			line(`		%s) COMPREPLY=($(compgen -W "%s" -- "$cur")); return ;;`, names, strings.Join(values(f.Value), " "))
		case files(f.Value):
			line(`		%s) %s_files "$cur"; return ;;`, names, fn)
		default:
			line(`		%s) return ;;`, names)
		}
	}
	line(`		esac`)
	line(`	fi`)
	line(`	case "$at:$count" in`)
	for _, n := range all(root) {
		var words []string
		for _, c := range commands(n) {
			words = append(words, c.Name)
		}
		for i, p := range subject(n).Positional {
			words := append(words, values(p)...)
			if i > 0 {
				words = values(p)
			}
			file := ""
			if files(p) {
				file = " file=1"
			}
			line(`	"%s:%d") words="%s"%s ;;`, place(n), i, strings.Join(words, " "), file)
		}
		if len(n.Positional) == 0 && len(words) > 0 && n.Parent != nil {
			line(`	"%s:0") words="%s" ;;`, place(n), strings.Join(words, " "))
		}
	}
	line(`	esac`)
	line(`	if [[ $cur == -* ]]; then`)
	line(`		file=`)
	line(`		case $at in`)
	for _, n := range all(root) {
		var words []string
		for _, f := range visible(n) {
			words = append(words, spellings(f)...)
		}
		line(`		"%s") words="%s --" ;;`, place(n), strings.Join(words, " "))
	}
	line(`		esac`)
	line(`	fi`)
	line(`	COMPREPLY=($(compgen -W "$words" -- "$cur"))`)
	line(`	if [[ -n $file ]]; then %s_files "$cur"; fi`, fn)
	line(`}`)
	line("complete -F %s %s", fn, root.Name)
	return b.String()
}

// zsh returns the script for zsh.
func zsh(root *kong.Node) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	fn := func(n *kong.Node) string {
		return "_" + strings.ReplaceAll(strings.Join(append([]string{root.Name}, path(n)...), "_"), "-", "_")
	}
	line("#compdef %s", root.Name)
	line("# Completion of %s for zsh. To use it: source <(%s completion zsh), after compinit", root.Name, root.Name)
	for _, n := range all(root) {
		line("%s() {", fn(n))
		line(`	local context state line curcontext=$curcontext`)
		line(`	local -A opt_args`)
		line(`	_arguments -s -S -C \`)
		for _, f := range visible(n) {
			names := spellings(f)
			help := "[" + strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace(brief(f.Help)) + "]"
			value := ""
			if !f.IsBool() {
				value = ":" + strings.NewReplacer(":", `\:`).Replace(placeholder(f)) + ":" + action(f.Value)
			}
			many := ""
			if f.IsCumulative() {
				many = "*"
			}
			for _, name := range names {
				equals := ""
				if value != "" && strings.HasPrefix(name, "--") {
					equals = "="
				}
				exclusive := ""
				if many == "" {
					exclusive = "(" + strings.Join(names, " ") + ")"
				}
				line("\t\t%s \\", single(exclusive+many+name+equals+help+value))
			}
		}
		list := commands(n)
		for i, p := range subject(n).Positional {
			switch {
			case i == 0 && len(list) > 0:
				line(`		'1:command or address:->first' \`)
			case p.IsCumulative():
				line("\t\t%s \\", single("*::"+p.Name+":_normal"))
			default:
				line("\t\t%s \\", single(fmt.Sprintf("%d:%s:%s", i+1, p.Name, action(p))))
			}
		}
		if len(list) > 0 {
			if len(n.Positional) == 0 && n.Parent != nil {
				line(`		'1:command:->first' \`)
			}
			line(`		'*::argument:->rest' && return`)
			line(`	case $state in`)
			line(`	first)`)
			line(`		local -a commands`)
			line(`		commands=(`)
			for _, c := range list {
				line("\t\t\t%s", single(c.Name+":"+strings.ReplaceAll(brief(c.Help), ":", `\:`)))
			}
			line(`		)`)
			if n.Parent == nil {
				line(`		_alternative 'commands:command:{_describe command commands}' 'files:address:_files' ;;`)
			} else {
				line(`		_describe command commands ;;`)
			}
			line(`	rest)`)
			line(`		case $words[1] in`)
			for _, c := range list {
				line("\t\t%s) %s ;;", strings.Join(append([]string{c.Name}, c.Aliases...), "|"), fn(c))
			}
			line(`		esac ;;`)
			line(`	esac`)
		} else {
			line(`		&& return`)
		}
		line(`}`)
	}
	line(`if [[ $zsh_eval_context[-1] == loadautofunc ]]; then %s "$@"; else compdef %s %s; fi`, fn(root), fn(root), root.Name)
	return b.String()
}

// action returns what zsh completes for a value.
func action(v *kong.Value) string {
	switch {
	case values(v) != nil:
		return "(" + strings.Join(values(v), " ") + ")"
	case files(v):
		return "_files"
	}
	return " "
}

// fish returns the script for fish.
func fish(root *kong.Node) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	fn := "__" + strings.ReplaceAll(root.Name, "-", "_") + "_at"
	line("# Completion of %s for fish. To use it: %s completion fish | source", root.Name, root.Name)
	line(`# It succeeds if the command line names the command $argv[1] and has $argv[2] arguments`)
	line(`# after that, or any number if there is no $argv[2].`)
	line("function %s", fn)
	line(`	set -l at ''`)
	line(`	set -l count 0`)
	line(`	set -l skip 0`)
	line(`	for word in (commandline -opc)[2..-1]`)
	line(`		if test $skip = 1`)
	line(`			set skip 0`)
	line(`			continue`)
	line(`		end`)
	line(`		switch $word`)
	var options []string
	for _, f := range valued(root) {
		options = append(options, spellings(f)...)
	}
	line(`			case --`)
	line(`				return 1`)
	line(`			case %s`, strings.Join(options, " "))
	line(`				set skip 1`)
	line(`			case '-*'`)
	line(`			case '*'`)
	line(`				switch "$at $word"`)
	for _, n := range all(root)[1:] {
		p := path(n)
		for _, name := range append([]string{n.Name}, n.Aliases...) {
			line(`					case %s`, single(strings.Join(p[:len(p)-1], " ")+" "+name))
			line(`						set at %s`, single(place(n)))
			line(`						set count 0`)
		}
	}
	line(`					case '*'`)
	line(`						set count (math $count + 1)`)
	line(`				end`)
	line(`		end`)
	line(`	end`)
	line(`	test "$at" = "$argv[1]"; and begin; test (count $argv) -lt 2; or test $count = "$argv[2]"; end`)
	line(`end`)
	line("complete -c %s -f", root.Name)
	for _, n := range all(root) {
		condition := single(fn + " " + double(place(n)))
		for _, f := range visible(n) {
			text := fmt.Sprintf("complete -c %s -n %s -l %s", root.Name, condition, f.Name)
			if f.Short != 0 {
				text += " -s " + string(f.Short)
			}
			if !f.IsBool() {
				text += " -r"
				switch {
				case values(f.Value) != nil:
					text += " -f -a " + single(strings.Join(values(f.Value), " "))
				case files(f.Value):
					text += " -F"
				}
			}
			line("%s -d %s", text, single(brief(f.Help)))
		}
		first := single(fn + " " + double(place(n)) + " 0")
		for _, c := range commands(n) {
			line("complete -c %s -n %s -a %s -d %s", root.Name, first, c.Name, single(brief(c.Help)))
		}
		for i, p := range subject(n).Positional {
			at := single(fmt.Sprintf("%s %s %d", fn, double(place(n)), i))
			switch {
			case values(p) != nil:
				line("complete -c %s -n %s -a %s", root.Name, at, single(strings.Join(values(p), " ")))
			case files(p):
				line("complete -c %s -n %s -F", root.Name, at)
			}
		}
	}
	return b.String()
}

// brief returns the first sentence of a help text, without its period.
func brief(help string) string {
	first, _, _ := strings.Cut(help, ". ")
	first, _, _ = strings.Cut(first, ": ")
	return strings.TrimSuffix(first, ".")
}

// single returns text in single quotes, for a shell.
func single(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// double returns text in double quotes, for a shell. It has no character with a meaning.
func double(text string) string { return `"` + text + `"` }
