package iotests_test

import (
	"fmt"

	"github.com/goqmp/qmp/compat/iotests"
)

func ExampleLookup() {
	reply := iotests.Dict{"return": []any{
		iotests.Dict{"device": "drive0", "status": "ready"},
		iotests.Dict{"device": "drive1", "status": "running"},
	}}
	fmt.Println(iotests.Lookup(reply, "return[0]/status"))
	fmt.Println(iotests.Lookup(reply, "return[-1]/status"))
	fmt.Println(iotests.Lookup(reply, "return[2]/status"))
	// Output:
	// ready <nil>
	// running <nil>
	// <nil> path "return[2]/status", at "return[2]": the list has 2 items
}

func ExampleQMPToOpts() {
	fmt.Println(iotests.QMPToOpts(iotests.Dict{
		"driver": "qcow2",
		"file":   iotests.Dict{"driver": "file", "filename": "disk.qcow2", "locking": "off"},
	}))
	// Output:
	// driver=qcow2,file.driver=file,file.filename=disk.qcow2,file.locking=off
}

func ExampleFilterGeneratedNodeIDs() {
	fmt.Println(iotests.FilterGeneratedNodeIDs("Node #block137 is in use"))
	// Output:
	// Node NODE_NAME is in use
}
