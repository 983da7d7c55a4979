package record_test

import (
	"context"
	"fmt"
	"os"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/async/record"
)

// A recording of two commands. Stable makes it the same in every run.
func ExampleNew() {
	vm, err := qmptest.NewServer(&qmptest.Options{Name: "vm1", NoOOB: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer vm.Close()

	rec := record.New(os.Stdout, &record.Options{Stable: true})
	c := async.New(&async.Options{Tracers: []*async.Tracer{rec.Tracer("vm1")}})
	ctx := context.Background()
	if err := c.Connect(ctx, vm.Addr()); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := c.Execute(ctx, "query-name", nil); err != nil {
		fmt.Println(err)
	}
	// The machine does not know this command. The recording has the refusal.
	_, _ = c.Execute(ctx, "set_password", map[string]any{"protocol": "vnc", "password": "secret"})
	c.Close()
	if err := rec.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// {"qmp-recording":1,"masked":true,"stable":true}
	// {"client":"vm1","session":1,"connected":{}}
	// {"client":"vm1","session":1,"received":{"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7},"package":""},"capabilities":[]}}}
	// {"client":"vm1","session":1,"sent":{"execute":"qmp_capabilities","arguments":{},"id":1}}
	// {"client":"vm1","session":1,"received":{"return":{},"id":1}}
	// {"client":"vm1","session":1,"sent":{"execute":"query-name","id":2}}
	// {"client":"vm1","session":1,"received":{"return":{"name":"vm1"},"id":2}}
	// {"client":"vm1","session":1,"sent":{"execute":"set_password","arguments":{"password":"***","protocol":"vnc"},"id":3}}
	// {"client":"vm1","session":1,"received":{"id":3,"error":{"class":"CommandNotFound","desc":"The command set_password has not been found"}}}
	// {"client":"vm1","session":1,"ended":{"cause":"client"}}
	// {"complete":true}
}
