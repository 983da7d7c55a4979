package compat_test

import (
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// With a real QEMU the examples print what their Output comments say.
func TestExamples_QEMU(t *testing.T) {
	defer func(usual func() (string, func())) { machine = usual }(machine)
	machine = func() (string, func()) { return qemutest.Monitor(t), func() {} }
	qemutest.Examples(t, map[string]func(){
		"Example":           Example,
		"Example_migration": Example_migration,
	}, nil)
}
