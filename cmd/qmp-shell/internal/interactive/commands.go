package interactive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/terminal"
)

// A running command waits for its reply.
type running struct {
	name   string
	line   int // which line of the person it was
	began  time.Time
	slow   bool // long enough to be worth a row above the prompt
	cancel context.CancelFunc
	gaveUp bool // the person has given it up
}

// input takes what the person did.
func (s *Shell) input(in terminal.Input) {
	if s.leaving {
		return
	}
	switch in.Kind {
	case terminal.Line:
		s.line(in.Text)
	case terminal.Interrupt:
		s.interrupt()
	case terminal.Leave:
		s.leave()
	}
}

// interrupt gives up the newest command, or says how to leave if there is none.
func (s *Shell) interrupt() {
	for i := len(s.running) - 1; i >= 0; i-- {
		if r := s.running[i]; !r.gaveUp {
			r.gaveUp = true
			r.cancel()
			return
		}
	}
	s.print(s.style.dim("Ctrl-D or exit leaves the shell. The machine is not changed by that."))
}

// line takes a line, which may have several commands if it was pasted.
func (s *Shell) line(text string) {
	s.entered++
	parts := s.lang.split(text)
	if len(parts) == 0 {
		s.print("") // a terminal without a line editor gets a new prompt
		return
	}
	for _, part := range parts {
		kept := part
		if s.own(part) == nil {
			kept = s.lang.mask(part)
		}
		if err := s.history.Add(kept); err != nil {
			s.print(s.style.bad(output.Text(err.Error())))
		}
		s.command(part)
	}
}

// command executes one command, of the shell or of the server.
func (s *Shell) command(text string) {
	asked := s.quit
	s.quit = false
	if s.builtin(text) {
		return
	}
	if !s.connected {
		s.print(s.style.bad("not sent: " + s.away()))
		return
	}
	cmd, err := s.lang.parse(text)
	if err != nil {
		s.print(s.style.bad("not sent: " + strings.TrimRight(output.Text(err.Error()), "\n")))
		return
	}
	if cmd.quits && !asked && !s.opts.Agent && !s.opts.Once {
		s.quit = true
		s.print(s.style.bad("not sent: quit ends QEMU, and the machine with it. Enter quit again to do that. exit or Ctrl-D leaves the shell."))
		return
	}
	for _, warning := range cmd.warnings {
		s.print(s.style.dim(output.Text(warning)))
	}
	s.start(cmd)
}

// away says that the server cannot be reached.
func (s *Shell) away() string {
	text := "the connection was lost " + time.Since(s.lost).Round(time.Second).String() + " ago"
	if s.cause != nil {
		text += ": " + causeText(s.cause)
	}
	if s.client.Runstate() == async.Connecting {
		text += "; the shell connects again by itself"
	}
	return text
}

// start sends a command, and waits for its reply in the background.
func (s *Shell) start(cmd command) {
	ctx, cancel := context.WithCancel(s.ctx)
	r := &running{name: cmd.name, line: s.entered, began: time.Now(), cancel: cancel}
	s.running = append(s.running, r)
	s.tasks.Go(func() {
		text, value, err := cmd.run(ctx, s.client)
		s.box.post(func() {
			cancel()
			s.drain() // the events that came before the reply
			s.finished(r, text, value, err)
		})
	})
	s.tick()
}

// finished prints the result of a command: a text of the human monitor, or JSON.
func (s *Shell) finished(r *running, text string, value json.RawMessage, err error) {
	s.running = slices.DeleteFunc(s.running, func(other *running) bool { return other == r })
	s.board.Executed(r.name, err == nil)
	head := ""
	if r.line != s.entered || len(s.running) > 0 || r.slow { // it may not be clear whose result this is
		head = s.style.bold(oneLine(r.name)) + ": "
	}
	switch {
	case err != nil:
		s.print(head + s.style.bad(s.failure(r, err)))
	case value != nil:
		s.print(head + s.format(value, ansi.StringWidth(head)))
	default:
		if head != "" && strings.Contains(text, "\n") {
			head += "\n"
		}
		s.print(head + strings.TrimRight(output.Text(text), "\n"))
	}
	s.show()
	s.ask()
	s.leaveIfIdle()
}

// failure says why a command has no result.
func (s *Shell) failure(r *running, err error) string {
	var refused *async.ExecuteError
	var cut *async.ExecInterruptedError
	var human *async.HMPError
	switch {
	case errors.As(err, &refused):
		return output.Text("error " + refused.Class + ": " + refused.Desc)
	case errors.As(err, &human):
		return strings.TrimRight(output.Text(human.Text), "\n")
	case errors.As(err, &cut):
		why := "the connection has ended before the reply of " + r.name
		if r.gaveUp || s.leaving {
			why = "gave up on " + r.name
		}
		if cut.Sent {
			return why + ": it was sent, so the server may still execute it"
		}
		return why + ": it was not sent"
	}
	var away *async.StateError
	if errors.As(err, &away) {
		return "not sent: not connected"
	}
	return output.Text(err.Error())
}

// format returns a result: on one line if it fits the screen beside a head of that width.
func (s *Shell) format(value json.RawMessage, head int) string {
	one := s.compactPrinter().Format(value)
	if !s.opts.Pretty && ansi.StringWidth(string(one))+head <= s.width() || len(value) == 0 || value[0] != '{' && value[0] != '[' {
		return string(one)
	}
	p := s.printer
	p.Pretty = true
	text := string(p.Format(value))
	if head > 0 {
		text = "\n" + text
	}
	return text
}

func (s *Shell) compactPrinter() *output.Printer {
	p := s.printer
	p.Pretty = false
	return &p
}

// print prints whole lines.
func (s *Shell) print(text string) { s.ui.Print(text) }

// versionText returns the version in a greeting.
func versionText(g *async.Greeting) string {
	v := g.Version
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Micro)
}

// width returns the width of the screen, in columns.
func (s *Shell) width() int {
	if w, _, err := term.GetSize(int(s.opts.Out.Fd())); err == nil && w > 0 {
		return w
	}
	return 80
}
