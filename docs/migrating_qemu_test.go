package docs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/legacy"
)

// These tests run the Go code of the first part of migrating.md with a real QEMU.

// connected starts a QEMU and connects to it. dir is QEMU's working directory.
func connected(t *testing.T, args ...string) (qmp *legacy.QEMUMonitorProtocol, dir string) {
	t.Helper()
	addr := qemutest.Monitor(t, args...)
	qmp, err := legacy.New(addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := qmp.Connect(true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { qmp.Close() })
	return qmp, filepath.Dir(addr)
}

// prints requires f to succeed and to print text.
func prints(t *testing.T, text string, f func() error) {
	t.Helper()
	if got := printed(t, f); got != text {
		t.Errorf("printed %q, want %q", got, text)
	}
}

func TestContextManager(t *testing.T) {
	if status, err := contextManager(qemutest.Monitor(t)); status != "running" || err != nil {
		t.Errorf("%s, %v", status, err)
	}
}

func TestQuit(t *testing.T) {
	qmp, _ := connected(t)
	if err := quit(qmp); err != nil {
		t.Error(err)
	}
}

// The queue of the new connection does not have the events of the last one.
func TestConnectAgain(t *testing.T) {
	qmp, _ := connected(t)
	if _, err := qmp.Command("stop", nil); err != nil {
		t.Fatal(err)
	}
	if err := connectAgain(qmp); err != nil {
		t.Fatal(err)
	}
	if event, err := qmp.PullEvent(legacy.NoWait); event != nil || err != nil {
		t.Errorf("%v, %v", event, err)
	}
	if _, err := qmp.Command("query-status", nil); err != nil {
		t.Error(err)
	}
}

func TestErrorReplies(t *testing.T) {
	qmp, _ := connected(t)
	prints(t, "The command make-coffee has not been found\nCommandNotFound\n", func() error { return errorReplies(qmp) })
}

// drives makes a drive with a medium of 5 GiB, and a drive without a medium.
var drives = []string{
	"-drive", "if=none,id=drive0,format=raw,file.driver=null-co,file.size=5G",
	"-drive", "if=none,id=empty0",
}

func TestDictionaries(t *testing.T) {
	qmp, _ := connected(t, drives...)
	prints(t, "drive0 5\n", func() error { return dictionaries(qmp) })
}

func TestTypes(t *testing.T) {
	qmp, _ := connected(t, drives...)
	prints(t, "drive0 5\n", func() error { return types(qmp) })
	prints(t, "drive0 5\n", func() error { return typed(qemutest.Context(t), qmp) })
}

func TestArguments(t *testing.T) {
	qmp, dir := connected(t, "-machine", "pc", "-S", "-device", "virtio-scsi-pci")
	create := exec.Command(qemutest.Find(t, qemutest.Img), "create", "-f", "qcow2", filepath.Join(dir, "disk.img"), "1M")
	if output, err := create.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if err := arguments(qmp); err != nil {
		t.Error(err)
	}
	if err := orderedArguments(qmp); err != nil {
		t.Error(err)
	}
}

// blank makes two nodes without content, and backup has the arguments of
// blockdev-backup that copies one to the other.
var (
	blank = []string{
		"-blockdev", "null-co,node-name=disk0,size=65536,read-zeroes=on",
		"-blockdev", "null-co,node-name=target0,size=65536,read-zeroes=on",
	}
	backup = map[string]any{"job-id": "drive0", "device": "disk0", "target": "target0", "sync": "full"}
)

func TestEventLoop(t *testing.T) {
	qmp, _ := connected(t, blank...)
	prints(t, "65536\n", func() error { return eventLoop(qmp, backup) })
}

func TestListener(t *testing.T) {
	qmp, _ := connected(t, blank...)
	prints(t, "65536 true\n", func() error { return listener(qemutest.Context(t), qmp) })
}

func TestMachine(t *testing.T) {
	ctx := qemutest.Context(t)
	vm := machine.New(qemutest.Find(t, qemutest.QEMU), &machine.Options{Args: append([]string{"-nodefaults", "-machine", "none"}, blank...)})
	if err := vm.Launch(ctx); err != nil {
		t.Fatal(err)
	}
	defer vm.Kill()
	if _, err := vm.Command(ctx, "blockdev-backup", backup); err != nil {
		t.Fatal(err)
	}
	if event, err := eventWait(ctx, vm); event["event"] != "BLOCK_JOB_COMPLETED" || err != nil {
		t.Errorf("%v, %v", event, err)
	}
	if reply, err := machineArgs(ctx, vm); reply["error"] != nil || err != nil {
		t.Errorf("%v, %v", reply, err)
	}
	if err := vm.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func TestTimeouts(t *testing.T) {
	qmp, _ := connected(t)
	prints(t, "nothing yet\n", func() error { return poll(qmp) })
	if err := retry(qmp); err != nil {
		t.Error(err)
	}
	if event, err := qmp.PullEvent(legacy.NoWait); event["event"] != "STOP" || err != nil {
		t.Errorf("%v, %v", event, err)
	}
}

func TestAccept(t *testing.T) {
	qemutest.Find(t, qemutest.QEMU)
	greeting, err := accept(filepath.Join(qemutest.Dir(t), "qmp"), func(addr string) error {
		qemutest.Machine(t, "-qmp", addr)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(greeting["QMP"].(map[string]any)["capabilities"]); got != "[oob]" {
		t.Errorf("QEMU offers %s, want [oob]", got)
	}
}

func TestDescriptors(t *testing.T) {
	qmp, _ := connected(t)
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, pass := range []func(*legacy.QEMUMonitorProtocol, *os.File) error{descriptor, descriptorWithItsCommand} {
		if err := pass(qmp, f); err != nil {
			t.Error(err)
		}
		if _, err := qmp.Command("closefd", map[string]any{"fdname": "net0"}); err != nil {
			t.Error(err)
		}
	}
}
