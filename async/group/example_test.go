package group_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"slices"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/group"
	"github.com/goqmp/qmp/async/qmptest"
)

// fleet starts three simulated machines and connects to them.
func fleet(ctx context.Context) (vms *group.Group[*async.Client], stop func()) {
	vms = new(group.Group[*async.Client])
	var stops []func() error
	for _, name := range []string{"db1", "web1", "web2"} {
		s, err := qmptest.NewServer(&qmptest.Options{Name: name})
		if err != nil {
			log.Fatal(err)
		}
		vm, err := async.Dial(ctx, s.Addr(), nil)
		if err != nil {
			log.Fatal(err)
		}
		if err := vms.Add(name, vm); err != nil {
			log.Fatal(err)
		}
		stops = append(stops, s.Close, vm.Close)
	}
	return vms, func() {
		for _, stop := range slices.Backward(stops) {
			stop()
		}
	}
}

// A command to all machines, and the events of all of them.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	vms, stop := fleet(ctx)
	defer stop()

	events := vms.NewListener(nil, "STOP")
	defer events.Close()
	if _, err := group.Call[any](ctx, vms, nil, "stop", nil); err != nil {
		log.Fatal(err)
	}
	var stopped []string
	for range vms.Len() {
		ev, err := events.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		stopped = append(stopped, ev.Member)
	}
	slices.Sort(stopped)
	fmt.Println("stopped:", stopped)
	// Output: stopped: [db1 web1 web2]
}

// Results and errors have the names of the members.
func ExampleCall() {
	ctx := context.Background()
	vms, stop := fleet(ctx)
	defer stop()
	if db, ok := vms.Get("db1"); ok {
		db.Disconnect(ctx)
	}

	type status struct{ Status string }
	found, err := group.Call[status](ctx, vms, &group.Options{Timeout: 5 * time.Second}, "query-status", nil)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		fmt.Println(name, "is", found[name].Status)
	}
	for name, err := range group.Errors(err) {
		_, notConnected := errors.AsType[*async.StateError](err)
		fmt.Println(name, "is not connected:", notConnected)
	}
	// Output:
	// web1 is running
	// web2 is running
	// db1 is not connected: true
}

// One machine after another, until one fails.
func ExampleResults() {
	ctx := context.Background()
	vms, stop := fleet(ctx)
	defer stop()

	one := &group.Options{Concurrency: 1}
	for r := range group.Results(ctx, vms, one, func(ctx context.Context, name string, vm *async.Client) (string, error) {
		if name == "web1" {
			return "", errors.New("the disk is full")
		}
		_, err := vm.Execute(ctx, "system_reset", nil)
		return "restarted", err
	}) {
		if r.Err != nil {
			fmt.Println(r.Err)
			break // web2 is left as it is
		}
		fmt.Println(r.Member, r.Value)
	}
	// Output:
	// db1 restarted
	// web1: the disk is full
}

// Some of the machines.
func ExampleGroup_Each() {
	ctx := context.Background()
	vms, stop := fleet(ctx)
	defer stop()

	only := &group.Options{Members: []string{"web1", "web9"}}
	err := vms.Each(ctx, only, func(ctx context.Context, name string, vm *async.Client) error {
		_, err := vm.Execute(ctx, "system_powerdown", nil)
		return err
	})
	fmt.Println(err)
	// Output: 1 of 2 members failed: web9: not begun: no member of the group has this name
}

// A notice does not end the stream.
func ExampleGroup_NewListener() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	vms, stop := fleet(ctx)
	defer stop()
	events := vms.NewListener(nil, "STOP")
	defer events.Close()

	db, _ := vms.Get("db1")
	db.Execute(ctx, "quit", nil)
	for ev, err := range events.All(ctx) {
		if lost, ok := errors.AsType[*group.Error](err); ok {
			fmt.Println(lost.Member, "is lost:", async.HungUp(lost))
			vms.Remove(lost.Member)
			web, _ := vms.Get("web1")
			web.Execute(ctx, "stop", nil)
			events.Next(ctx) // db1 has left
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.Member, ev.Name)
		break
	}
	// Output:
	// db1 is lost: true
	// web1 STOP
}
