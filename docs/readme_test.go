package docs_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/iotests"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/legacy"
	"github.com/goqmp/qmp/qapi"
)

// This file has the Go code of README.md, and runs it with a real QEMU.

func script(addr string) error {
	vm, err := legacy.New(addr, nil) // "vm1.qmp", for example
	if err != nil {
		return err
	}
	defer vm.Close()
	if _, err := vm.Connect(true); err != nil {
		return err
	}
	if _, err := vm.Command("stop", nil); err != nil {
		return err
	}
	event, err := vm.PullEvent(legacy.For(5 * time.Second))
	if err != nil {
		return err
	}
	fmt.Println(event["event"]) // STOP
	return nil
}

func service(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // no call waits longer
	defer cancel()
	vm, err := async.Dial(ctx, addr, nil)
	if err != nil {
		return err
	}
	defer vm.Close()
	stops := vm.NewListener(nil, "STOP")
	defer stops.Close()
	err = qapi.Stop(ctx, vm)
	if interrupted, ok := errors.AsType[*async.ExecInterruptedError](err); ok {
		return fmt.Errorf("certain that QEMU did not get the command: %t: %w", interrupted.SafeToRetry(), err)
	} else if err != nil {
		return err
	}
	event, err := stops.Next(ctx)
	if err != nil {
		return err
	}
	fmt.Println(event.Name, event.Timestamp) // STOP
	return nil
}

func TestWritten(t *testing.T) {
	it := iotests.New(t, nil) // removes all files and ends all processes when the test ends
	disk := it.Path("disk.img")
	it.ImgCreate(disk, "64M")
	vm := it.VM(nil).AddDrive(disk).Launch()
	vm.IO("drive0", "write -P 1 0 64k", "read -P 1 0 64k")
	it.AssertQMP(vm.QMP("query-block", nil), "return[0]/inserted/image/virtual-size", 64<<20)
}

func TestScript(t *testing.T) {
	addr := qemutest.Monitor(t)
	if got := printed(t, func() error { return script(addr) }); got != "STOP\n" {
		t.Errorf("it printed %q", got)
	}
}

func TestService(t *testing.T) {
	addr := qemutest.Monitor(t)
	got := printed(t, func() error { return service(qemutest.Context(t), addr) })
	if !regexp.MustCompile(`^STOP 20\d\d-\d\d-\d\d .*\n$`).MatchString(got) {
		t.Errorf("it printed %q", got)
	}
}
