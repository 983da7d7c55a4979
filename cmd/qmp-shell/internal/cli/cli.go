// Package cli has the command line of the program: its options and commands, and what
// each of them starts.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/usage"
)

// An app is one run of the program.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	grammar        grammar
	program        []string               // what follows "--"; nil without it
	configure      []func(*async.Options) // change the options of the client that is made
}

// Main runs the program with the arguments args, and returns its exit status.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signals(context.Background())
	defer stop()
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	err := a.run(ctx, args)
	sig, ended := errors.AsType[*SignalError](context.Cause(ctx))
	unprinted := slices.DeleteFunc(leaves(err), func(err error) bool {
		return reported(err) || ended && !is[*agent.ThawError](err) // most errors only say that the context has ended
	})
	for _, err := range unprinted {
		a.complain(err)
	}
	switch {
	case ended:
		return sig.Status()
	case unread(err):
		return statusPipe
	}
	return statusOf(err)
}

// run parses args and runs the command that they name.
func (a *app) run(ctx context.Context, args []string) error {
	if i := slices.Index(args, "--"); i >= 0 {
		args, a.program = args[:i], args[i+1:]
		if len(a.program) == 0 {
			return wrong("a program is missing after --, such as qemu-system-x86_64")
		}
	}
	parser, err := newParser(&a.grammar)
	if err != nil {
		return err
	}
	if len(args) == 0 && a.program == nil && os.Getenv(socketVariable) == "" {
		return wrong("an address is missing: qmp-shell ADDRESS, or qmp-shell -- qemu-system-x86_64 ... to start a machine; --help tells more")
	}
	parsed, err := parser.Parse(args)
	if wanted, ok := errors.AsType[*helpWanted](err); ok {
		_, err := io.WriteString(a.stdout, usage.Help(wanted.node, width(a.stdout)))
		return err
	}
	if err != nil {
		return &UsageError{err}
	}
	if a.grammar.Version {
		_, err := fmt.Fprintln(a.stdout, "qmp-shell", version())
		return err
	}
	node := parsed.Selected()
	switch node.Parent.Name {
	case "qom":
		return a.grammar.QOM.run(ctx, a, node.Name)
	case "agent":
		return a.grammar.Agent.run(ctx, a, node.Name)
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return parsed.Run(a)
}

// unread reports whether err says that nobody reads what the program prints. (A socket fails
// with another type of error.)
func unread(err error) bool {
	write, ok := errors.AsType[*fs.PathError](err)
	return ok && write.Op == "write" && errors.Is(write.Err, syscall.EPIPE)
}

// complain prints an error, and what to do about it if that is known.
func (a *app) complain(err error) {
	text := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "qmp: "), ": qmp: ", ": ")
	text = forPeople(text)
	if hint := hint(err); hint != "" {
		text += "\n" + hint
	}
	if output.IsTerminal(a.stderr) {
		text = output.Text(text)
	}
	fmt.Fprintln(a.stderr, "qmp-shell:", text)
}

// version returns the version that the program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown version)"
	}
	return info.Main.Version
}

// wrong returns a *UsageError.
func wrong(format string, args ...any) error {
	return &UsageError{fmt.Errorf(format, args...)}
}
