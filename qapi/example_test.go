package qapi_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/legacy"
	"github.com/goqmp/qmp/qapi"
	qmpsync "github.com/goqmp/qmp/sync"
)

// machine starts a simulated machine.
func machine() *qmptest.Server {
	vm, err := qmptest.NewServer(nil)
	if err != nil {
		log.Fatal(err)
	}
	return vm
}

func Example() {
	vm := machine()
	defer vm.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := async.Dial(ctx, vm.Addr(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	if err := qapi.Stop(ctx, c); err != nil {
		log.Fatal(err)
	}
	status, err := qapi.QueryStatus(ctx, c)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.Running, status.Status == qapi.RunStatePaused)
	// Output: false true
}

// A blocking program calls the same functions, with the client of package async that its
// own client stands on.
func Example_blocking() {
	vm := machine()
	defer vm.Close()
	c, err := qmpsync.Dial(vm.Addr(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // takes the place of SetTimeout
	defer cancel()

	status, err := qapi.QueryStatus(ctx, c.Async())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.Status)

	// An error keeps QEMU's class and description.
	err = qapi.BlockdevDel(ctx, c.Async(), &qapi.BlockdevDelArguments{NodeName: "n0"})
	if refused, ok := errors.AsType[*async.ExecuteError](err); ok {
		fmt.Println(refused.Class, "-", refused.Desc)
	}
	// Output:
	// running
	// CommandNotFound - The command blockdev-del has not been found
}

// So does a script in the style of Python's module.
func Example_script() {
	vm := machine()
	defer vm.Close()
	script, err := legacy.New(vm.Addr(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer script.Close()
	if _, err := script.Connect(true); err != nil {
		log.Fatal(err)
	}

	if _, err := script.Command("stop", nil); err != nil {
		log.Fatal(err)
	}
	status, err := qapi.QueryStatus(context.Background(), script.Sync().Async())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.Status)
	// Output: paused
}

// The listener is made before the command that causes the event.
func ExampleWait() {
	vm := machine()
	defer vm.Close()
	ctx := context.Background()
	c, err := async.Dial(ctx, vm.Addr(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	events := c.NewListener(nil)
	defer events.Close()
	if err := qapi.SystemPowerdown(ctx, c); err != nil {
		log.Fatal(err)
	}
	e, err := qapi.Wait[qapi.PowerdownEvent](ctx, events, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.EventName())
	// Output: POWERDOWN
}

// Checked refuses what the QEMU at the other end does not have, before it is sent.
func ExampleChecked() {
	vm := machine()
	defer vm.Close()
	ctx := context.Background()
	c, err := async.Dial(ctx, vm.Addr(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	schema, err := qapi.Introspect(ctx, c)
	if err != nil {
		log.Fatal(err)
	}

	_, err = qapi.QueryAccelerators(ctx, qapi.Checked(c, schema))
	fmt.Println(err)
	// Output: qmp: not sent: the server does not have the command query-accelerators (since 10.2.0; this QEMU is 7.2.22)
}
