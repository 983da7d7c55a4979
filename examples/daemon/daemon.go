package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/group"
	"github.com/goqmp/qmp/qapi"
)

// A daemon follows machines.
type daemon struct {
	vms    group.Group[*async.Client]
	events *group.EventListener
	out    io.Writer
}

// newDaemon connects to machines, whose monitors have these addresses. A machine may be
// killed and started again at any time.
func newDaemon(ctx context.Context, out io.Writer, addrs map[string]string) (*daemon, error) {
	d := &daemon{out: out}
	d.events = d.vms.NewListener(nil)
	for name := range addrs {
		vm := async.New(&async.Options{
			Nickname: name,
			Reconnect: &async.Reconnect{
				OnConnect: onConnect, // after each connect, before any other command
				Wait:      true,      // a command waits for a machine that is being started
			},
		})
		if err := d.vms.Add(name, vm); err != nil {
			return nil, err
		}
	}
	err := d.vms.Each(ctx, nil, func(ctx context.Context, name string, vm *async.Client) error {
		return vm.Connect(ctx, addrs[name])
	})
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// onConnect sets up a machine: here it makes sure that the machine runs.
func onConnect(ctx context.Context, c async.Caller) error { return qapi.Cont(ctx, c) }

// follow prints what happens to the machines, until close.
func (d *daemon) follow(ctx context.Context) {
	for ev, err := range d.events.All(ctx) {
		if lost, ok := errors.AsType[*group.Error](err); ok {
			fmt.Fprintln(d.out, lost)
		} else if err != nil {
			return
		} else {
			fmt.Fprintf(d.out, "%s: %s, over its connection %d\n", ev.Member, ev.Name, ev.Session)
		}
	}
}

// stopAll stops all machines, those too that are just being started.
func (d *daemon) stopAll(ctx context.Context) error {
	return d.vms.Each(ctx, &group.Options{Timeout: time.Minute}, func(ctx context.Context, _ string, vm *async.Client) error {
		for {
			// A machine that dies meanwhile may have executed the command or not. It does no
			// harm to stop a machine twice, so send it again.
			if err := qapi.Stop(ctx, vm); !async.HungUp(err) {
				return err
			}
		}
	})
}

// close disconnects from all machines.
func (d *daemon) close() {
	d.events.Close()
	for _, vm := range d.vms.All() {
		vm.Close()
	}
}
