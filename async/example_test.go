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

// machine starts the machine that an example connects to: a simulated one, or QEMU
// where a test replaces it. addr is the address that QEMU has in its option -qmp.
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

// If the server refuses a command, the error is an ExecuteError, which says why.
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

// A range over All gets an error when the connection ends. After a quit that is an end
// of file.
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

// A history has the newest events, even if they have been read: for a report when
// something goes wrong, say.
func ExampleEventListener_History() {
	addr, stop := machine()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := async.Dial(ctx, addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	events := c.NewListener(&async.ListenerOptions{History: 2}, "STOP", "RESUME")
	defer events.Close()
	for _, command := range []string{"stop", "cont", "stop"} {
		if _, err := c.Execute(ctx, command, nil); err != nil {
			log.Fatal(err)
		}
		if _, err := events.Next(ctx); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("unread:", events.Len())
	for _, ev := range events.History() {
		fmt.Println("the newest:", ev.Name)
	}
	// Output:
	// unread: 0
	// the newest: RESUME
	// the newest: STOP
}

// A machine that was just started may not listen yet. With Backoff, Connect dials
// again until it does; the context says for how long.
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
