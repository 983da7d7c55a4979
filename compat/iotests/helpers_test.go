package iotests_test

// This file has what tests in several files use.

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/compat/iotests"
)

// dict is a short name for iotests.Dict.
type dict = iotests.Dict

// both has the formats that most tests use.
var both = []string{"raw", "qcow2"}

// chain makes a base image in the test's format, and an overlay over it. The overlay is
// always qcow2, since a raw image cannot have a backing file. The first MiB of the base
// has the pattern 1. The second MiB of the overlay has the pattern 2.
func chain(it *iotests.Test) (base, top string) {
	it.Helper()
	base, top = it.Path("base.img"), it.Path("top.img")
	it.ImgCreate(base, "16M")
	it.QemuIO(base, "write -P 1 0 1M")
	it.Img("create", "-q", "-f", "qcow2", "-b", base, "-F", it.Format, top)
	it.QemuIOAs("qcow2", top, "write -P 2 1M 1M")
	return base, top
}

// file returns the description of a node over a file.
func file(node, driver, path string) dict {
	return dict{"driver": driver, "node-name": node, "file": dict{"driver": "file", "filename": path}}
}

// failure runs a test that has to fail, and returns what it prints. The time limit of the
// test is an hour. So a wait that does not fail immediately, although it cannot succeed,
// runs into go test's own timeout.
func failure(t *testing.T, test func(*iotests.Test)) string {
	t.Helper()
	var out strings.Builder
	err := iotests.RunProgram(t.Context(), &out, t.Name(), func(tb iotests.TB) { test(iotests.New(tb, &iotests.Options{Timeout: time.Hour})) })
	var skipped *iotests.SkippedError
	switch {
	case errors.As(err, &skipped):
		t.Skip(skipped.Reason)
	case err == nil:
		t.Errorf("the test passed, and had to fail")
	}
	return out.String()
}

// crash kills a machine's process without telling the harness, and waits until the process
// has ended.
func crash(it *iotests.Test, vm *iotests.VM) {
	it.Helper()
	process, err := os.FindProcess(vm.Machine.Pid())
	if err != nil {
		it.Fatalf("%v", err)
	}
	if err := process.Kill(); err != nil {
		it.Fatalf("%v", err)
	}
	vm.WaitExit()
}

// brokenMirror returns a VM with the nodes source and target. The first read of
// the source at 1 MiB fails.
func brokenMirror(it *iotests.Test) (vm *iotests.VM, source, target string) {
	it.Helper()
	source, target = it.Path("source.img"), it.Path("target.img")
	it.ImgCreate(source, "4M")
	it.ImgCreate(target, "4M")
	it.QemuIO(source, "write -P 1 0 4M")
	broken := dict{
		"driver": "blkdebug", "image": dict{"driver": "file", "filename": source},
		"inject-error": []any{dict{
			"event": "none", "iotype": "read", "errno": 5, "once": true,
			"sector": offsetOf(it, source, 1<<20) / 512,
		}},
	}
	vm = it.VM(nil).
		AddBlockdev(dict{"driver": it.Format, "node-name": "source", "file": broken}).
		AddBlockdev(file("target", it.Format, target)).
		Launch()
	return vm, source, target
}

// offsetOf returns the offset in an image's file of the data that a guest sees at offset.
func offsetOf(it *iotests.Test, path string, offset int64) int64 {
	it.Helper()
	entries := it.ImgMap(path, "-f", it.Format)
	for _, e := range entries {
		if e.Start <= offset && offset < e.Start+e.Length && e.Offset != nil {
			return *e.Offset + offset - e.Start
		}
	}
	it.Fatalf("the image has no data at %d in %s: %v", offset, path, fmt.Sprint(entries))
	return 0
}
