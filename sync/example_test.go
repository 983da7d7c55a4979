package qmpsync_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	qmpsync "github.com/goqmp/qmp/sync"
)

// machine starts the machine that an example talks to and returns its address: a
// simulated machine, unless TestExamples_QEMU has set another function. For a QEMU,
// the address is what its -qmp option says.
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

	c, err := qmpsync.Dial(addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	c.SetTimeout(10 * time.Second)
	if _, err := c.Execute("stop", nil); err != nil {
		log.Fatal(err)
	}
	ev, err := c.WaitEvent(5*time.Second, "STOP")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ev.Name)
	// Output: STOP
}

func ExampleCall() {
	addr, stop := machine()
	defer stop()
	c, err := qmpsync.Dial(addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	status, err := qmpsync.Call[struct {
		Status  string `json:"status"`
		Running bool   `json:"running"`
	}](c, "query-status", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.Status, status.Running)
	// Output: running true
}

// When a command reaches its time limit, the error says whether it was sent.
func ExampleClient_SetTimeout() {
	addr, stop := machine()
	defer stop()
	c, err := qmpsync.Dial(addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	c.SetTimeout(-1) // commands fail at once
	_, err = c.Execute("stop", nil)
	var interrupted *async.ExecInterruptedError
	if errors.As(err, &interrupted) {
		fmt.Println(errors.Is(err, os.ErrDeadlineExceeded), interrupted.SafeToRetry())
	}
	// Output: true true
}

// WaitEventFunc can choose an event by more than its name. Here it returns the second
// STOP.
func ExampleClient_WaitEventFunc() {
	addr, stop := machine()
	defer stop()
	c, err := qmpsync.Dial(addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	for _, command := range []string{"stop", "cont", "stop"} {
		if _, err := c.Execute(command, nil); err != nil {
			log.Fatal(err)
		}
	}
	stops := 0
	ev, err := c.WaitEventFunc(5*time.Second, func(ev async.Event) bool {
		if ev.Name == "STOP" {
			stops++
		}
		return stops == 2
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ev.Name)
	// Output: STOP
}

// A listener has a queue of its own, with the events that it was made for.
func ExampleClient_NewListener() {
	addr, stop := machine()
	defer stop()
	c, err := qmpsync.Dial(addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	resumed := c.NewListener(nil, "RESUME")
	defer resumed.Close()
	for _, command := range []string{"stop", "cont"} {
		if _, err := c.Execute(command, nil); err != nil {
			log.Fatal(err)
		}
	}
	ev, err := resumed.Next(5 * time.Second)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ev.Name)
	// Output: RESUME
}

// One call with a context, on the same connection.
func ExampleClient_Async() {
	addr, stop := machine()
	defer stop()
	c, err := qmpsync.Dial(addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	value, err := c.Async().Execute(ctx, "query-name", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(value))
	// Output: {}
}
