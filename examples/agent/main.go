// Agent works with a guest through its agent: it executes programs, copies files, freezes
// file systems and shuts the guest down.
//
//	go run ./examples/agent
//
// It boots the small Linux of this project's tests, which "make guest" fetches, in
// qemu-system-x86_64 on the PATH or the program that QMP_TEST_QEMU names. If there is no
// such guest, or with -simulate, it talks to a simulated agent, which can do less. With an
// address, such as /run/vm1.qga, it only asks the agent there who it is:
//
//	go run ./examples/agent /run/vm1.qga
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/qapi/qga"
)

func main() {
	simulate := flag.Bool("simulate", false, "talk to a simulated agent even if there is a guest")
	flag.Parse()

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Stdout, flag.Arg(0), *simulate); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		cancel()
		os.Exit(1)
	}
}

// run does everything. When it returns, nothing of the guest is left.
func run(ctx context.Context, out io.Writer, addr string, simulate bool) error {
	p := &program{out: out}
	if addr != "" {
		a, err := agent.Dial(ctx, addr, nil)
		if err != nil {
			return err
		}
		defer a.Close()
		return p.ask(ctx, a)
	}
	vm, err := start(ctx, simulate)
	if err != nil {
		return err
	}
	defer vm.stop()
	p.say("The guest: %s", vm.what)
	return p.work(ctx, vm)
}

// work does with the guest what this example shows.
func (p *program) work(ctx context.Context, vm *guestSystem) error {
	a, err := p.await(ctx, vm.agent)
	if err != nil {
		return err
	}
	defer a.Close()
	steps := []func(context.Context, *agent.Client) error{p.ask, p.execute, p.fail}
	if vm.real {
		steps = append(steps, p.talk, p.copyFile, p.list)
	}
	for _, step := range append(steps, p.freeze, p.shutDown) {
		if err := step(ctx, a); err != nil {
			return err
		}
	}
	return vm.await(ctx)
}

// A program says what it does.
type program struct{ out io.Writer }

func (p *program) say(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

// await connects to the agent of a guest that may still boot.
func (p *program) await(ctx context.Context, addr string) (*agent.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	return agent.Dial(ctx, addr, &agent.Options{
		Engine: async.Options{Backoff: async.Every(50 * time.Millisecond), Reconnect: &async.Reconnect{}},
	})
}

// ask asks the agent who it is, by typed functions.
func (p *program) ask(ctx context.Context, a *agent.Client) error {
	p.say("The agent has version %s and knows %d commands.", a.Version(), len(a.Commands()))
	info, err := qga.GuestGetOsinfo(ctx, a)
	if err != nil {
		return err
	}
	if info.KernelRelease != nil {
		p.say("Its kernel: %s", *info.KernelRelease)
	}
	// This command needs libraries that not every guest has.
	_, err = qga.GuestGetUsers(ctx, a)
	var disabled *agent.DisabledError
	switch {
	case errors.As(err, &disabled):
		p.say("It does not offer %s.", disabled.Command)
	case err != nil:
		return err
	}
	return nil
}

// execute executes a program in the guest.
func (p *program) execute(ctx context.Context, a *agent.Client) error {
	cmd := a.Command(ctx, "tr", "a-z", "A-Z")
	cmd.Stdin = strings.NewReader("hello from the host")
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	p.say("tr prints: %s", out)
	return nil
}

// fail executes a program that fails.
func (p *program) fail(ctx context.Context, a *agent.Client) error {
	_, err := a.Command(ctx, "cat", "/nonexistent").Output()
	var exit *agent.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("cat: want an ExitError, got: %w", err)
	}
	p.say("cat fails: exit status %d: %s", exit.Code, bytes.TrimSpace(exit.Stderr))
	return nil
}

// talk talks to a program while it runs.
func (p *program) talk(ctx context.Context, a *agent.Client) error {
	cmd := a.Command(ctx, "/bin/sh", "-c", `while read -r name; do echo "hello $name"; done`)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err // a *StreamError if the guest cannot do this
	}
	answers := bufio.NewScanner(out)
	for _, name := range []string{"Ada", "Grace"} {
		fmt.Fprintln(in, name)
		if answers.Scan() {
			p.say("The program answers: %s", answers.Text())
		}
	}
	if err := in.Close(); err != nil {
		return err
	}
	if answers.Scan() {
		return fmt.Errorf("an answer that nobody asked for: %s", answers.Text())
	}
	return cmd.Wait()
}

// copyFile copies a file to the guest and back.
func (p *program) copyFile(ctx context.Context, a *agent.Client) error {
	content := bytes.Repeat([]byte("some content "), 10_000)
	in, err := a.CopyIn(ctx, "/mnt/file", bytes.NewReader(content), int64(len(content)), nil)
	if err != nil {
		return err
	}
	back, err := os.CreateTemp("", "agent-")
	if err != nil {
		return err
	}
	defer os.Remove(back.Name())
	defer back.Close()
	out, err := a.CopyOut(ctx, back, "/mnt/file", nil)
	if err != nil {
		return err
	}
	p.say("Copied %d bytes in and out; the checksums are the same: %t", in.Size, in == out && in.Checked)
	return nil
}

// list lists a folder of the guest.
func (p *program) list(ctx context.Context, a *agent.Client) error {
	entries, err := fs.ReadDir(a.FS(ctx, "/"), "mnt")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		p.say("/mnt has %v", entry)
	}
	return nil
}

// freeze keeps the file systems frozen while a function runs.
func (p *program) freeze(ctx context.Context, a *agent.Client) error {
	err := a.Freeze(ctx, &agent.FreezeOptions{Limit: 10 * time.Second}, func(ctx context.Context) error {
		status, err := qga.GuestFsfreezeStatus(ctx, a)
		if err != nil {
			return err
		}
		p.say("The file systems are %s: take the snapshot now.", status)
		return nil
	})
	var lease *agent.LeaseError
	if errors.As(err, &lease) {
		return fmt.Errorf("throw the snapshot away: %w", err)
	}
	return err
}

// shutDown shuts the guest down.
func (p *program) shutDown(ctx context.Context, a *agent.Client) error {
	if err := qga.GuestShutdown(ctx, a, nil, 0); err != nil {
		return err
	}
	p.say("The guest shuts down.")
	return nil
}
