package iotests_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/iotests"
	"github.com/goqmp/qmp/compat/machine"
)

// Python scripts that call the helpers of QEMU 7.2's iotests.py have logged the files
// testdata/python/*.out, with QEMU 7.2. The tests in this file make the same calls, and
// have to log the same, byte for byte.

// checkRecorded compares the test's log with a recording.
func checkRecorded(it *iotests.Test, name string) {
	it.Helper()
	want, err := os.ReadFile(filepath.Join("testdata", "python", name+".out"))
	if err != nil {
		it.Fatalf("%v", err)
	}
	if string(want) == it.Logged() {
		return
	}
	// Later versions of QEMU answer differently in places.
	if diff := cmp.Diff(strings.Split(ofAnyVersion(string(want)), "\n"), strings.Split(ofAnyVersion(it.Logged()), "\n")); diff != "" {
		it.Errorf("the log differs from that of Python's helpers (%s):\n%s", name, diff)
	}
}

// differing matches what QEMU 10.0 and 11.1 answer differently from 7.2: a migration has
// more states, a mirror that had nothing to copy has the length 0, and the NBD server
// offers more.
var differing = regexp.MustCompile(`(?m)^\{"data": \{"status": "(?:device|failing)"\}, "event": "MIGRATION".*\n` +
	`|"len": \d+, "offset": \d+, "speed": 0, "type": "mirror"` +
	`|^  flags: 0x.*\n|^  transaction size: .*\n`)

// ofAnyVersion removes from a log what differs between versions of QEMU.
func ofAnyVersion(log string) string { return differing.ReplaceAllString(log, "") }

// recorded runs a test and compares its log with a recording. As in an iotest, only the
// filters of each call apply.
func recorded(t *testing.T, format, name string, test func(it *iotests.Test)) {
	t.Helper()
	t.Parallel()
	it := iotests.New(t, &iotests.Options{Format: format})
	it.Filters = nil
	test(it)
	checkRecorded(it, name)
}

func TestRecordedLog(t *testing.T) {
	recorded(t, "qcow2", "log", func(it *iotests.Test) {
		it.Log("--- texts ---")
		it.Log("")
		it.Log("two\nlines\n")
		it.Log("--- scalars ---")
		for _, v := range []any{nil, true, false, 5, -1.5, 1e16, 1e15, 1e-5, 0.0001, 2.0, 1234567.5} {
			it.Log(v)
		}
		it.Log("--- messages ---")
		it.Log(dict{
			"b": []any{1, 2.0, 1234567.5, 1e16, 1e-5, true, nil},
			"a": dict{"z_a": "\b\f\n\r\t\"\\/\x7f\x00\u00e9\U0001f600"},
		})
		it.Log([]any{})
		it.Log(dict{})
		it.Log([]any{dict{}, []any{}})
		it.LogIndent(dict{"b": []any{1, dict{"d": 2, "c": []any{}}}, "a": dict{}})
		it.Log("--- filters ---")
		it.Log("/x chown 1:2", iotests.OverStrings(iotests.FilterChown), iotests.OverStrings(strings.ToUpper))
		it.Log(dict{"timestamp": dict{"seconds": 1, "microseconds": 2}, "event": "STOP"}, iotests.FilterQMPEvent)
		it.Log(dict{"driver": it.Format, "l": []any{"virtio-scsi-pci", 5}},
			iotests.OverStrings(it.FilterImgFmt), iotests.OverStrings(iotests.FilterVirtioSCSI))
		it.LogIndent(dict{"filename": it.Path("a"), "s": it.SocketPath("b")}, func(message any) any {
			// Here both are in one directory, which the recording did not have.
			message = iotests.OverStrings(it.FilterTestFiles)(message)
			message.(dict)["s"] = strings.Replace(message.(dict)["s"].(string), "TEST_DIR", "SOCK_DIR", 1)
			return message
		})
	})
}

func TestRecordedQMPLog(t *testing.T) {
	recorded(t, "qcow2", "qmp-log", func(it *iotests.Test) {
		vm := it.VM(nil).Launch()
		vm.QMPLog("query-version", nil, func(message any) any {
			if _, err := iotests.Lookup(message, "execute"); err != nil {
				return "VERSION"
			}
			return message
		})
		vm.QMPLog("object-add", machine.Args{"qom_type": "throttle-group", "id": "t0", "limits": dict{"iops_total": 5}})
		vm.QMPLogIndent("object-add", dict{"qom-type": "throttle-group", "id": "t1", "limits": dict{"iops-total": 5, "bps-total": 10}})
		vm.QMPLog("object-del", dict{"id": "nosuch"})
		vm.QMPLogIndent("no_such_command", machine.Args{"x_list": []any{
			dict{"a_b": 1, "c": dict{"d_e": 2}}, []any{dict{"f_g": 3}},
		}})
		vm.QMPLog("human-monitor-command", machine.Args{"command_line": "info nosuch"})
		vm.HMPQemuIOLog("nosuch", "read 0 512")
		vm.HMPQemuIOLog("-d nosuch", "read 0 512")
		vm.HMPLog("stop")
	})
}

func TestRecordedImgLog(t *testing.T) {
	for _, format := range both {
		t.Run(format, func(t *testing.T) {
			recorded(t, format, "img-"+format, func(it *iotests.Test) {
				a, b, c := it.Path("a.img"), it.Path("b.img"), it.Path("c.img")
				it.ImgLog("create", "-f", format, a, "1M")
				it.ImgLog("create", "-q", "-f", format, b, "1M")
				it.ImgLog("info", it.Path("nosuch"))
				it.ImgLog("create", "-f", "qcow2", "-b", a, "-F", format, c)
				it.ImgInfoLog(a)
				it.Format = "qcow2"
				it.ImgInfoLog(c)
				it.Format = format
				options := "driver=" + format + ",file.driver=file,file.filename=" + a
				it.Log(it.FilterImgInfo(it.Img("info", "--image-opts", options), a))
			})
		})
	}
}

func TestRecordedQemuIOLog(t *testing.T) {
	for _, format := range both {
		t.Run(format, func(t *testing.T) {
			recorded(t, format, "io", func(it *iotests.Test) {
				a := it.Path("a.img")
				it.ImgCreate(a, "1M")
				it.QemuIOLog(a, "write -P 1 0 64k", "read -P 1 0 64k")
				it.QemuIOLog(a, "read -P 2 0 64k", "nonsense")
				it.QemuIOLog(a, "flush")
				it.QemuIOLog(it.Path("nosuch"), "read 0 64k")
			})
		})
	}
}

func TestRecordedRunJob(t *testing.T) {
	recorded(t, "qcow2", "jobs", func(it *iotests.Test) {
		vm := it.VM(nil).Launch()
		for _, node := range []string{"a", "b"} {
			it.ImgCreate(it.Path(node), "1M")
			vm.Cmd("blockdev-add", file(node, it.Format, it.Path(node)))
		}
		backup := func(more dict) {
			args := dict{"job-id": "job0", "device": "a", "target": "b", "sync": "full"}
			for name, value := range more {
				args[name] = value
			}
			vm.QMPLog("blockdev-backup", args)
		}
		python := map[bool]string{true: "True", false: "False"}
		for _, finalize := range []bool{true, false} {
			for _, dismiss := range []bool{true, false} {
				for _, cancel := range []bool{false, true} {
					if finalize && cancel {
						continue
					}
					it.Log("--- finalize " + python[finalize] + ", dismiss " + python[dismiss] + ", cancel " + python[cancel] + " ---")
					backup(dict{"auto-finalize": finalize, "auto-dismiss": dismiss})
					vm.RunJob("job0", &iotests.RunJobOptions{
						ManualFinalize: !finalize, ManualDismiss: !dismiss, Cancel: cancel,
						BeforeFinalize: func() { it.Log("pre_finalize") },
					})
				}
			}
		}
		it.Log("--- a mirror ---")
		vm.QMPLog("blockdev-mirror", dict{"job-id": "job0", "device": "a", "target": "b", "sync": "full"})
		vm.RunJob("job0", nil)
		it.Log("--- wrong about auto-finalize and auto-dismiss ---")
		backup(nil)
		vm.RunJob("job0", &iotests.RunJobOptions{ManualFinalize: true, ManualDismiss: true})
		it.Log("--- filters ---")
		backup(dict{"auto-dismiss": false})
		vm.RunJob("job0", &iotests.RunJobOptions{ManualDismiss: true, Filters: []iotests.Filter{func(message any) any {
			out := dict{}
			members, ok := message.(async.Members)
			for _, m := range members {
				out[m.Name] = m.Value
			}
			if event, isEvent := message.(dict); isEvent {
				ok = true
				maps.Copy(out, event)
			}
			if !ok {
				return message
			}
			delete(out, "timestamp")
			return out
		}}})
		it.Log("--- a target that fails ---")
		it.ImgCreate(it.Path("bad"), "1M")
		vm.Cmd("blockdev-add", dict{"driver": it.Format, "node-name": "bad", "file": dict{
			"driver": "blkdebug", "image": dict{"driver": "file", "filename": it.Path("bad")},
			"inject-error": []any{dict{"event": "none", "iotype": "write", "errno": 5, "once": false}},
		}})
		vm.IO("a", "write -P 1 0 64k")
		for _, dismiss := range []bool{true, false} {
			backup(dict{"auto-dismiss": dismiss, "target": "bad"})
			vm.RunJob("job0", &iotests.RunJobOptions{ManualDismiss: !dismiss, MayFail: true})
		}
	})
}

func TestRecordedBlockdevCreate(t *testing.T) {
	recorded(t, "qcow2", "create", func(it *iotests.Test) {
		path := it.Path("new.img")
		vm := it.VM(nil).Launch()
		create := func(id string, options dict, filters ...iotests.Filter) {
			filters = append([]iotests.Filter{iotests.OverStrings(it.FilterTestFiles)}, filters...)
			vm.BlockdevCreateJob(id, options, &iotests.RunJobOptions{MayFail: true, Filters: filters})
		}
		create("job0", dict{"driver": "file", "filename": path, "size": 0})
		vm.QMPLog("blockdev-add", dict{"driver": "file", "filename": path, "node-name": "file"}, iotests.OverStrings(it.FilterTestFiles))
		create("job1", dict{"driver": "qcow2", "file": "file", "size": 1 << 20})
		create("job0", dict{"driver": "qcow2", "file": "nosuch", "size": 1 << 20})
		create("job0", dict{"driver": "file", "filename": it.Dir + "/nosuch/x", "size": 0}, iotests.OverStrings(it.FilterTestDir))
		create("job0", dict{"driver": "nosuch"})
	})
}

func TestRecordedMigration(t *testing.T) {
	recorded(t, "qcow2", "migrate", func(it *iotests.Test) {
		uri := "unix:" + it.SocketPath("sock")
		a := it.VM(&iotests.VMOptions{Name: "A"}).Launch()
		b := it.VM(&iotests.VMOptions{Name: "B"}).AddIncoming(uri).Launch()
		a.EnableMigrationEvents()
		b.EnableMigrationEvents()
		it.Log(a.QMP("migrate", dict{"uri": uri}))
		it.Log(a.WaitMigration("postmigrate"))
		it.Log(b.WaitMigration(""))
		c := it.VM(&iotests.VMOptions{Name: "C"}).Launch()
		c.EnableMigrationEvents()
		it.Log(c.QMP("migrate", dict{"uri": "unix:" + it.SocketPath("nobody")}))
		it.Log(c.WaitMigration("postmigrate"))
	})
}

func TestRecordedNBD(t *testing.T) {
	recorded(t, "qcow2", "nbd", func(it *iotests.Test) {
		it.ImgCreate(it.Path("a.img"), "1M")
		server := it.NBDServeLog(it.Path("a.img"), "--shared=1", "-x", "exp")
		it.NBDListLog(server.Socket)
		it.Log("served")
		server.Stop()
	})
}

func TestRecordedPausedDrive(t *testing.T) {
	recorded(t, "qcow2", "drive", func(it *iotests.Test) {
		it.ImgCreate(it.Path("a.img"), "1M")
		vm := it.VM(nil).AddDrive("blkdebug::" + it.Path("a.img")).Launch()
		it.Log("pause")
		vm.PauseDrive("drive0", "write_aio")
		vm.HMPQemuIOLog("drive0", "aio_write -P 1 0 64k")
		it.Log("resume")
		vm.ResumeDrive("drive0")
		vm.HMPQemuIOLog("drive0", "aio_flush")
	})
}
