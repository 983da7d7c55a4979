// The example of a client that connects again after each end.
package async_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/goqmp/qmp/async"
)

// follow connects, prints the events of this one connection, and returns why the
// connection ended.
//
// The listener is made for this connection, before Connect, so that early events
// are in it too. A listener that lived longer could still hold the notice that
// the connection before this one had ended.
func follow(ctx context.Context, c *async.Client, addr string) error {
	events := c.NewListener(&async.ListenerOptions{Limit: 2})
	defer events.Close()
	if err := c.Connect(ctx, addr); err != nil {
		return err // a program may wait a while and try again
	}
	for _, command := range []string{"stop", "cont", "quit"} { // what happens to the machine in this example
		if _, err := c.Execute(ctx, command, nil); err != nil {
			log.Print(err)
		}
	}
	select { // this program reads late, so that the listener's limit is reached
	case <-c.Done():
	case <-ctx.Done():
	}
	for ev, err := range events.All(ctx) {
		if lost, ok := errors.AsType[*async.OverflowError](err); ok {
			fmt.Println("lost:", lost.Lost)
			continue // events were dropped; the connection goes on
		}
		if err != nil {
			break // the connection has ended, or ctx
		}
		fmt.Println(ev.Name)
	}
	return c.Disconnect(ctx) // returns the cause; the client is idle after that
}

// A service follows a machine that is started again and again. It uses one
// client, and one connection after another.
func ExampleClient_Connect_again() {
	first, stopFirst := machine()
	defer stopFirst()
	second, stopSecond := machine()
	defer stopSecond()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c := async.New(&async.Options{Backoff: async.Every(50 * time.Millisecond)})
	defer c.Close()
	for _, addr := range []string{first, second} { // a service has one address, and loops for ever
		fmt.Println("ended:", follow(ctx, c, addr))
	}
	// Output:
	// lost: 1
	// RESUME
	// SHUTDOWN
	// ended: EOF
	// lost: 1
	// RESUME
	// SHUTDOWN
	// ended: EOF
}
