package qmpsync_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/goqmp/qmp/async"
	qmpsync "github.com/goqmp/qmp/sync"
)

// follow connects, prints the events of this one connection, and returns why the
// connection ended.
//
// The listener is made for this connection, before Connect, so that early events
// are in it too. The client's own queue, which WaitEvent reads, could still hold
// the notice that the connection before this one had ended.
func follow(c *qmpsync.Client, addr string) error {
	events := c.NewListener(&async.ListenerOptions{Limit: 2})
	defer events.Close()
	if err := c.Connect(addr); err != nil {
		return err // or wait a while, and try again
	}
	for _, command := range []string{"stop", "cont", "quit"} { // stands for the machine's life and death
		if _, err := c.Execute(command, nil); err != nil {
			log.Print(err)
		}
	}
	for ev, err := range events.All() {
		if lost, ok := errors.AsType[*async.OverflowError](err); ok {
			fmt.Println("lost:", lost.Lost)
			continue // events were dropped; the connection goes on
		}
		if err != nil {
			break // the connection has ended
		}
		fmt.Println(ev.Name)
	}
	return c.Disconnect() // says why, and the client is idle again
}

// A program follows a machine through its deaths with one client, connection
// after connection.
func ExampleClient_Connect_again() {
	first, stopFirst := machine()
	defer stopFirst()
	second, stopSecond := machine()
	defer stopSecond()
	c := qmpsync.New(nil)
	defer c.Close()
	for _, addr := range []string{first, second} {
		fmt.Println("ended:", follow(c, addr))
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
