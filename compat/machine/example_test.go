package machine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/goqmp/qmp/compat/machine"
)

// exampleMachine returns a machine whose program plays QEMU, so that the examples run
// everywhere. In TestExamples_QEMU it is a real QEMU.
var exampleMachine = pretended

func pretended(mode string) *machine.Machine {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return machine.New(exe, &machine.Options{Name: "vm", Env: []string{fakeMode + "=" + mode}})
}

func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// machine.New("qemu-system-x86_64", &machine.Options{Args: []string{"-machine", "none"}})
	m := exampleMachine("qmp")
	if err := m.Launch(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer m.Kill()

	if _, err := m.Command(ctx, "stop", nil); err != nil {
		fmt.Println(err)
		return
	}
	ev, err := m.EventWait(ctx, "STOP", nil)
	fmt.Println(ev["event"], err)
	fmt.Println(m.Shutdown(ctx))
	// Output:
	// STOP <nil>
	// <nil>
}

func ExampleMachine_QMP() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m := exampleMachine("qmp")
	if err := m.Launch(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer m.Kill()

	// QMP returns the whole reply; a refusal is a part of it. The argument is sent
	// as node-name.
	reply, err := m.QMP(ctx, "x-flush", machine.Args{"node_name": "disk0"})
	fmt.Println(reply["error"], err)

	// Command returns the value, or a Go error.
	status, err := m.Command(ctx, "query-status", nil)
	fmt.Println(machine.Match(status, map[string]any{"status": "running"}), err)
	// Output:
	// map[class:CommandNotFound desc:The command x-flush has not been found] <nil>
	// true <nil>
}

func ExampleMachine_EventsWait() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m := exampleMachine("qmp")
	if err := m.Launch(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer m.Kill()

	for _, cmd := range []string{"stop", "cont"} {
		if _, err := m.Command(ctx, cmd, nil); err != nil {
			fmt.Println(err)
			return
		}
	}
	ev, err := m.EventsWait(ctx,
		machine.EventMatch{Name: "JOB_STATUS_CHANGE", Pattern: map[string]any{"data": map[string]any{"id": "job0"}}},
		machine.EventMatch{Name: "RESUME"},
	)
	fmt.Println(ev["event"], err)
	fmt.Println(len(m.Events()), "event was passed over")
	// Output:
	// RESUME <nil>
	// 1 event was passed over
}

func ExampleVMLaunchFailure() {
	m := exampleMachine("complain")
	err := m.Launch(context.Background())
	var failure *machine.VMLaunchFailure
	if errors.As(err, &failure) && failure.Exit != nil {
		fmt.Println(*failure.Exit)
		fmt.Print(failure.Output)
	}
	err = machine.New("qemu-system-nonesuch", nil).Launch(context.Background())
	fmt.Println(errors.Is(err, exec.ErrNotFound))
	// Output:
	// exit code 1
	// reading the configuration
	// fake: no such disk
	// true
}

func ExampleAbnormalShutdown() {
	ctx := context.Background()
	m := exampleMachine("exit7")
	if err := m.Launch(ctx); err != nil {
		fmt.Println(err)
		return
	}
	var abnormal *machine.AbnormalShutdown
	if err := m.Shutdown(ctx); errors.As(err, &abnormal) {
		fmt.Println(abnormal.Steps[0].Action, "was enough, but it ended with", *abnormal.Exit)
	}
	// Output: quit was enough, but it ended with exit code 7
}

func ExampleEqual() {
	fmt.Println(machine.Equal(int64(1024), 1024.0), machine.Equal("1024", 1024))
	// Output: true false
}
