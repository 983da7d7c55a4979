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
// It makes a listener for this connection, and makes it before Connect, so that it
// gets early events too. The client's own queue, which WaitEvent reads, could still
// hold the notice that the previous connection ended.
func follow(c *qmpsync.Client, addr string) error {
	events := c.NewListener(&async.ListenerOptions{Limit: 2})
	defer events.Close()
	if err := c.Connect(addr); err != nil {
		return err // or wait a while, and try again
	}
	for _, command := range []string{"stop", "cont", "quit"} { // in place of what a real machine goes through
		if _, err := c.Execute(command, nil); err != nil {
			log.Print(err)
		}
	}
	<-c.Async().Done() // this program reads late, so that the listener's limit is reached
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
	return c.Disconnect() // returns why the connection ended; the client is idle again
}

// A program uses one client to follow a machine that ends and is started again. It
// connects once for each start.
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
