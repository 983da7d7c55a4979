// Daemon follows 20 machines that are killed and started again. It has no code for that:
// its clients connect again by themselves, and its stream of events goes on.
//
//	go run ./examples/daemon
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
	"os"
	"os/signal"
	"syscall"
)

func main() {
	n := flag.Int("n", 20, "how many machines")
	kills := flag.Int("kills", 40, "how often a machine is killed and started again")
	simulate := flag.Bool("simulate", false, "use simulated machines even if QEMU is installed")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Stdout, *n, *kills, *simulate); err != nil {
		fmt.Fprintln(os.Stderr, "daemon:", err)
		cancel()
		os.Exit(1)
	}
}

// run starts machines and the daemon, and kills machines. When it returns, nothing of
// them is left.
func run(ctx context.Context, out io.Writer, n, kills int, simulate bool) error {
	machines, err := startAll(n, simulate)
	if err != nil {
		return err
	}
	defer machines.stop()
	d, err := newDaemon(ctx, out, machines.addrs())
	if err != nil {
		return err
	}
	defer d.close()

	followed := make(chan struct{})
	go func() {
		defer close(followed)
		d.follow(ctx)
	}()
	err = machines.killAndStart(ctx, kills)
	if err == nil {
		err = d.stopAll(ctx)
	}
	d.close()
	<-followed
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}
