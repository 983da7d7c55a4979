package machine_test

import (
	"testing"

	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// With a real QEMU the examples print the same.
func TestExamples_QEMU(t *testing.T) {
	path := qemutest.Find(t, qemutest.QEMU)
	defer func(usual func(string) *machine.Machine) { exampleMachine = usual }(exampleMachine)
	exampleMachine = func(string) *machine.Machine {
		return machine.New(path, &machine.Options{Name: "vm", Args: []string{"-nodefaults", "-machine", "none"}})
	}
	qemutest.Examples(t, map[string]func(){
		"Example":                   Example,
		"ExampleMachine_QMP":        ExampleMachine_QMP,
		"ExampleMachine_EventsWait": ExampleMachine_EventsWait,
	}, map[string]string{
		"ExampleVMLaunchFailure":  "QEMU has other words for what is wrong",
		"ExampleEqual":            "it needs no QEMU",
		"ExampleAbnormalShutdown": "QEMU ends with exit code 0 when it is told to quit",
	})
}
