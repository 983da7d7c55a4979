package legacy_test

import (
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// With a real QEMU the examples print what their Output comments say.
func TestExamples_QEMU(t *testing.T) {
	defer func(usual func() (string, func())) { machine = usual }(machine)
	machine = func() (string, func()) { return qemutest.Monitor(t, "-name", "vm1"), func() {} }
	qemutest.Examples(t, map[string]func(){
		"Example":                              Example,
		"ExampleOptions_reconnect":             ExampleOptions_reconnect,
		"ExampleQEMUMonitorProtocol_Connect":   ExampleQEMUMonitorProtocol_Connect,
		"ExampleQEMUMonitorProtocol_Cmd":       ExampleQEMUMonitorProtocol_Cmd,
		"ExampleQEMUMonitorProtocol_CmdObj":    ExampleQEMUMonitorProtocol_CmdObj,
		"ExampleQEMUMonitorProtocol_Command":   ExampleQEMUMonitorProtocol_Command,
		"ExampleQEMUMonitorProtocol_PullEvent": ExampleQEMUMonitorProtocol_PullEvent,
		"ExampleQEMUMonitorProtocol_GetEvents": ExampleQEMUMonitorProtocol_GetEvents,
	}, map[string]string{
		"ExampleParseAddress":               "it does not connect to anything",
		"ExampleQEMUMonitorProtocol_Accept": "the example starts the server that connects to it; TestAccept of docs runs it with a QEMU",
	})
}
