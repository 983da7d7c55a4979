// Quickstart drives a virtual machine with the calls of QEMU's old Python qmp
// module. It uses qemu-system-x86_64 on the PATH, or the program that QMP_TEST_QEMU
// names, and starts an empty machine without a disk and a display. If there is no such
// program, or with -simulate, it uses a simulated machine.
//
//	go run ./examples/quickstart
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/legacy"
	"github.com/goqmp/qmp/qapi"
	qmpsync "github.com/goqmp/qmp/sync"
)

func main() {
	simulate := flag.Bool("simulate", false, "use a simulated machine even if QEMU is installed")
	flag.Parse()

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, *simulate); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		cancel()
		os.Exit(1)
	}
}

// run starts a machine and drives it. When run returns, nothing of the machine is left.
func run(ctx context.Context, simulate bool) error {
	m, err := start(ctx, simulate)
	if err != nil {
		return err
	}
	defer m.stop()
	fmt.Println("The machine:   ", m.what)

	err = drive(ctx, m.addr)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// drive is a script as it would be in Python, in Go.
func drive(ctx context.Context, addr string) error {
	vm, err := legacy.New(addr, &legacy.Options{
		Nickname: "vm",
		// The machine was just started: try again until its socket exists.
		Sync: qmpsync.Options{Async: async.Options{Backoff: async.Every(20 * time.Millisecond)}},
	})
	if err != nil {
		return err
	}
	defer vm.Close()
	defer context.AfterFunc(ctx, func() { vm.Close() })() // Ctrl-C ends any call that waits

	greeting, err := vm.Connect(true)
	if err != nil {
		return err
	}
	show("Its greeting:  ", greeting["QMP"])

	// Command returns the value of the reply.
	status, err := vm.Command("query-status", nil)
	if err != nil {
		return err
	}
	show("query-status:  ", status)

	// Cmd returns the whole reply, also if it is an error.
	reply, err := vm.Cmd("make-coffee", nil)
	if err != nil {
		return err
	}
	show("An error, Cmd: ", reply)

	// Command returns an error reply as a Go error.
	_, err = vm.Command("make-coffee", nil)
	var refused *async.ExecuteError
	if !errors.As(err, &refused) {
		return fmt.Errorf("make-coffee: want an ExecuteError, got: %w", err)
	}
	fmt.Println("... by Command:", refused.Class+":", refused.Desc)

	// Events are kept in a queue. PullEvent removes the oldest one.
	if _, err := vm.Command("stop", nil); err != nil {
		return err
	}
	event, err := vm.PullEvent(legacy.For(2 * time.Second))
	if err != nil {
		return err
	}
	show("After stop:    ", event)

	// GetEvents removes all of them.
	if _, err := vm.Command("cont", nil); err != nil {
		return err
	}
	events, err := vm.GetEvents(legacy.For(2 * time.Second))
	if err != nil {
		return err
	}
	show("After cont:    ", events)

	// Package qapi over the same connection: functions with contexts and typed results.
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	state, err := qapi.QueryStatus(short, vm.Sync().Async())
	if err != nil {
		return err
	}
	fmt.Println("By qapi:       ", state.Status, state.Running)

	reply, err = vm.Cmd("quit", nil)
	if err != nil {
		return err
	}
	show("quit:          ", reply)
	event, err = vm.PullEvent(legacy.For(2 * time.Second))
	if err != nil {
		return err
	}
	show("After quit:    ", event["event"])

	// Close returns how the connection ended. After quit that is an end of file, or
	// nil if Close comes before the machine has ended the connection.
	if err := vm.Close(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	fmt.Println("Done.")
	return nil
}

// show prints a value as JSON, on one line.
func show(label string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		text = fmt.Append(nil, v)
	}
	fmt.Printf("%s %s\n", label, text)
}
