package qmpsync_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/goqmp/qmp/async"
	qmpsync "github.com/goqmp/qmp/sync"
)

// inTurn dials addrs, one after another.
func inTurn(addrs ...string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := async.DialAddr(addrs[0])(ctx)
		if err == nil {
			addrs = addrs[1:]
		}
		return conn, err
	}
}

// A program whose machine ends, and is started again. The client connects again by
// itself, and sets up each connection. Calls wait for it, and events are read on.
func ExampleOptions_reconnect() {
	first, stopFirst := machine()
	defer stopFirst()
	second, stopSecond := machine()
	defer stopSecond()

	c := qmpsync.New(&qmpsync.Options{
		CommandLimit: 10 * time.Second, // of each command, waiting for a connection included
		Async: async.Options{
			Dialer:  inTurn(first, second), // a program has one address, and no Dialer
			Backoff: async.Every(50 * time.Millisecond),
			Reconnect: &async.Reconnect{
				Wait: true,
				OnConnect: func(ctx context.Context, c async.Caller) error {
					_, err := async.Call[struct{}](ctx, c, "stop", nil)
					return err
				},
			},
		},
	})
	defer c.Close()
	events := c.NewListener(nil, "STOP")
	if err := c.Connect(""); err != nil {
		log.Print(err)
		return
	}
	if _, err := c.Execute("quit", nil); err != nil { // what happens to the first machine in this example
		log.Print(err)
	}
	for range 3 {
		ev, err := events.Next(10 * time.Second)
		if lost, ok := errors.AsType[*async.ExecInterruptedError](err); ok {
			fmt.Println("lost: connection", lost.Session)
			continue
		}
		if err != nil {
			log.Print(err)
			return
		}
		fmt.Println(ev.Name, "on connection", ev.Session)
	}
	status, err := qmpsync.Call[struct{ Running bool }](c, "query-status", nil)
	fmt.Println("running:", status.Running, err)
	// Output:
	// STOP on connection 1
	// lost: connection 1
	// STOP on connection 2
	// running: false <nil>
}
