package interactive

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A shell that starts says hello first, and not that it is connected again.
func TestHelloComesFirst(t *testing.T) {
	vm := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory, ManyClients: true})
	for range 500 {
		in, typed, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		printed, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		sh := New(Options{In: in, Out: out})
		opts := &async.Options{Dialer: vm.Dial}
		sh.Configure(opts)
		c := async.New(opts)
		sh.Attach(c)
		if err := c.Connect(t.Context(), "vm"); err != nil {
			t.Fatal(err)
		}
		typed.WriteString("exit\n")
		typed.Close()
		if err := sh.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.Close()
		out.Close()
		text, err := io.ReadAll(printed)
		in.Close()
		printed.Close()
		if err != nil || strings.Contains(string(text), "connected again") {
			t.Fatalf("%v: the shell printed\n%s", err, text)
		}
	}
}
