package iotests_test

import (
	"strings"
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// The methods for qemu-img return what it prints about an image as Go values.
func TestImgTools(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		disk, other := it.Path("disk.img"), it.Path("other.img")
		it.ImgCreate(disk, "4M")
		it.QemuIO(disk, "write -P 1 0 64k", "write -z 128k 64k")
		it.AssertEqual("the size", it.ImageSize(disk), 4<<20)
		it.AssertQMP(it.ImgInfo(disk), "format", it.Format)

		entries := it.ImgMap(disk, "-f", it.Format)
		if e := entries[0]; e.Start != 0 || e.Length < 64<<10 || !e.Data || e.Zero || e.Offset == nil || e.Depth != 0 {
			it.Errorf("the map begins with %+v", e)
		}
		end := int64(0)
		for _, e := range entries {
			if e.Start != end {
				it.Errorf("a gap in the map: %+v", entries)
			}
			end = e.Start + e.Length
		}
		it.AssertEqual("the map's end", end, 4<<20)

		it.ImgConvert(disk, other, "-f", it.Format)
		it.AssertImagesEqual(disk, other)
		it.QemuIO(other, "write -P 2 1M 512")
		if it.ImgCompare(disk, other) {
			it.Errorf("ImgCompare reports that two different images are equal")
		}
		if m := it.ImgMeasure("--size", "4M"); m.Required <= 0 || m.FullyAllocated < 4<<20 || m.Required > m.FullyAllocated {
			it.Errorf("the measure: %+v", m)
		}
		if it.Format == "qcow2" {
			check := it.ImgCheck(disk)
			if check.CheckErrors != 0 || check.Corruptions != 0 || check.Leaks != 0 || check.AllocatedClusters != 1 || check.TotalClusters != 64 {
				it.Errorf("the check: %+v", check)
			}
		}
		it.AssertImageClean(disk)
		if major, _ := it.Version(); major < 5 || major > 99 {
			it.Errorf("version %d", major)
		}
	})
}

// The logged output of the tools is the same in every run.
func TestToolLogs(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		it.Filters = append(it.Filters, iotests.OverStrings(it.FilterImgFmt), iotests.OverStrings(iotests.FilterImgCreate))
		base, top := it.Path("base.img"), it.Path("top.img")
		it.ImgLog("create", "-f", it.Format, base, "1M")
		it.Img("create", "-q", "-f", "qcow2", "-b", base, "-F", it.Format, top)
		it.QemuIOLog(base, "write -P 1 0 64k", "read -P 1 0 64k", "read -P 2 0 64k", "nonsense")
		it.ImgLog("info", it.Path("nosuch"))
		it.Log(dict{"actual-size": 123, "list": []any{dict{"disk-size": 5}}}, iotests.FilterSizes)
		it.LogIndent(dict{"b": []any{1, "two"}, "a": dict{}})
		it.CheckGolden("tools")
	})
}

// A session of qemu-io keeps an image open, and executes one command after the other.
// Meanwhile no other process can open a qcow2 image; several may write to a raw image.
func TestQemuIOSession(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		disk := it.Path("disk.img")
		it.ImgCreate(disk, "1M")
		s := it.OpenQemuIO(disk)
		if text := s.Cmd("write -P 5 0 64k"); !strings.Contains(text, "wrote 65536/65536 bytes at offset 0") {
			it.Errorf("write: %q", text)
		}
		if text := s.Cmd("read -P 6 0 64k"); !strings.Contains(text, "Pattern verification failed") {
			it.Errorf("read: %q", text)
		}
		if text := s.Cmd("nonsense"); !strings.Contains(text, `"nonsense" not found`) {
			it.Errorf("nonsense: %q", text)
		}
		if r := it.QemuIOResult(disk, "write 512k 512"); it.Format != "raw" && r.OK() || !r.OK() && !strings.Contains(r.Output, `Failed to get "write" lock`) {
			it.Errorf("a second process that writes: %v", r)
		}
		s.Close()
		s.Close() // a second call does nothing
		it.QemuIO(disk, "read -P 5 0 64k")
	})
}

// The Require methods skip a test, and say why.
func TestRequire(t *testing.T) {
	t.Parallel()
	iotests.New(t, nil) // skips the test with -short
	for name, tt := range map[string]struct {
		test func(*iotests.Test)
		want string // the beginning of the reason; "" for no skip
	}{
		"format":       {func(it *iotests.Test) { it.RequireFormats("vdi", "qed") }, "not for the format raw, but for vdi, qed"},
		"its format":   {func(it *iotests.Test) { it.RequireFormats("qcow2", "raw") }, ""},
		"not a format": {func(it *iotests.Test) { it.SkipFormats("no snapshots", "raw") }, "not for the format raw: no snapshots"},
		"protocol":     {func(it *iotests.Test) { it.RequireProtocols("nbd") }, "not for the protocol file, but for nbd"},
		"cache mode":   {func(it *iotests.Test) { it.RequireCacheModes("none") }, "not for the cache mode writeback, but for none"},
		"AIO mode":     {func(it *iotests.Test) { it.RequireAIOModes("native", "io_uring") }, "not for the AIO mode threads, but for native, io_uring"},
		"drivers":      {func(it *iotests.Test) { it.RequireDrivers("raw", "punch-cards") }, "this QEMU has no block driver punch-cards"},
		"its drivers":  {func(it *iotests.Test) { it.RequireDrivers("raw", "qcow2", "nbd") }, ""},
		"version":      {func(it *iotests.Test) { it.RequireVersion(99, 1) }, "needs QEMU 99.1, this is "},
		"old version":  {func(it *iotests.Test) { it.RequireVersion(4, 2) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := iotests.RunProgram(t.Context(), t.Output(), name, func(tb iotests.TB) {
				tt.test(iotests.New(tb, &iotests.Options{Format: "raw"}))
			})
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			skipped, ok := err.(*iotests.SkippedError)
			if !ok || !strings.HasPrefix(skipped.Reason, tt.want) {
				t.Errorf("%v; want a skip: %s", err, tt.want)
			}
		})
	}
}

// For VMs, daemons and tools, a relative path is relative to the test's directory.
func TestRelativePaths(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		it.ImgCreate("disk.img", "1M")
		it.QemuIO("disk.img", "write -P 1 0 64k")
		vm := it.VM(nil).AddDrive("disk.img").Launch()
		vm.IO("drive0", "read -P 1 0 64k", "write -P 2 64k 64k")
		vm.Shutdown()
		daemon := it.QSD(nil).AddBlockdev(file("disk", it.Format, "disk.img")).Launch()
		daemon.AssertHasNode("disk", "")
		daemon.Shutdown()
		server := it.NBDServe("disk.img")
		it.QemuIOAs("raw", server.URI, "read -P 2 64k 64k")
		server.Stop()
		session := it.OpenQemuIO("disk.img", "-r")
		if text := session.Cmd("read -P 2 64k 64k"); !strings.Contains(text, "read 65536/65536") {
			it.Errorf("read: %s", text)
		}
		session.Close()
	})
}
