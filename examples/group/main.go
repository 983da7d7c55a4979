// Group drives several machines as one: a command to all of them, the events of all of
// them in one stream, the end of one of them, and a restart of one after another.
//
//	go run ./examples/group
//
// It uses qemu-system-x86_64 on the PATH, or the program that QMP_TEST_QEMU names, and
// starts empty machines. If there is no such program, or with -simulate, the machines are
// simulated.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/group"
	"github.com/goqmp/qmp/qapi"
)

func main() {
	n := flag.Int("n", 5, "how many machines")
	simulate := flag.Bool("simulate", false, "use simulated machines even if QEMU is installed")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Stdout, *n, *simulate); err != nil {
		fmt.Fprintln(os.Stderr, "group:", err)
		cancel()
		os.Exit(1)
	}
}

// run starts n machines and drives them. When it returns, nothing of the machines is left.
func run(ctx context.Context, out io.Writer, n int, simulate bool) error {
	if n < 2 {
		return errors.New("-n: at least two machines make a group")
	}
	var vms group.Group[*async.Client]
	defer func() {
		for _, vm := range vms.All() {
			vm.Close()
		}
	}()
	for i := range n {
		name := fmt.Sprintf("vm%02d", i+1)
		vm, stop, err := start(ctx, name, simulate)
		if err != nil {
			return err
		}
		defer stop()
		if err := vms.Add(name, vm); err != nil {
			return err
		}
	}
	err := drive(ctx, out, &vms)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// drive is what a service does with its machines.
func drive(ctx context.Context, out io.Writer, vms *group.Group[*async.Client]) error {
	// No machine takes longer than this. Without a limit, one that hangs would hold up the
	// result of the others.
	limit := &group.Options{Timeout: 10 * time.Second}

	status, err := group.Do(ctx, vms, limit, qapi.QueryStatus)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(status)) {
		fmt.Fprintln(out, name, "is", status[name].Status)
	}

	// The events of all machines, also of those that join later.
	events := vms.NewListener(nil, "STOP", "RESUME", "SHUTDOWN")
	defer events.Close()
	err = vms.Each(ctx, limit, func(ctx context.Context, _ string, vm *async.Client) error {
		return qapi.Stop(ctx, vm)
	})
	if err != nil {
		return err
	}
	var stopped []string
	for range vms.Len() {
		ev, err := events.Next(ctx)
		if err != nil {
			return err
		}
		stopped = append(stopped, ev.Member)
	}
	slices.Sort(stopped)
	fmt.Fprintln(out, "Stopped:", strings.Join(stopped, " "))

	// One machine ends. Its events come first, then a notice. The stream goes on.
	first := vms.Names()[0]
	vm, _ := vms.Get(first)
	if err := qapi.Quit(ctx, vm); err != nil && !async.HungUp(err) {
		return err
	}
	for ev, err := range events.All(ctx) {
		notice, ok := errors.AsType[*group.Error](err)
		if ok {
			fmt.Fprintf(out, "%s is lost: %t\n", notice.Member, async.HungUp(notice))
			break
		} else if err != nil {
			return err
		}
		fmt.Fprintln(out, ev.Member, ev.Name)
	}

	// A command to all now has results, and an error with a name.
	status, err = group.Do(ctx, vms, limit, qapi.QueryStatus)
	fmt.Fprintln(out, len(status), "machines answer")
	for name := range group.Errors(err) {
		fmt.Fprintln(out, name, "does not answer, and leaves the group")
		if vm, ok := vms.Remove(name); ok {
			vm.Close()
		}
	}

	// One after another. The next one begins when the loop has looked at the last one, so
	// a failure leaves the others as they are.
	oneByOne := &group.Options{Concurrency: 1, Timeout: 10 * time.Second}
	for r := range group.Results(ctx, vms, oneByOne, restart) {
		if r.Err != nil {
			return r.Err
		}
		fmt.Fprintln(out, r.Member, "is", r.Value, "again")
	}
	return nil
}

// restart resets a machine and lets it run. It returns the machine's status.
func restart(ctx context.Context, _ string, vm *async.Client) (qapi.RunState, error) {
	if err := qapi.SystemReset(ctx, vm); err != nil {
		return "", err
	}
	if err := qapi.Cont(ctx, vm); err != nil {
		return "", err
	}
	status, err := qapi.QueryStatus(ctx, vm)
	if err != nil {
		return "", err
	}
	return status.Status, nil
}
