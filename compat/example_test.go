package compat_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/compat"
	"github.com/goqmp/qmp/legacy"
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

	vm, err := compat.New(addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	if _, err := vm.Connect(true); err != nil {
		log.Fatal(err)
	}
	status, err := vm.Cmd("query-status", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.(map[string]any)["status"])
	// Output: running
}

// A script moves from the old module's names to contexts in four steps. All four use
// one connection, so that a program can move call by call.
func Example_migration() {
	addr, stop := machine()
	defer stop()

	// Step 1: the old names. Python said
	//
	//	qmp = QEMUMonitorProtocol(addr)
	//	qmp.connect()
	//	print(qmp.command('query-status')['status'])
	old, err := legacy.New(addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer old.Close()
	if _, err := old.Connect(true); err != nil {
		log.Fatal(err)
	}
	status, err := old.Command("query-status", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("legacy: ", status.(map[string]any)["status"])

	// Step 2: the new names.
	vm := compat.Wrap(old)
	status, err = vm.Cmd("query-status", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("compat: ", status.(map[string]any)["status"])

	// Step 3: still without contexts, but with types instead of maps, and waiting
	// for events by name.
	type state struct {
		Status string `json:"status"`
	}
	client := vm.Sync()
	s, err := qmpsync.Call[state](client, "query-status", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("qmpsync:", s.Status)
	if _, err := client.Execute("stop", nil); err != nil {
		log.Fatal(err)
	}
	if _, err := client.WaitEvent(5*time.Second, "STOP"); err != nil {
		log.Fatal(err)
	}

	// Step 4: contexts, and any number of calls at the same time.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err = async.Call[state](ctx, client.Async(), "query-status", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("async:  ", s.Status)

	// Output:
	// legacy:  running
	// compat:  running
	// qmpsync: running
	// async:   paused
}
