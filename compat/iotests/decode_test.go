package iotests_test

import (
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/iotests"
)

// async.Call, CmdInto and Get decode a reply by the same rule: each fills a struct with
// the same values.
func TestOneRuleForDecoding_QEMU(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		base, _ := chain(it)
		vm := it.VM(nil).AddBlockdev(file("base", it.Format, base)).Launch()

		graph := vm.BlockGraph()
		if len(graph.Nodes) < 2 || len(graph.Edges) < 1 || len(graph.Edges[0].SharedPerm) == 0 {
			it.Fatalf("the graph is incomplete: %+v", graph)
		}
		called, err := async.Call[iotests.Graph](it.Context(), vm.Machine, "x-debug-query-block-graph", nil)
		if err != nil || !reflect.DeepEqual(called, graph) {
			it.Errorf("async.Call gives %+v (%v), BlockGraph %+v", called, err, graph)
		}

		type node struct {
			NodeName string
			Drv      string
			Image    struct{ VirtualSize any }
		}
		into := iotests.CmdInto[[]node](vm, "query-named-block-nodes", dict{"flat": true})
		nodes, err := async.Call[[]node](it.Context(), vm.Machine, "query-named-block-nodes", dict{"flat": true})
		if err != nil || !reflect.DeepEqual(into, nodes) {
			it.Errorf("async.Call gives %+v (%v), CmdInto %+v", nodes, err, into)
		}
		size, ok := into[0].Image.VirtualSize.(int64)
		if !ok || size == 0 || into[0].NodeName == "" || into[0].Drv == "" {
			it.Errorf("CmdInto left fields empty: %+v", into[0])
		}
	})
}

// Get keeps integers exact, and does not take 1.0 for an integer.
func TestGetIsExact(t *testing.T) {
	t.Parallel()
	tooBig, _ := new(big.Int).SetString("18446744073709551616", 10)
	value := dict{"a-b": []any{int64(1<<53 + 1), uint64(1<<64 - 1), tooBig, 1.0}}
	text := failure(t, func(it *iotests.Test) {
		if got := iotests.Get[any](it, value, "a-b"); !reflect.DeepEqual(got, value["a-b"]) {
			t.Errorf("Get[any] gives %#v", got)
		}
		if got := iotests.Get[int64](it, value, "a-b[0]"); got != 1<<53+1 {
			t.Errorf("Get[int64] gives %d", got)
		}
		iotests.Get[int64](it, value, "a-b[3]")
		t.Error("Get took 1.0 for an integer")
	})
	if !strings.Contains(text, "1.0") {
		t.Errorf("the failure does not show the number: %s", text)
	}
}
