package cli

import (
	"context"
	"io"

	"github.com/alecthomas/kong"

	"github.com/goqmp/qmp/cmd/qmp-shell/internal/usage"
)

// newParser returns the parser for g.
func newParser(g *grammar) (*kong.Kong, error) {
	return kong.New(g, kong.Name("qmp-shell"), kong.NoDefaultHelp(), kong.ExplicitGroups([]kong.Group{
		{Key: "Commands", Title: "What is executed"},
		{Key: "Output", Title: "What is printed"},
		{Key: "Connection", Title: "The connection"},
		{Key: "TLS", Title: "TLS"},
	}))
}

// A helpFlag is the option --help.
type helpFlag bool

// BeforeReset ends the parsing, before something can be found to be missing.
func (helpFlag) BeforeReset(c *kong.Context) error {
	node := c.Selected()
	if node == nil {
		node = c.Model.Node
	}
	return &helpWanted{node}
}

// helpWanted is the error that says that help about a command is wanted.
type helpWanted struct{ node *kong.Node }

func (*helpWanted) Error() string { return "help is wanted" }

// Run prints the completion script.
func (c *completionCommand) Run(_ context.Context, a *app) error {
	script, err := usage.Completion(a.model(), c.For)
	if err != nil {
		return &UsageError{err}
	}
	_, err = io.WriteString(a.stdout, script)
	return err
}

// Run prints the manual page.
func (*manCommand) Run(_ context.Context, a *app) error {
	_, err := io.WriteString(a.stdout, usage.Man(a.model()))
	return err
}

// model returns the model of the command line.
func (a *app) model() *kong.Node {
	parser, err := newParser(&grammar{})
	if err != nil {
		panic(err) // it has parsed this command
	}
	return parser.Model.Node
}
