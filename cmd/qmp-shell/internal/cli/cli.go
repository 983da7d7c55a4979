// Package cli has the command line of the program: its options and commands, and what
// each of them starts.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/goqmp/qmp/async"
)

// A grammar is the command line, as kong reads it.
type grammar struct {
	Commands []string `short:"c" name:"command" sep:"none" placeholder:"COMMAND" help:"Execute COMMAND and print its result. May be given several times."`
	Address  string   `arg:"" help:"Where the server listens: the path of a unix socket, HOST:PORT, or an address with unix:, tcp:, vsock: or fd: before it."`
}

// Main runs the program with the arguments args, and returns its exit status.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, args, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "qmp-shell:", err)
	}
	return statusOf(err)
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	var g grammar
	parser, err := kong.New(&g, kong.Name("qmp-shell"))
	if err != nil {
		return err
	}
	if _, err := parser.Parse(args); err != nil {
		return &UsageError{err}
	}
	if len(g.Commands) == 0 {
		return &UsageError{errors.New("nothing to do: give a command with -c")}
	}
	c, err := async.Dial(ctx, g.Address, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, line := range g.Commands {
		message := json.RawMessage(line)
		if !json.Valid(message) {
			return &UsageError{fmt.Errorf("the command is not JSON: %s", line)}
		}
		reply, err := c.Do(ctx, async.Command{Object: message})
		if err != nil {
			return err
		}
		value, err := reply.Value()
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s\n", value)
	}
	return nil
}
