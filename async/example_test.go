package async_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// machine starts the machine that an example talks to: a simulated one, or QEMU
// where a test says so. Its address is what stands in QEMU's -qmp option.
var machine = simulated

func simulated() (addr string, stop func()) {
	s, err := qmptest.NewServer(nil)
	if err != nil {
		log.Fatal(err)
	}
	return s.Addr(), func() { s.Close() }
}

func Example() {
	addr, stop := machine()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	c, err := async.Dial(ctx, addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	events := c.NewListener(nil, "STOP")
	defer events.Close()
	if _, err := c.Execute(ctx, "stop", nil); err != nil {
		log.Fatal(err)
	}
	ev, err := events.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ev.Name)
	// Output: STOP
}

func ExampleCall() {
	addr, stop := machine()
	defer stop()
	ctx := context.Background()
	c, err := async.Dial(ctx, addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	status, err := async.Call[struct {
		Running bool   `json:"running"`
		Status  string `json:"status"`
	}](ctx, c, "query-status", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.Status, status.Running)
	// Output: running true
}

// The server's refusal is data in an ExecuteError.
func ExampleClient_Execute() {
	addr, stop := machine()
	defer stop()
	ctx := context.Background()
	c, err := async.Dial(ctx, addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	_, err = c.Execute(ctx, "make-coffee", map[string]any{"sugar": 2})
	var refused *async.ExecuteError
	if errors.As(err, &refused) {
		fmt.Println(refused.Class)
		fmt.Println(refused.Desc)
	}
	// Output:
	// CommandNotFound
	// The command make-coffee has not been found
}

// A range over All ends when the connection does; quit leaves an end of file.
func ExampleEventListener_All() {
	addr, stop := machine()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := async.Dial(ctx, addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	events := c.NewListener(nil)
	defer events.Close()
	if _, err := c.Execute(ctx, "quit", nil); err != nil {
		log.Fatal(err)
	}
	for ev, err := range events.All(ctx) {
		var ended *async.ExecInterruptedError
		if errors.As(err, &ended) {
			fmt.Println("ended:", ended.Err)
			break
		}
		fmt.Println(ev.Name)
	}
	fmt.Println(errors.Is(c.Disconnect(ctx), io.EOF), c.Runstate())
	// Output:
	// SHUTDOWN
	// ended: EOF
	// true IDLE
}

// A machine that was just started may not listen yet: Backoff says how to wait
// for it, the context for how long.
func ExampleOptions_backoff() {
	addr, stop := machine()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := async.Dial(ctx, addr, &async.Options{
		Nickname: "vm1",
		Backoff:  async.Every(50 * time.Millisecond),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Println(c.Runstate())
	// Output: RUNNING
}
