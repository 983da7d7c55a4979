package cli

import (
	"context"
	"os"
	"os/signal"

	"github.com/goqmp/qmp/cmd/qmp-shell/internal/interactive"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/terminal"
)

// forPerson reports whether a person types the commands: nothing on the command line says
// what to do, and there is a terminal.
func (c *execution) forPerson(a *app) bool {
	given := len(c.Commands) > 0 || c.File != "" || c.Get != nil || len(c.WaitEvent) > 0 || len(c.Match) > 0 || c.Job != "" || c.Complete
	return !given && output.IsTerminal(a.stdin) && output.IsTerminal(a.stdout)
}

// interactive runs the shell for people.
func (c *execution) interactive(ctx context.Context, a *app, address string) error {
	in, out := a.stdin.(*os.File), a.stdout.(*os.File)
	sh := interactive.New(interactive.Options{
		In: in, Out: out, Color: output.Colors(out),
		HMP: c.HMP, Pretty: a.grammar.Pretty, Raw: a.grammar.Raw, Verbose: a.grammar.Verbose,
		Agent:   a.grammar.SkipNegotiation,
		Once:    a.program != nil,
		History: terminal.HistoryPath(os.Getenv),
	})
	a.grammar.Verbose = false // the shell prints messages itself, above the line that is typed
	a.configure = append(a.configure, sh.Configure)
	s, err := a.open(ctx, address, sh.Attach)
	if err != nil {
		return err
	}
	// From now on an interrupt is for the shell: it gives up a command, and does not end the
	// program. The channel is there because without one it would end the program, and leave
	// the terminal as the line editor has set it.
	signal.Reset(os.Interrupt)
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	err = sh.Run(ctx)
	if closed := s.close(); err == nil {
		err = closed
	}
	return err
}
