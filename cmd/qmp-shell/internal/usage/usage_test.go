package usage_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/goqmp/qmp/cmd/qmp-shell/internal/usage"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// A grammar has one of everything that package usage writes about.
type grammar struct {
	File  string   `short:"f" type:"path" group:"G" help:"A file. And more: a colon, [brackets] and 'quotes'."`
	Often []string `sep:"none" placeholder:"WORD" help:"May be given several times."`
	Old   bool     `hidden:"" help:"Hidden."`

	Main struct {
		Count   int    `default:"3" help:"A number."`
		Address string `arg:"" optional:"" help:"An address."`
	} `cmd:"" default:"withargs" hidden:"" help:"The default."`
	Group struct {
		Leaf struct {
			Mode string `enum:"a,b" default:"a" help:"The mode."`
			Kind string `arg:"" enum:"x,y" help:"The kind."`
			In   string `arg:"" complete:"file" help:"A file."`
		} `cmd:"" aliases:"sheet" help:"Do it. Twice."`
		Rest struct {
			Words []string `arg:"" optional:"" passthrough:"" help:".leading period and \\backslash."`
		} `cmd:"" help:"Take words."`
	} `cmd:"" help:"A group of commands."`
}

func model(t *testing.T) *kong.Node {
	t.Helper()
	p, err := kong.New(&grammar{}, kong.Name("my-tool"))
	if err != nil {
		t.Fatal(err)
	}
	return p.Model.Node
}

// find returns the command at path.
func find(t *testing.T, n *kong.Node, path ...string) *kong.Node {
	t.Helper()
	for _, name := range path {
		var next *kong.Node
		for _, c := range n.Children {
			if c.Name == name {
				next = c
			}
		}
		if next == nil {
			t.Fatalf("no command %v", path)
		}
		n = next
	}
	return n
}

func TestHelp(t *testing.T) {
	root := model(t)
	whole := usage.Help(root, 80)
	for _, words := range []string{
		"Usage: my-tool [OPTION ...] [ADDRESS]\n", "\nCommands:\n  group                       A group of commands.\n", "\nG:\n", "  -f, --file=FILE ", "      --often=WORD ",
		"--count=COUNT", "A number. The default is 3.", "Exit status:", "my-tool COMMAND --help",
	} {
		if !strings.Contains(whole, words) {
			t.Errorf("no %q in\n%s", words, whole)
		}
	}
	if strings.Contains(whole, "Hidden") || strings.Contains(whole, "--old") || usage.Help(root.DefaultCmd, 80) != whole {
		t.Errorf("help of the default command:\n%s", usage.Help(root.DefaultCmd, 80))
	}
	leaf := usage.Help(find(t, root, "group", "leaf"), 80)
	for _, words := range []string{"Usage: my-tool [OPTION ...] group leaf x|y IN\n", "Do it. Twice.\n", "--mode=a|b", "  KIND  "} {
		if !strings.Contains(leaf, words) {
			t.Errorf("no %q in\n%s", words, leaf)
		}
	}
	if group := usage.Help(find(t, root, "group"), 80); !strings.Contains(group, "group COMMAND\n") || !strings.Contains(group, "  leaf ") {
		t.Error(group)
	}
	for _, width := range []int{0, 40, 60, 80, 200} {
		for line := range strings.Lines(usage.Help(root, width)) {
			if len(line) > max(50, min(width, 100))+1 && !strings.HasPrefix(line, "  qmp-shell ") { // an example stands on one line
				t.Errorf("width %d: %q", width, line)
			}
		}
	}
}

// man and groff have no complaints, and show everything.
func TestMan(t *testing.T) {
	page := usage.Man(model(t))
	if _, err := exec.LookPath("groff"); err != nil {
		qemutest.Lacks(t, "groff is not installed")
	}
	cmd := exec.Command("groff", "-ww", "-man", "-Tascii", "-P-cbou")
	cmd.Stdin = strings.NewReader(page)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	text := strings.Join(strings.Fields(string(out)), " ")
	for _, words := range []string{
		"MY-TOOL(1)", "[brackets] and 'quotes'.", "-f, --file=FILE", "--mode=a|b", "my-tool group leaf x|y IN", "my-tool group rest [WORDS ...]",
		`.leading period and \backslash.`, `{"execute": ...}`, "EXIT STATUS",
	} {
		if !strings.Contains(text, words) {
			t.Errorf("no %q in\n%s", words, text)
		}
	}
}

// A completion is a line that is typed so far, and words that are offered, or not.
var completions = []struct {
	line      string
	want, not []string
}{
	{"my-tool g", []string{"group"}, []string{"main", "leaf"}},
	{"my-tool --co", []string{"--count"}, nil},
	{"my-tool group ", []string{"leaf", "rest"}, []string{"group"}},
	{"my-tool --often group gr", []string{"group"}, []string{"leaf"}},
	{"my-tool group leaf --mo", []string{"--mode"}, nil},
	{"my-tool group leaf --mode ", []string{"a", "b"}, []string{"x"}},
	{"my-tool group leaf ", []string{"x", "y"}, []string{"a file"}},
	{"my-tool group sheet x a", []string{"a file"}, []string{"x"}},
	{"my-tool --file a", []string{"a file"}, nil},
	{"my-tool group --old", nil, []string{"--old"}},
}

// Bash itself executes the script.
func TestBash(t *testing.T) {
	script := completion(t, "bash")
	for _, tt := range completions {
		words := strings.Split(tt.line, " ")
		var b strings.Builder
		b.WriteString(script + "\nCOMP_WORDS=(")
		for _, w := range words {
			b.WriteString("'" + w + "' ")
		}
		b.WriteString(")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_my_tool\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n")
		check(t, tt.line, shell(t, b.String(), "bash", "--norc", "--noprofile"), tt.want, tt.not)
	}
	// The sign = is a word of its own for bash.
	text := script + "\nCOMP_WORDS=(my-tool group leaf --mode = '')\nCOMP_CWORD=5\n_my_tool\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"
	check(t, "--mode=", shell(t, text, "bash", "--norc", "--noprofile"), []string{"a", "b"}, []string{"x"})
	text = script + "\nCOMP_WORDS=(my-tool -- ca)\nCOMP_CWORD=2\n_my_tool\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"
	check(t, "--", shell(t, text, "bash", "--norc", "--noprofile"), []string{"cat"}, nil)
}

func TestFish(t *testing.T) {
	script := completion(t, "fish")
	for _, tt := range completions {
		text := script + "\ncomplete -C '" + tt.line + "' | string replace -r '\\t.*' '' | string replace -a '\\\\' ''\ntrue\n"
		check(t, tt.line, shell(t, text, "fish", "--no-config"), tt.want, tt.not)
	}
}

// Zsh completes only in its line editor. Here it parses the script; what it offers was
// tried by hand.
func TestZsh(t *testing.T) {
	script := completion(t, "zsh")
	shell(t, script, "zsh", "-f", "-n")
	shell(t, "autoload -Uz compinit\ncompinit -u -D\n"+script+"\n[[ ${_comps[my-tool]} == _my_tool ]] && (( $+functions[_my_tool_group_leaf] ))", "zsh", "-f")
}

func TestUnknownShell(t *testing.T) {
	if script, err := usage.Completion(model(t), "csh"); err == nil {
		t.Error(script)
	}
}

func completion(t *testing.T, name string) string {
	t.Helper()
	script, err := usage.Completion(model(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return script
}

// shell runs a script in a folder that has "a file", and returns what it prints.
func shell(t *testing.T, script string, program ...string) string {
	t.Helper()
	if _, err := exec.LookPath(program[0]); err != nil {
		qemutest.Lacks(t, "%s is not installed", program[0])
	}
	cmd := exec.CommandContext(t.Context(), program[0], program[1:]...)
	cmd.WaitDelay = time.Second
	cmd.Dir = t.TempDir()
	if err := exec.Command("touch", cmd.Dir+"/a file").Run(); err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = strings.NewReader(script)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%v: %v\n%s", program, err, &stderr)
	}
	return string(out)
}

// check checks the lines of what a shell offers.
func check(t *testing.T, line, got string, want, not []string) {
	t.Helper()
	lines := "\n" + got
	for _, w := range want {
		if !strings.Contains(lines, "\n"+w+"\n") && !strings.Contains(lines, "\n"+w+"=\n") {
			t.Errorf("%q: no %q in %q", line, w, got)
		}
	}
	for _, w := range not {
		if strings.Contains(lines, "\n"+w+"\n") {
			t.Errorf("%q: %q in %q", line, w, got)
		}
	}
}
