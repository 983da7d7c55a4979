package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/tools"
	"github.com/goqmp/qmp/qapi/qga"
)

// agentVariable is the environment variable that has the address of the guest agent, as
// for QEMU's qemu-ga-client.
const agentVariable = "QGA_CLIENT_ADDRESS"

// withAgent connects to the agent at argument, calls f, and disconnects.
func (a *app) withAgent(ctx context.Context, argument string, f func(*agent.Client) error) error {
	addr, err := a.addressOr(argument, agentVariable)
	if err != nil {
		return err
	}
	opts, closeLog, err := a.engine(addr)
	if err != nil {
		return err
	}
	connecting, cancel := a.limit(ctx)
	defer cancel()
	c, err := agent.Dial(connecting, addr, &agent.Options{Engine: *opts})
	if err != nil {
		return errors.Join(err, closeLog())
	}
	err = f(c)
	c.Close()
	return errors.Join(err, closeLog())
}

// run runs the command that name names.
func (c *agentCommand) run(ctx context.Context, a *app, name string) error {
	p := a.printer()
	program := a.program
	a.program = nil // it is not a machine
	if program != nil && name != "exec" && name != "freeze" {
		return wrong("agent %s starts no program", name)
	}
	// show connects, and prints the value that f returns.
	show := func(address string, f func(*agent.Client) (any, error)) error {
		return a.withAgent(ctx, address, func(g *agent.Client) error {
			v, err := f(g)
			if err != nil {
				return err
			}
			return printJSON(p, v)
		})
	}
	switch name {
	case "ping":
		return a.withAgent(ctx, c.Ping.Address, func(g *agent.Client) error {
			start := time.Now()
			if err := qga.GuestPing(ctx, g); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.stdout, "the agent (version %s) answered after %.1f ms\n", output.Text(g.Version()), time.Since(start).Seconds()*1000)
			return err
		})
	case "info":
		return show(c.Info.Address, func(g *agent.Client) (any, error) { return tools.AgentInfo(ctx, g) })
	case "exec":
		return c.exec(ctx, a, program)
	case "cat":
		return a.withAgent(ctx, c.Cat.Address, func(g *agent.Client) error { return tools.AgentCat(ctx, g, c.Cat.File, a.stdout) })
	case "put":
		return a.withAgent(ctx, c.Put.Address, func(g *agent.Client) error {
			_, err := tools.AgentPut(ctx, g, c.Put.Local, c.Put.Guest, &input{ctx: ctx, r: a.stdin})
			return err
		})
	case "get":
		return a.withAgent(ctx, c.Get.Address, func(g *agent.Client) error {
			_, err := tools.AgentGet(ctx, g, c.Get.Guest, c.Get.Local, a.stdout)
			return err
		})
	case "ls":
		return a.withAgent(ctx, c.Ls.Address, func(g *agent.Client) error { return tools.AgentList(ctx, g, c.Ls.Path, a.stdout) })
	case "freeze":
		if program != nil {
			return c.freeze(ctx, a, program)
		}
		return show(c.Freeze.Address, func(g *agent.Client) (any, error) { return qga.GuestFsfreezeFreeze(ctx, g) })
	case "thaw":
		return show(c.Thaw.Address, func(g *agent.Client) (any, error) { return qga.GuestFsfreezeThaw(ctx, g) })
	case "status":
		return show(c.Status.Address, func(g *agent.Client) (any, error) { return qga.GuestFsfreezeStatus(ctx, g) })
	case "trim":
		return show(c.Trim.Address, func(g *agent.Client) (any, error) {
			return qga.GuestFstrim(ctx, g, &qga.GuestFstrimArguments{Minimum: &c.Trim.Minimum})
		})
	case "interfaces":
		return show(c.Interfaces.Address, func(g *agent.Client) (any, error) { return qga.GuestNetworkGetInterfaces(ctx, g) })
	case "shutdown":
		return a.withAgent(ctx, c.Shutdown.Address, func(g *agent.Client) error {
			return qga.GuestShutdown(ctx, g, &qga.GuestShutdownArguments{Mode: &c.Shutdown.Mode}, noReply)
		})
	}
	return a.withAgent(ctx, c.Suspend.Address, func(g *agent.Client) error {
		switch c.Suspend.Mode {
		case "disk":
			return qga.GuestSuspendDisk(ctx, g, noReply)
		case "ram":
			return qga.GuestSuspendRAM(ctx, g, noReply)
		}
		return qga.GuestSuspendHybrid(ctx, g, noReply)
	})
}

// noReply is how long to wait for an error of a command that has no reply if it succeeds.
const noReply = 5 * time.Second

// exec runs a program in the guest.
func (c *agentCommand) exec(ctx context.Context, a *app, program []string) error {
	e := &c.Exec
	args := append(e.Program, program...)
	if len(args) == 0 {
		return wrong("the program is missing: agent exec ADDRESS -- PROGRAM ARGUMENT ...")
	}
	var stdin io.Reader
	if !e.NoInput {
		stdin = &input{ctx: ctx, r: a.stdin}
	}
	return a.withAgent(ctx, e.Address, func(g *agent.Client) error {
		return tools.AgentExec(ctx, g, tools.Program{Args: args, Env: e.Env, Dir: e.Dir, Buffered: e.Buffered}, stdin, a.stdout, a.stderr)
	})
}

// freeze runs a program here while the guest's file systems are frozen.
func (c *agentCommand) freeze(ctx context.Context, a *app, program []string) error {
	return a.withAgent(ctx, c.Freeze.Address, func(g *agent.Client) error {
		return g.Freeze(ctx, &agent.FreezeOptions{Limit: c.Freeze.Limit}, func(ctx context.Context) error {
			cmd := exec.CommandContext(ctx, program[0], program[1:]...)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr
			cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
			cmd.WaitDelay = 5 * time.Second
			return cmd.Run()
		})
	})
}

// exitStatus returns the exit status of a program that has failed, in the guest or here. ok
// is false if err is something else.
func exitStatus(err error) (status int, ok bool) {
	if exit, ok := errors.AsType[*agent.ExitError](err); ok {
		if exit.Signal > 0 {
			return 128 + exit.Signal, true
		}
		return exit.Code & 0xff, true
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		return exit.ExitCode(), true
	}
	return 0, false
}
