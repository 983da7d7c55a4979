package docs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/legacy"
	"github.com/goqmp/qmp/qapi"
	qmpsync "github.com/goqmp/qmp/sync"
)

// This file has the Go code of the first part of migrating.md, one function for each
// block. The tests of migrating_qemu_test.go call them.

func contextManager(addr string) (string, error) {
	qmp, err := legacy.New(addr, nil)
	if err != nil {
		return "", err
	}
	defer qmp.Close()
	if _, err := qmp.Connect(true); err != nil {
		return "", err
	}
	status, err := qmp.Command("query-status", nil)
	if err != nil {
		return "", err
	}
	return status.(map[string]any)["status"].(string), nil
}

// quit tells QEMU to quit, and reads events until QEMU has closed the connection.
func quit(qmp *legacy.QEMUMonitorProtocol) error {
	if _, err := qmp.Command("quit", nil); err != nil {
		return err
	}
	_, err := qmp.PullEvent(legacy.Forever)
	for err == nil { // STOP, in some versions, and SHUTDOWN
		_, err = qmp.PullEvent(legacy.Forever)
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	err = qmp.Close() // says why the connection ended
	if errors.Is(err, io.EOF) {
		return nil // QEMU closed the connection, as it was told to
	}
	return err
}

func connectAgain(qmp *legacy.QEMUMonitorProtocol) error {
	err := qmp.Close() // returns why the last connection ended
	if err != nil {
		log.Print(err)
	}
	qmp.ClearEvents() // the queue still has events of the last connection
	_, err = qmp.Connect(true)
	return err
}

func errorReplies(qmp *legacy.QEMUMonitorProtocol) error {
	reply, err := qmp.Cmd("make-coffee", nil)
	if err != nil {
		return err
	}
	if failure, ok := reply["error"].(map[string]any); ok {
		fmt.Println(failure["desc"])
	}

	_, err = qmp.Command("make-coffee", nil)
	if refused, ok := errors.AsType[*async.ExecuteError](err); ok {
		fmt.Println(refused.Class)
	}
	return nil
}

func dictionaries(qmp *legacy.QEMUMonitorProtocol) error {
	blocks, err := qmp.Command("query-block", nil)
	if err != nil {
		return err
	}
	for _, b := range blocks.([]any) {
		block := b.(map[string]any)
		inserted, ok := block["inserted"].(map[string]any)
		if !ok {
			continue // a drive without a medium
		}
		image := inserted["image"].(map[string]any)
		fmt.Println(block["device"], image["virtual-size"].(int64)>>30)
	}
	return nil
}

func typed(ctx context.Context, qmp *legacy.QEMUMonitorProtocol) error {
	blocks, err := qapi.QueryBlock(ctx, qmp.Sync().Async(), nil)
	if err != nil {
		return err
	}
	for _, b := range blocks {
		if b.Inserted != nil { // nil for a drive without a medium
			fmt.Println(b.Device, b.Inserted.Image.VirtualSize>>30)
		}
	}
	return nil
}

func types(qmp *legacy.QEMUMonitorProtocol) error {
	type block struct {
		Device   string
		Inserted *struct { // nil for a drive without a medium
			Image struct{ VirtualSize uint64 }
		}
	}
	blocks, err := qmpsync.Call[[]block](qmp.Sync(), "query-block", nil)
	if err != nil {
		return err
	}
	for _, b := range blocks {
		if b.Inserted != nil {
			fmt.Println(b.Device, b.Inserted.Image.VirtualSize>>30)
		}
	}
	return nil
}

func arguments(qmp *legacy.QEMUMonitorProtocol) error {
	_, err := qmp.Command("blockdev-add", map[string]any{
		"driver":    "qcow2",
		"node-name": "disk0",
		"file":      map[string]any{"driver": "file", "filename": "disk.img"},
	})
	return err
}

func orderedArguments(qmp *legacy.QEMUMonitorProtocol) error {
	_, err := qmp.Command("device_add", async.Members{
		{Name: "driver", Value: "scsi-hd"},
		{Name: "drive", Value: "disk0"},
		{Name: "wwn", Value: uint64(math.MaxUint64)}, // exact, like every integer
	})
	return err
}

func machineArgs(ctx context.Context, vm *machine.Machine) (map[string]any, error) {
	reply, err := vm.QMP(ctx, "blockdev-del", machine.Args{"node_name": "disk0"})
	return reply, err
}

func poll(qmp *legacy.QEMUMonitorProtocol) error {
	_, err := qmp.PullEvent(legacy.For(10 * time.Millisecond))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		fmt.Println("nothing yet")
		err = nil
	}
	return err
}

func retry(qmp *legacy.QEMUMonitorProtocol) error {
	qmp.SetTimeout(legacy.For(5 * time.Second))
	_, err := qmp.Command("stop", nil)
	if interrupted, ok := errors.AsType[*async.ExecInterruptedError](err); ok && interrupted.SafeToRetry() {
		_, err = qmp.Command("stop", nil) // it cannot have been executed
	}
	return err
}

func eventLoop(qmp *legacy.QEMUMonitorProtocol, args map[string]any) error {
	if _, err := qmp.Command("blockdev-backup", args); err != nil {
		return err
	}
	for {
		event, err := qmp.PullEvent(legacy.For(time.Minute))
		if err != nil {
			return err // no event in time, or no connection any more
		}
		data, _ := event["data"].(map[string]any)
		if event["event"] == "BLOCK_JOB_COMPLETED" && data["device"] == "drive0" {
			fmt.Println(data["offset"])
			return nil
		}
	}
}

func eventWait(ctx context.Context, vm *machine.Machine) (map[string]any, error) {
	event, err := vm.EventWait(ctx, "BLOCK_JOB_COMPLETED", map[string]any{
		"data": map[string]any{"device": "drive0"},
	})
	return event, err
}

func listener(ctx context.Context, qmp *legacy.QEMUMonitorProtocol) error {
	client := qmp.Sync().Async()
	jobs := client.NewListener(nil, "BLOCK_JOB_COMPLETED") // before the command
	defer jobs.Close()
	err := qapi.BlockdevBackup(ctx, client, &qapi.BlockdevBackupOptions{
		JobID: new("drive0"), Device: "disk0", Target: "target0", Sync: qapi.MirrorSyncModeFull,
	})
	if err != nil {
		return err
	}
	job, err := qapi.Wait(ctx, jobs, func(e *qapi.BlockJobCompletedEvent) bool { return e.Device == "drive0" })
	if err != nil {
		return err
	}
	fmt.Println(job.Offset, job.Error == nil) // Error says why the job failed
	return nil
}

func accept(path string, startQEMU func(addr string) error) (map[string]any, error) {
	qmp, err := legacy.New(path, &legacy.Options{Server: true})
	if err != nil {
		return nil, err
	}
	defer qmp.Close()
	if err := startQEMU("unix:" + path); err != nil { // -qmp unix:PATH
		return nil, err
	}
	greeting, err := qmp.Accept(legacy.For(15 * time.Second))
	return greeting, err
}

func descriptor(qmp *legacy.QEMUMonitorProtocol, f *os.File) error {
	if err := qmp.SendFDSCM(f); err != nil {
		return err
	}
	_, err := qmp.Command("getfd", map[string]any{"fdname": "net0"})
	return err
}

func descriptorWithItsCommand(qmp *legacy.QEMUMonitorProtocol, f *os.File) error {
	reply, err := qmp.Sync().Do(async.Command{
		Name:  "getfd",
		Args:  map[string]any{"fdname": "net0"},
		Files: []*os.File{f},
	})
	if err != nil {
		return err
	}
	return reply.Err()
}
