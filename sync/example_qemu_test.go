package qmpsync_test

import (
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// With a real QEMU the examples print what their Output comments say.
func TestExamples_QEMU(t *testing.T) {
	defer func(usual func() (string, func())) { machine = usual }(machine)
	machine = func() (string, func()) { return qemutest.Monitor(t), func() {} }
	qemutest.Examples(t, map[string]func(){
		"Example":                     Example,
		"ExampleCall":                 ExampleCall,
		"ExampleClient_SetTimeout":    ExampleClient_SetTimeout,
		"ExampleClient_WaitEventFunc": ExampleClient_WaitEventFunc,
		"ExampleClient_NewListener":   ExampleClient_NewListener,
		"ExampleClient_Async":         ExampleClient_Async,
		"ExampleClient_Connect_again": ExampleClient_Connect_again,
		"ExampleOptions_reconnect":    ExampleOptions_reconnect,
	}, nil)
}
