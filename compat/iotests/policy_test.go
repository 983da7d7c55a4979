package iotests_test

import (
	"slices"
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// on-target-error decides what a job does about an error of its target: it fails, goes on,
// or stops until it is resumed.
func TestErrorPolicies(t *testing.T) {
	t.Parallel()
	const ioError, noSpace = 5, 28
	for _, tt := range []struct {
		name   string
		policy string
		errno  int
		action string // the member action of the event
		fails  string // why the job fails; "" if it does not
		stops  bool   // the job stops, and has to be resumed
	}{
		{name: "report", policy: "report", errno: ioError, action: "report", fails: "Input/output error"},
		{name: "ignore", policy: "ignore", errno: ioError, action: "ignore"},
		{name: "stop", policy: "stop", errno: ioError, action: "stop", stops: true},
		{name: "enospc with space", policy: "enospc", errno: ioError, action: "report", fails: "Input/output error"},
		{name: "enospc without", policy: "enospc", errno: noSpace, action: "stop", stops: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			iotests.Each(t, both, func(it *iotests.Test) {
				source, target := it.Path("source.img"), it.Path("target.img")
				it.ImgCreate(source, "2M")
				it.ImgCreate(target, "2M")
				it.QemuIO(source, "write -P 1 0 2M")
				vm := it.VM(nil).
					AddBlockdev(file("source", it.Format, source)).
					AddBlockdev(dict{"driver": it.Format, "node-name": "target", "file": dict{
						"driver": "blkdebug", "image": dict{"driver": "file", "filename": target},
						"inject-error": []any{dict{"event": "none", "iotype": "write", "errno": tt.errno, "once": true}},
					}}).
					Launch()
				vm.Cmd("blockdev-mirror", dict{
					"job-id": "job0", "device": "source", "target": "target", "sync": "full", "on-target-error": tt.policy,
				})
				event := vm.EventWait("BLOCK_JOB_ERROR", nil)
				it.AssertQMP(event, "data/device", "job0")
				it.AssertQMP(event, "data/operation", "write")
				it.AssertQMP(event, "data/action", tt.action)
				if tt.stops {
					vm.WaitJob("job0", "paused")
					vm.Cmd("block-job-resume", dict{"device": "job0"})
				}
				result := vm.RunJob("job0", &iotests.RunJobOptions{MayFail: tt.fails != ""})
				it.AssertEqual("why the job failed", result.Error, tt.fails)
				if ready := slices.Contains(result.States, "ready"); ready != (tt.fails == "") {
					it.Errorf("states %v", result.States)
				}
				vm.Shutdown()
				if tt.stops {
					// The job made the failed request again, so nothing is missing.
					it.AssertImagesEqual(source, target)
				}
			})
		})
	}
}
