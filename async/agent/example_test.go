package agent_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/qapi/qga"
)

// simulated starts a simulated agent, for the examples.
func simulated() *qmptest.Server {
	s, err := qmptest.NewServer(&qmptest.Options{NoGreeting: true})
	if err != nil {
		panic(err)
	}
	answer := func(name string, value any) {
		s.Handle(name, func(context.Context, *qmptest.Command) (any, error) { return value, nil })
	}
	answer("guest-get-host-name", map[string]string{"host-name": "vm1"})
	answer("guest-exec", map[string]int{"pid": 17})
	answer("guest-exec-status", map[string]any{"exited": true, "exitcode": 3, "err-data": "bm8gc3VjaCB1c2VyCg=="})
	answer("guest-fsfreeze-freeze", 2)
	answer("guest-fsfreeze-thaw", 2)
	return s
}

func ExampleDial() {
	vm := simulated()
	defer vm.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	a, err := agent.Dial(ctx, vm.Addr(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer a.Close()

	name, err := qga.GuestGetHostName(ctx, a)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(name.HostName)

	_, err = qga.GuestGetUsers(ctx, a)
	fmt.Println(err)
	// Output:
	// vm1
	// qmp: guest-get-users: not sent: the guest agent 7.2.22 does not have this command
}

func ExampleCmd_Output() {
	vm := simulated()
	defer vm.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, err := agent.Dial(ctx, vm.Addr(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer a.Close()

	_, err = a.Command(ctx, "userdel", "ada").Output()
	var exit *agent.ExitError
	if errors.As(err, &exit) {
		fmt.Printf("status %d: %s", exit.Code, exit.Stderr)
	}
	// Output: status 3: no such user
}

func ExampleClient_Freeze() {
	vm := simulated()
	defer vm.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, err := agent.Dial(ctx, vm.Addr(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer a.Close()

	err = a.Freeze(ctx, &agent.FreezeOptions{Limit: 10 * time.Second}, func(ctx context.Context) error {
		fmt.Println("take the snapshot")
		return nil
	})
	fmt.Println("thawed:", err == nil)
	// Output:
	// take the snapshot
	// thawed: true
}
