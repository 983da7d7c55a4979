package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/legacy"
)

// machine starts the machine that an example talks to and returns its address: a
// simulated machine, unless TestExamples_QEMU has set another function. For a QEMU,
// the address is what its -qmp option says.
var machine = simulated

func simulated() (addr string, stop func()) {
	s, err := qmptest.NewServer(&qmptest.Options{Name: "vm1"})
	if err != nil {
		log.Fatal(err)
	}
	return s.Addr(), func() { s.Close() }
}

// connection starts a machine and returns an object that is connected to it.
func connection() (vm *legacy.QEMUMonitorProtocol, stop func()) {
	addr, stopMachine := machine()
	vm, err := legacy.New(addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := vm.Connect(true); err != nil {
		log.Fatal(err)
	}
	return vm, func() {
		vm.Close()
		stopMachine()
	}
}

func Example() {
	addr, stop := machine()
	defer stop()

	vm, err := legacy.New(addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	if _, err := vm.Connect(true); err != nil {
		log.Fatal(err)
	}
	if _, err := vm.Command("stop", nil); err != nil {
		log.Fatal(err)
	}
	event, err := vm.PullEvent(legacy.For(5 * time.Second))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(event["event"])
	// Output: STOP
}

// Connect returns the greeting unchanged.
func ExampleQEMUMonitorProtocol_Connect() {
	addr, stop := machine()
	defer stop()
	vm, err := legacy.New(addr, &legacy.Options{Nickname: "vm1"})
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()

	greeting, err := vm.Connect(true)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(greeting["QMP"].(map[string]any)["capabilities"])
	// Output: [oob]
}

// The object listens, and the machine connects to it, as QEMU does with -qmp
// unix:PATH.
func ExampleQEMUMonitorProtocol_Accept() {
	dir, err := os.MkdirTemp("", "qmp-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	addr := filepath.Join(dir, "s")

	vm, err := legacy.New(addr, &legacy.Options{Server: true})
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()

	machine, err := qmptest.NewServer(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer machine.Close()
	if err := machine.DialOut(context.Background(), addr); err != nil {
		log.Fatal(err)
	}

	if _, err := vm.Accept(legacy.For(15 * time.Second)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(vm.Sync().Runstate())
	// Output: RUNNING
}

// Cmd returns the whole reply. An error reply is data like any other.
func ExampleQEMUMonitorProtocol_Cmd() {
	vm, stop := connection()
	defer stop()

	reply, err := vm.Cmd("query-name", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply)

	reply, err = vm.Cmd("make-coffee", map[string]any{"sugar": 2}, "my-id")
	if err != nil {
		log.Fatal(err)
	}
	if failure, ok := reply["error"].(map[string]any); ok {
		fmt.Println(reply["id"], failure["class"])
	}
	// Output:
	// map[return:map[name:vm1]]
	// my-id CommandNotFound
}

// CmdObj sends its argument unchanged. Members keep their order on the wire.
func ExampleQEMUMonitorProtocol_CmdObj() {
	vm, stop := connection()
	defer stop()

	reply, err := vm.CmdObj(async.Members{
		{Name: "execute", Value: "human-monitor-command"},
		{Name: "arguments", Value: map[string]any{"command-line": "info name"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply["error"])
	// Output: <nil>
}

// Command returns the value of the reply, and returns an error reply as a Go error.
func ExampleQEMUMonitorProtocol_Command() {
	vm, stop := connection()
	defer stop()

	status, err := vm.Command("query-status", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.(map[string]any)["status"])

	_, err = vm.Command("make-coffee", nil)
	var refused *async.ExecuteError
	if errors.As(err, &refused) {
		fmt.Println(refused.Desc)
	}
	// Output:
	// running
	// The command make-coffee has not been found
}

// The three ways to wait.
func ExampleQEMUMonitorProtocol_PullEvent() {
	vm, stop := connection()
	defer stop()

	event, err := vm.PullEvent(legacy.NoWait) // the queue is empty
	fmt.Println(event == nil, err)

	_, err = vm.PullEvent(legacy.For(10 * time.Millisecond)) // no event comes in time
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))

	if _, err := vm.Command("stop", nil); err != nil {
		log.Fatal(err)
	}
	event, err = vm.PullEvent(legacy.Forever)
	fmt.Println(event["event"], err)
	// Output:
	// true <nil>
	// true
	// STOP <nil>
}

func ExampleQEMUMonitorProtocol_GetEvents() {
	vm, stop := connection()
	defer stop()

	for _, command := range []string{"stop", "cont"} {
		if _, err := vm.Command(command, nil); err != nil {
			log.Fatal(err)
		}
	}
	events, err := vm.GetEvents(legacy.NoWait)
	if err != nil {
		log.Fatal(err)
	}
	for _, event := range events {
		fmt.Println(event["event"])
	}
	// Output:
	// STOP
	// RESUME
}

func ExampleParseAddress() {
	for _, text := range []string{"localhost:4444", "/run/vm1.qmp", "localhost:http"} {
		addr, err := legacy.ParseAddress(text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(addr)
	}
	// Output:
	// tcp:localhost:4444
	// unix:/run/vm1.qmp
	// Bad port: 'http' in 'localhost:http'.
}
