package docs_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/legacy"
)

// The README's two programs are the bodies of these two functions.

func inTheOldStyle(addr string) error {
	vm, err := legacy.New(addr, nil) // "/run/vm1.qmp", say
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

func asynchronously(ctx context.Context, addr string) error {
	c, err := async.Dial(ctx, addr, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	events := c.NewListener(nil, "STOP")
	defer events.Close()
	if _, err := c.Execute(ctx, "stop", nil); err != nil {
		return err
	}
	event, err := events.Next(ctx)
	if err != nil {
		return err
	}
	fmt.Println(event.Name) // STOP
	return nil
}

func Example_oldStyle() {
	vm, err := qmptest.NewServer(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer vm.Close()
	fmt.Println(inTheOldStyle(vm.Addr()))
	// Output:
	// STOP
	// <nil>
}

func Example_asynchronous() {
	vm, err := qmptest.NewServer(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer vm.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fmt.Println(asynchronously(ctx, vm.Addr()))
	// Output:
	// STOP
	// <nil>
}

func TestReadme(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 2 {
		t.Errorf("%d blocks of Go in the README, want the two programs", len(blocks))
	}
	for _, b := range blocks {
		if !strings.Contains(trimmed(string(source)), trimmed(b[1])) {
			t.Errorf("not what runs here:\n%s", b[1])
		}
	}
}
