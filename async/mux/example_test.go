package mux_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/mux"
	"github.com/goqmp/qmp/async/qmptest"
)

// Two doors to one monitor: one for the owner, and one that is read-only and leaves an audit line
// for each command. A simulated machine stands in for QEMU.
func Example() {
	ctx := context.Background()
	vm, err := qmptest.NewServer(nil)
	if err != nil {
		panic(err)
	}
	defer vm.Close()
	c, err := async.Dial(ctx, vm.Addr(), nil)
	if err != nil {
		panic(err)
	}
	defer c.Close()

	m := mux.New(mux.Over(c), nil)
	defer m.Close()
	dir, err := os.MkdirTemp("", "mux")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	open := func(name string, door *mux.Door) string {
		path := filepath.Join(dir, name)
		ln, err := mux.Listen(ctx, path)
		if err != nil {
			panic(err)
		}
		go m.Serve(ctx, ln, door)
		return path
	}
	audit := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: brief}))
	owner := open("owner", nil)
	guest := open("guest", &mux.Door{ReadOnly: true, Audit: audit})

	for _, door := range []string{owner, guest} {
		user, err := async.Dial(ctx, door, nil)
		if err != nil {
			panic(err)
		}
		defer user.Close()
		_, err = user.Execute(ctx, "stop", nil)
		fmt.Println(filepath.Base(door), "stops the machine:", err)
	}
	// Output:
	// owner stops the machine: <nil>
	// command=qmp_capabilities result=done
	// command=stop result=refused class=CommandNotFound
	// guest stops the machine: qmp: stop: Command stop has been disabled: this door of the multiplexer is read-only (CommandNotFound)
}

// brief leaves out what differs from run to run.
func brief(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case "command", "result", "class":
		return a
	}
	return slog.Attr{}
}
