// These tests use a package that qmp-gen has written for the schema in the folder schema.
package acme_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/cmd/qmp-gen/acme"
	"github.com/goqmp/qmp/qapi/support"
)

// machine returns a client of a simulated machine that knows the commands of the schema.
func machine() (*async.Client, *qmptest.Server, error) {
	vm, err := qmptest.NewServer(&qmptest.Options{Network: qmptest.Memory})
	if err != nil {
		return nil, nil, err
	}
	fans := []map[string]any{{"id": "f0", "kind": "pwm", "duty": 40, "limit": "quiet"}}
	vm.Handle("query-fans", func(context.Context, *qmptest.Command) (any, error) { return fans, nil })
	vm.Handle("fan", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		var fan map[string]any
		if err := cmd.Decode(&fan); err != nil {
			return nil, err
		}
		fans = append(fans, fan)
		return nil, vm.Emit("FAN_STOPPED", map[string]any{"id": "f0"})
	})
	vm.Handle("power-off", func(context.Context, *qmptest.Command) (any, error) {
		return nil, &qmptest.Error{Class: "GenericError", Desc: "the lid is open"}
	})
	c := async.New(&async.Options{Dialer: vm.Dial})
	if err := c.Connect(context.Background(), ""); err != nil {
		vm.Close()
		return nil, nil, err
	}
	return c, vm, nil
}

func Example() {
	c, vm, err := machine()
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	defer c.Close()
	ctx := context.Background()

	events := c.NewListener(nil, "FAN_STOPPED")
	defer events.Close()
	err = acme.Fan(ctx, c, &acme.FanOptions{
		ID:  "f1",
		Pwm: &acme.FanPwm{Duty: 70, Limit: &acme.SpeedOrName{Speed: &acme.Speed{Value: 900, Unit: acme.UnitRpm}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	stopped, err := acme.Wait[acme.FanStoppedEvent](ctx, events, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stopped:", stopped.ID)

	fans, err := acme.QueryFans(ctx, c)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range fans {
		fmt.Println(f.ID, f.Kind, f.Pwm.Duty)
	}
	// Output:
	// stopped: f0
	// f0 pwm 40
	// f1 pwm 70
}

// The machine refuses a command that it would not answer otherwise.
func TestRefused(t *testing.T) {
	c, vm, err := machine()
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	defer c.Close()
	err = acme.PowerOff(t.Context(), c, 0)
	if refused, ok := errors.AsType[*async.ExecuteError](err); !ok || refused.Desc != "the lid is open" {
		t.Errorf("power-off: %v", err)
	}
	err = acme.Fan(t.Context(), c, &acme.FanOptions{ID: "f1", Kind: acme.FanKindPwm})
	if _, ok := errors.AsType[*support.UnionError](err); !ok || !strings.Contains(err.Error(), "Fan") {
		t.Errorf("a union without its branch: %v", err)
	}
	if err := acme.Fan(t.Context(), c, &acme.FanOptions{ID: "f2", Kind: acme.FanKind2Wire}); err != nil {
		t.Errorf("a value without a branch: %v", err)
	}
	if err := acme.ComAcmeResetController(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), "__com.acme_reset-controller") {
		t.Errorf("a command that the machine does not have: %v", err)
	}
}
