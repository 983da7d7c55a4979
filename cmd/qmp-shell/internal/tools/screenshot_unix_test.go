//go:build unix

package tools

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A QEMU that answers nothing does not keep the program from ending.
func TestScreenshotEndsWithItsContext(t *testing.T) {
	vm := qmptest.Start(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	vm.Handle("add-fd", func(context.Context, *qmptest.Command) (any, error) {
		return map[string]int{"fdset-id": 1, "fd": 7}, nil
	})
	vm.Handle("screendump", func(ctx context.Context, _ *qmptest.Command) (any, error) {
		cancel()
		<-ctx.Done()
		return nil, nil
	})
	c, err := async.Dial(t.Context(), vm.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := Screenshot(ctx, c, Screen{}, "ppm", io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	for _, m := range vm.Received() {
		if m.Name == "remove-fd" {
			t.Error("remove-fd was sent after the end of the context")
		}
	}
}
