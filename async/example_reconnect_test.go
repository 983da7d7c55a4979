// The example of a client that connects again by itself.
package async_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/goqmp/qmp/async"
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

// A service follows one machine for ever. The machine ends, and another one is started
// in its place. The client connects again by itself, sets up each connection,
// and its listener goes on with the events of the next one.
func ExampleReconnect() {
	first, stopFirst := machine()
	defer stopFirst()
	second, stopSecond := machine()
	defer stopSecond()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	c := async.New(&async.Options{
		Dialer:  inTurn(first, second), // a service has one address, and no Dialer
		Backoff: async.Every(50 * time.Millisecond),
		Reconnect: &async.Reconnect{
			Wait: true, // calls wait for the next connection
			OnConnect: func(ctx context.Context, c async.Caller) error {
				_, err := async.Call[struct{}](ctx, c, "stop", nil)
				return err
			},
		},
	})
	defer c.Close()
	events := c.NewListener(nil, "STOP")
	if err := c.Connect(ctx, ""); err != nil {
		log.Print(err)
		return
	}
	for ev, err := range events.All(ctx) {
		if lost, ok := errors.AsType[*async.ExecInterruptedError](err); ok {
			fmt.Println("lost: connection", lost.Session)
			continue // the client connects again, and All goes on
		}
		if err != nil {
			log.Print(err) // ctx has ended, or the client has given up
			return
		}
		fmt.Println(ev.Name, "on connection", ev.Session)
		if ev.Session == 2 {
			return
		}
		if _, err := c.Execute(ctx, "quit", nil); err != nil { // what happens to the first machine in this example
			log.Print(err)
		}
	}
	// Output:
	// STOP on connection 1
	// lost: connection 1
	// STOP on connection 2
}
