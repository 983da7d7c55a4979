package legacy_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/legacy"
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

// An old script whose QEMU is restarted goes on. Only the options are new.
func ExampleOptions_reconnect() {
	first, stopFirst := machine()
	defer stopFirst()
	second, stopSecond := machine()
	defer stopSecond()

	vm, err := legacy.New(first, &legacy.Options{Sync: qmpsync.Options{Async: async.Options{
		Dialer:  inTurn(first, second), // a script has one address, and no Dialer
		Backoff: async.Every(50 * time.Millisecond),
		Reconnect: &async.Reconnect{
			Wait: true, // commands wait for the next connection, within their time limit
			OnConnect: func(ctx context.Context, c async.Caller) error {
				_, err := async.Call[struct{}](ctx, c, "stop", nil)
				return err
			},
		},
	}}})
	if err != nil {
		log.Print(err)
		return
	}
	defer vm.Close()
	vm.SetTimeout(legacy.For(10 * time.Second))
	if _, err := vm.Connect(true); err != nil {
		log.Print(err)
		return
	}
	if _, err := vm.Command("quit", nil); err != nil { // what happens to the first machine in this example
		log.Print(err)
	}
	for range 3 { // across the gap
		event, err := vm.PullEvent(legacy.For(10 * time.Second))
		if err != nil {
			log.Print(err)
			return
		}
		fmt.Println(event["event"])
	}
	status, err := vm.Command("query-status", nil)
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println("running:", status.(map[string]any)["running"])
	// Output:
	// STOP
	// SHUTDOWN
	// STOP
	// running: false
}
