package qtest_test

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// With a real QEMU the examples print the same.
func TestExamples_QEMU(t *testing.T) {
	qemutest.Find(t, qemutest.QEMU)
	defer func(usual func() net.Conn) { pretend = usual }(pretend)
	pretend = func() net.Conn {
		dir := qemutest.Dir(t)
		l, err := net.Listen("unix", filepath.Join(dir, "qtest"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		qemutest.Start(t, qemutest.Command{
			Program: qemutest.QEMU, Dir: dir,
			Args: []string{
				"-machine", "pc", "-S", "-nodefaults", "-display", "none", "-serial", "null",
				"-qtest", "unix:qtest", "-qtest-log", "none",
			},
		})
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	qemutest.Examples(t, map[string]func(){
		"Example":                 Example,
		"ExampleClient_NextIRQ":   ExampleClient_NextIRQ,
		"ExampleClient_ClockStep": ExampleClient_ClockStep,
	}, nil)
}
