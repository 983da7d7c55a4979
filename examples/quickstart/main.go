// Quickstart drives a virtual machine with the calls of QEMU's old Python qmp
// module. With qemu-system-x86_64 on the PATH, or named by QMP_TEST_QEMU, the
// machine is QEMU's, and an empty one: no disk, no display. Without, or with
// -simulate, it is a simulated one.
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
	qmpsync "github.com/goqmp/qmp/sync"
)

func main() {
	simulate := flag.Bool("simulate", false, "talk to a simulated machine even if QEMU is there")
	flag.Parse()

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, *simulate); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		cancel()
		os.Exit(1)
	}
}

// run starts a machine and leaves nothing of it behind, whatever happens.
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

// drive is the script: what stood in Python, in Go.
func drive(ctx context.Context, addr string) error {
	vm, err := legacy.New(addr, &legacy.Options{
		Nickname: "vm",
		// The machine was just started: ask for its socket again until it is there.
		Sync: qmpsync.Options{Async: async.Options{Backoff: async.Every(20 * time.Millisecond)}},
	})
	if err != nil {
		return err
	}
	defer vm.Close()
	defer context.AfterFunc(ctx, func() { vm.Close() })() // Ctrl-C ends whatever waits

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

	// Cmd returns the whole reply. An error reply is data like any other ...
	reply, err := vm.Cmd("make-coffee", nil)
	if err != nil {
		return err
	}
	show("An error, Cmd: ", reply)

	// ... whereas Command makes a Go error of it.
	_, err = vm.Command("make-coffee", nil)
	var refused *async.ExecuteError
	if !errors.As(err, &refused) {
		return fmt.Errorf("make-coffee: want an ExecuteError, got: %w", err)
	}
	fmt.Println("... by Command:", refused.Class+":", refused.Desc)

	// Events are kept in a queue. PullEvent takes the oldest one,
	if _, err := vm.Command("stop", nil); err != nil {
		return err
	}
	event, err := vm.PullEvent(legacy.For(2 * time.Second))
	if err != nil {
		return err
	}
	show("Behind stop:   ", event)

	// and GetEvents all there are.
	if _, err := vm.Command("cont", nil); err != nil {
		return err
	}
	events, err := vm.GetEvents(legacy.For(2 * time.Second))
	if err != nil {
		return err
	}
	show("Behind cont:   ", events)

	// The same connection, two floors down: calls with contexts.
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	state, err := async.Call[struct {
		Status string `json:"status"`
	}](short, vm.Sync().Async(), "query-status", nil)
	if err != nil {
		return err
	}
	fmt.Println("Asynchronously:", state.Status)

	reply, err = vm.Cmd("quit", nil)
	if err != nil {
		return err
	}
	show("quit:          ", reply)
	event, err = vm.PullEvent(legacy.For(2 * time.Second))
	if err != nil {
		return err
	}
	show("Behind quit:   ", event["event"])

	// Close says how the connection ended. Behind quit that is an end of file; if
	// Close is quicker than the machine, it is nothing.
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
