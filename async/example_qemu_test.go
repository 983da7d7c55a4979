// The examples, run with a real QEMU.
package async_test

import (
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// The examples print the same with a real QEMU.
func TestExamples_QEMU(t *testing.T) {
	defer func(usual func() (string, func())) { machine = usual }(machine)
	machine = func() (string, func()) { return qemutest.Monitor(t), func() {} }
	qemutest.Examples(t, map[string]func(){
		"Example":                      Example,
		"ExampleCall":                  ExampleCall,
		"ExampleClient_Execute":        ExampleClient_Execute,
		"ExampleClient_Connect_again":  ExampleClient_Connect_again,
		"ExampleEventListener_All":     ExampleEventListener_All,
		"ExampleEventListener_History": ExampleEventListener_History,
		"ExampleOptions_backoff":       ExampleOptions_backoff,
		"ExampleReconnect":             ExampleReconnect,
	}, map[string]string{
		"Example_tunnel": "it starts a server of its own, as the other host's QEMU",
	})
}
