//go:build unix

package terminal_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/goqmp/qmp/cmd/qmp-shell/internal/terminal"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/ttytest"
)

// TestMain allows one goroutine to be left: Bubble Tea's reader does not end if a key comes at
// the moment at which the program ends. The process ends then, too.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/charmbracelet/ultraviolet.(*TerminalReader).sendEvents"))
}

// A session is a UI that runs on a terminal.
type session struct {
	*ttytest.Terminal
	ui     terminal.UI
	inputs chan terminal.Input
}

// start runs a UI on a terminal of that size until the test is over.
func start(t *testing.T, width, height int, opts terminal.Options) *session {
	t.Helper()
	s := &session{Terminal: ttytest.New(t, width, height), inputs: make(chan terminal.Input, 100)}
	opts.In, opts.Out = s.TTY, s.TTY
	if opts.Environ == nil {
		opts.Environ = []string{"TERM=xterm-256color"}
	}
	if opts.Prompt == "" {
		opts.Prompt = "(QEMU) "
	}
	opts.Handle = func(in terminal.Input) { s.inputs <- in }
	s.ui = terminal.New(opts)
	done := make(chan error, 1)
	go func() { done <- s.ui.Run(context.Background()) }()
	t.Cleanup(func() {
		s.ui.Close()
		if err := <-done; err != nil {
			t.Error("Run:", err)
		}
	})
	s.WaitLine(opts.Prompt)
	return s
}

func (s *session) input(t *testing.T, want terminal.Input) {
	t.Helper()
	if got := <-s.inputs; got != want {
		t.Errorf("input %+v, want %+v", got, want)
	}
}

func TestTyping(t *testing.T) {
	s := start(t, 80, 24, terminal.Options{})
	s.Type("query-stats")
	s.WaitLine("(QEMU) query-stats")
	s.Type("\x7f" + "us" + ttytest.Left + ttytest.Left + "t" + "\x05" + ttytest.Enter)
	s.input(t, terminal.Input{Kind: terminal.Line, Text: "query-statuts"[:10] + "tus"})
}

func TestPrintAboveAHalfTypedLine(t *testing.T) {
	s := start(t, 40, 10, terminal.Options{})
	s.Type("stop half" + ttytest.Left)
	s.WaitLine("(QEMU) stop half")
	s.ui.Print("12:00:00 RESUME")
	screen := s.WaitFor("RESUME")
	if want := []string{"12:00:00 RESUME", "(QEMU) stop half"}; !slices.Equal(screen.Rows[:2], want) || screen.Row != 1 || screen.Col != len("(QEMU) stop hal") {
		t.Errorf("cursor at %d,%d of\n%s", screen.Row, screen.Col, screen.Text())
	}
	s.Type("X" + ttytest.Enter)
	s.input(t, terminal.Input{Kind: terminal.Line, Text: "stop halXf"})
}

// Everything that is printed stays readable: it scrolls, however much it is at a time,
// and nothing else comes between. A line that is exactly as wide as the screen is whole.
func TestPrintMoreThanTheScreenHolds(t *testing.T) {
	s := start(t, 20, 6, terminal.Options{})
	s.Type("half")
	s.WaitLine("(QEMU) half")
	var text, want strings.Builder
	for i := range 50 {
		line := fmt.Sprintf("%02d%s", i, strings.Repeat("x", i%3*9))
		fmt.Fprintln(&text, line)
		fmt.Fprintln(&want, line)
	}
	s.ui.Print(text.String())
	s.ui.Print("last")
	want.WriteString("last\n(QEMU) half")
	screen := s.Wait("the last line", func(s ttytest.Screen) bool { return s.Contains("last") && s.Line() == "(QEMU) half" })
	if screen.Text() != want.String() {
		t.Errorf("got\n%s\nwant\n%s", screen.Text(), want.String())
	}
}

func TestStatusStandsAboveThePrompt(t *testing.T) {
	s := start(t, 40, 10, terminal.Options{})
	s.Type("half")
	s.WaitLine("(QEMU) half")
	s.ui.SetStatus(func(width int) []string { return []string{fmt.Sprintf("job0 of %d", width), "job1"} })
	screen := s.WaitFor("job1")
	if want := []string{"job0 of 39", "job1", "(QEMU) half"}; !slices.Equal(screen.Rows[:3], want) || screen.Row != 2 {
		t.Errorf("cursor in row %d of\n%s", screen.Row, screen.Text())
	}
	s.ui.Print("an event")
	screen = s.WaitFor("an event")
	if want := []string{"an event", "job0 of 39", "job1", "(QEMU) half", ""}; !slices.Equal(screen.Rows[:5], want) {
		t.Errorf("the screen is\n%s", screen.Text())
	}
	s.ui.SetStatus(nil)
	s.Wait("no status", func(s ttytest.Screen) bool { return !s.Contains("job") && s.Row == 1 })
}

func TestLongLineIsWrapped(t *testing.T) {
	s := start(t, 20, 8, terminal.Options{})
	text := "blockdev-add driver=null-co node-name=n0"
	s.Type(text)
	screen := s.WaitFor("e-name=n0")
	if want := []string{"(QEMU) blockdev-add", " driver=null-co nod", "e-name=n0"}; !slices.Equal(screen.Rows[:3], want) {
		t.Errorf("the screen is\n%s", screen.Text())
	}
	s.Type("\x01X")
	s.Wait("the first row with an X", func(s ttytest.Screen) bool {
		return strings.HasPrefix(s.Rows[0], "(QEMU) Xblockdev") && s.Row == 0 && s.Col == len("(QEMU) X")
	})
}

func TestResize(t *testing.T) {
	s := start(t, 60, 10, terminal.Options{})
	s.ui.Print("first\nsecond")
	s.Type("blockdev-add driver=null-co node-name=n0")
	s.WaitFor("node-name=n0")
	s.Resize(120, 20)
	s.ui.SetStatus(func(width int) []string { return []string{fmt.Sprint("width ", width)} })
	screen := s.WaitFor("width 119")
	if got, want := screen.Text(), "first\nsecond\nwidth 119\n(QEMU) blockdev-add driver=null-co node-name=n0"; got != want {
		t.Errorf("wider: got\n%s\nwant\n%s", got, want)
	}
	s.Resize(50, 9)
	screen = s.WaitFor("width 49")
	if got, want := screen.Text(), "first\nsecond\nwidth 49\n(QEMU) blockdev-add driver=null-co node-name=n0"; got != want {
		t.Errorf("narrower: got\n%s\nwant\n%s", got, want)
	}
	s.Type("0" + ttytest.Enter)
	s.input(t, terminal.Input{Kind: terminal.Line, Text: "blockdev-add driver=null-co node-name=n00"})
}

func TestSeveralLines(t *testing.T) {
	s := start(t, 60, 10, terminal.Options{Incomplete: func(text string) bool {
		return strings.Count(text, "(") > strings.Count(text, ")")
	}})
	s.Type("transaction(" + ttytest.Enter)
	s.WaitLine("   ...")
	s.Type("abort" + ttytest.Enter)
	s.WaitFor("abort")
	s.Type(")")
	screen := s.WaitFor(")")
	if want := []string{"(QEMU) transaction(", "   ... abort"}; !slices.Equal(screen.Rows[:2], want) {
		t.Errorf("the screen is\n%s", screen.Text())
	}
	s.Type(ttytest.Up + ttytest.Up + "\x05 " + ttytest.Enter)
	s.input(t, terminal.Input{Kind: terminal.Line, Text: "transaction( \nabort\n)"})
}

func TestPaste(t *testing.T) {
	s := start(t, 60, 10, terminal.Options{})
	s.Type("\x1b[200~stop\ncont\n\x1b[201~")
	screen := s.WaitFor("cont")
	if want := []string{"(QEMU) stop", "   ... cont"}; !slices.Equal(screen.Rows[:2], want) {
		t.Errorf("the screen is\n%s", screen.Text())
	}
	s.Type(ttytest.Enter)
	s.input(t, terminal.Input{Kind: terminal.Line, Text: "stop\ncont"})
}

func TestInterruptAndLeave(t *testing.T) {
	s := start(t, 60, 10, terminal.Options{})
	s.Type("half" + ttytest.CtrlC)
	s.WaitFor("(QEMU) half^C")
	s.Type(ttytest.CtrlC)
	s.input(t, terminal.Input{Kind: terminal.Interrupt})
	s.Type(ttytest.CtrlD)
	s.input(t, terminal.Input{Kind: terminal.Leave})
}

func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "qmp-shell", "history")
	h, err := terminal.OpenHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"query-status", "stop", "query-block", "cont"} {
		if err := h.Add(line); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, 60, 10, terminal.Options{History: h})
	s.Type(ttytest.Up)
	s.WaitLine("(QEMU) cont")
	s.Type(ttytest.Up + ttytest.Up)
	s.WaitLine("(QEMU) stop")
	s.Type(ttytest.Down + ttytest.Down + ttytest.Down)
	s.WaitLine("(QEMU)")
	s.Type("query" + ttytest.Up)
	s.WaitLine("(QEMU) query-block")
	s.Type(ttytest.Up)
	s.WaitLine("(QEMU) query-status")
	s.Type(ttytest.CtrlC)
	s.WaitFor("^C")

	s.Type("half" + ttytest.CtrlR)
	s.WaitLine("(search: )")
	s.Type("query")
	s.WaitLine("(search: query) query-block")
	s.Type(ttytest.CtrlR)
	s.WaitLine("(search: query) query-status")
	s.Type("X")
	s.WaitLine("(nothing found: queryX) query-status")
	s.Type("\x7f" + "\x07")
	s.WaitLine("(QEMU) half")
	s.Type(ttytest.CtrlR + "sto" + ttytest.Enter)
	s.input(t, terminal.Input{Kind: terminal.Line, Text: "stop"})
}

func TestCompletion(t *testing.T) {
	words := []terminal.Candidate{
		{Text: "query-block ", Description: "list block devices"},
		{Text: "query-blockstats "},
		{Text: "query-status ", Description: "whether the machine runs"},
	}
	s := start(t, 60, 12, terminal.Options{Complete: func(_ context.Context, text string, pos int) terminal.Completion {
		c := terminal.Completion{End: pos}
		for _, w := range words {
			if strings.HasPrefix(w.Text, text[:pos]) {
				c.Candidates = append(c.Candidates, w)
			}
		}
		if text == "hint " {
			c.Hint = "a number"
		}
		return c
	}})
	s.Type("q" + ttytest.Tab)
	screen := s.WaitFor("whether the machine runs")
	if want := []string{"(QEMU) query-", "  query-block       list block devices", "  query-blockstats", "  query-status      whether the machine runs"}; !slices.Equal(screen.Rows[:4], want) {
		t.Errorf("the screen is\n%s", screen.Text())
	}
	s.Type(ttytest.Tab)
	s.WaitFor("> query-block ")
	s.WaitLine("(QEMU) query-block")
	s.Type(ttytest.Tab + ttytest.Tab)
	s.WaitLine("(QEMU) query-status")
	s.Type(ttytest.ShiftTab)
	s.WaitLine("(QEMU) query-blockstats")
	s.Type("\x1b")
	s.Wait("what was typed", func(s ttytest.Screen) bool { return s.Line() == "(QEMU) query-" && !s.Contains("blockstats") })
	s.Type("s" + ttytest.Tab)
	s.WaitLine("(QEMU) query-status")
	s.ui.Print("an event")
	s.WaitFor("an event")
	s.Type(ttytest.Enter)
	s.input(t, terminal.Input{Kind: terminal.Line, Text: "query-status "})
	s.Type("hint " + ttytest.Tab)
	s.WaitFor("  a number")
}

// An answer that comes after more was typed changes nothing, and typing never waits.
func TestLateCompletion(t *testing.T) {
	release := make(chan struct{})
	s := start(t, 60, 12, terminal.Options{Complete: func(_ context.Context, text string, pos int) terminal.Completion {
		<-release
		return terminal.Completion{End: pos, Candidates: []terminal.Candidate{{Text: "stop "}}}
	}})
	s.Type("s" + ttytest.Tab + "x")
	s.WaitLine("(QEMU) sx")
	close(release)
	s.Type("\x7f" + ttytest.Tab)
	s.WaitLine("(QEMU) stop")
	s.Type(ttytest.Enter)
	s.input(t, terminal.Input{Kind: terminal.Line, Text: "stop "})
}

// An Enter after Tab waits for the answer, so that the line is the same for a slow and a fast
// server. A second Enter enters the line as it is, and any other key goes on with typing.
func TestEnterWaitsForCompletion(t *testing.T) {
	release := make(chan struct{})
	s := start(t, 80, 12, terminal.Options{Complete: func(ctx context.Context, text string, pos int) terminal.Completion {
		select {
		case <-release:
		case <-ctx.Done():
		}
		if text == "nothing" {
			return terminal.Completion{}
		}
		return terminal.Completion{End: pos, Candidates: []terminal.Candidate{{Text: "stop "}}}
	}})
	answer := func() { release <- struct{}{} }
	s.Type("s" + ttytest.Tab + ttytest.Enter)
	s.WaitFor("waiting for the completion")
	s.ui.Print("an event")
	s.WaitFor("an event")
	answer()
	s.input(t, terminal.Input{Kind: terminal.Line, Text: "stop "})
	s.Wait("the prompt without a hint", func(s ttytest.Screen) bool { return s.Line() == "(QEMU)" && !s.Contains("waiting for") })

	s.Type("nothing" + ttytest.Tab + ttytest.Enter)
	s.WaitFor("waiting for the completion")
	answer()
	s.input(t, terminal.Input{Kind: terminal.Line, Text: "nothing"})

	s.Type("st" + ttytest.Tab + ttytest.Enter)
	s.WaitFor("waiting for the completion")
	s.Type(ttytest.Enter)
	s.input(t, terminal.Input{Kind: terminal.Line, Text: "st"})
	answer() // it is too late
	s.WaitLine("(QEMU)")

	s.Type("q" + ttytest.Tab + ttytest.Enter)
	s.WaitFor("waiting for the completion")
	s.Type("x")
	s.Wait("typing that goes on", func(s ttytest.Screen) bool { return s.Line() == "(QEMU) qx" && !s.Contains("waiting for") })
	answer()
	s.Type(ttytest.Enter)
	s.input(t, terminal.Input{Kind: terminal.Line, Text: "qx"})

	s.Type("c" + ttytest.Tab + ttytest.Enter)
	s.WaitFor("waiting for the completion")
	s.Type(ttytest.CtrlC)
	s.WaitFor("c^C")
	answer()
	s.Type("d" + ttytest.Enter)
	s.input(t, terminal.Input{Kind: terminal.Line, Text: "d"})
}

func TestDumbTerminal(t *testing.T) {
	s := start(t, 60, 12, terminal.Options{Environ: []string{"TERM=dumb"}})
	s.ui.Print("an event")
	s.WaitFor("an event")
	s.Type("stop\n")
	s.input(t, terminal.Input{Kind: terminal.Line, Text: "stop"})
	s.ui.Print("{}")
	s.WaitFor("{}")
	s.Type("\n")
	s.Wait("a new prompt", func(s ttytest.Screen) bool { return strings.Count(s.Text(), "(QEMU)") >= 4 })
	if strings.ContainsAny(s.Raw(), "\x1b") {
		t.Errorf("an escape sequence was written: %q", s.Raw())
	}
	s.Type(ttytest.CtrlD)
	s.input(t, terminal.Input{Kind: terminal.Leave})
}
