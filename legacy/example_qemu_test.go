package legacy_test

import (
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// The examples print with a real QEMU what they say.
func TestExamples_QEMU(t *testing.T) {
	defer func(usual func() (string, func())) { machine = usual }(machine)
	machine = func() (string, func()) { return qemutest.Monitor(t, "-name", "vm1"), func() {} }
	qemutest.Examples(t, map[string]func(){
		"Example":                              Example,
		"ExampleQEMUMonitorProtocol_Connect":   ExampleQEMUMonitorProtocol_Connect,
		"ExampleQEMUMonitorProtocol_Cmd":       ExampleQEMUMonitorProtocol_Cmd,
		"ExampleQEMUMonitorProtocol_CmdObj":    ExampleQEMUMonitorProtocol_CmdObj,
		"ExampleQEMUMonitorProtocol_Command":   ExampleQEMUMonitorProtocol_Command,
		"ExampleQEMUMonitorProtocol_PullEvent": ExampleQEMUMonitorProtocol_PullEvent,
		"ExampleQEMUMonitorProtocol_GetEvents": ExampleQEMUMonitorProtocol_GetEvents,
	}, map[string]string{
		"ExampleParseAddress":               "it talks to nobody",
		"ExampleQEMUMonitorProtocol_Accept": "the example itself starts what dials; TestAccept of docs plays it with a QEMU",
	})
}
