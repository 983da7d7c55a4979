package docs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/compat"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/legacy"
	qmpsync "github.com/goqmp/qmp/sync"
)

// The Go code of migrating.md is cut from these examples; TestPages sees to it.

// server starts the machine that the examples talk to.
func server() (addr string, stop func()) {
	s, err := qmptest.NewServer(&qmptest.Options{Name: "vm1"})
	if err != nil {
		log.Fatal(err)
	}
	took := func(context.Context, *qmptest.Command) (any, error) { return nil, nil }
	for _, name := range []string{"blockdev-add", "device_add", "getfd", "add-fd", "netdev_add"} {
		s.Handle(name, took)
	}
	s.Handle("blockdev-backup", func(context.Context, *qmptest.Command) (any, error) {
		for _, device := range []string{"drive1", "drive0"} {
			data := map[string]any{"device": device, "len": 1024, "offset": 1024}
			if err := s.Emit("BLOCK_JOB_COMPLETED", data); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	s.Handle("query-block", func(context.Context, *qmptest.Command) (any, error) {
		return []any{map[string]any{"device": "drive0", "size": 5 << 30}}, nil
	})
	return s.Addr(), func() { s.Close() }
}

func connected() (qmp *legacy.QEMUMonitorProtocol, stop func()) {
	addr, stopServer := server()
	qmp, err := legacy.New(addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := qmp.Connect(true); err != nil {
		log.Fatal(err)
	}
	return qmp, func() {
		qmp.Close()
		stopServer()
	}
}

// use shows that a call can be written so; what it returns is of no interest.
func use(...any) {}

// Example_calls has the calls of the page's tables. Not all of them make sense
// behind each other, so it is compiled and not run.
func Example_calls() {
	addr, path, conn, f := "/run/vm1.qmp", "/run/vm1.qmp", net.Conn(nil), os.Stdin
	qmp, err := legacy.New("/run/vm1.qmp", nil)
	use(legacy.New("127.0.0.1:4444", nil))
	use(legacy.New("[::1]:4444", nil))
	use(legacy.New(addr, &legacy.Options{Server: true, Nickname: "vm1"}))
	use(legacy.New(addr, nil))
	use(compat.NewConn(conn, nil))
	use(legacy.ParseAddress("localhost:4444"))
	use(qmp, err, path)

	greeting, err := qmp.Connect(true)
	use(qmp.Connect(false))
	use(qmp.Accept(legacy.For(15 * time.Second)))
	use(qmp.Accept(legacy.Forever))
	use(qmp.Close())
	use(greeting, err)

	reply, err := qmp.Cmd("query-status", nil)
	use(qmp.Cmd("x", map[string]any{"a": 1}))
	use(qmp.Cmd("x", map[string]any{"a": 1}, "my-id"))
	use(qmp.CmdObj(map[string]any{"execute": "stop"}))
	value, err := qmp.Command("x", map[string]any{"a": 1})
	use(reply, value, err)

	qmp.SetTimeout(legacy.For(5 * time.Second))
	qmp.SetTimeout(legacy.Forever)
	use(qmp.PullEvent(legacy.NoWait))
	use(qmp.PullEvent(legacy.Forever))
	use(qmp.PullEvent(legacy.For(1500 * time.Millisecond)))
	use(qmp.GetEvents(legacy.NoWait))
	use(qmp.GetEvents(legacy.For(time.Second)))
	qmp.ClearEvents()

	use(qmp.SendFDSCM(f))
	use(qmp.IsSCMAvailable())
	use(qmp.SyscallConn())

	vm := compat.Wrap(qmp)
	use(vm.Cmd("x", map[string]any{"a": 1}))
	use(vm.CmdRaw("x", map[string]any{"a": 1}))

	var refused *async.ExecuteError
	var interrupted *async.ExecInterruptedError
	var state *async.StateError
	var connect *async.ConnectError
	var greetingErr *async.GreetingError
	var negotiation *async.NegotiationError
	var badReply *async.BadReplyError
	var parse *async.ServerParseError
	var message *async.MessageError
	var id *async.InvalidIDError
	var port *legacy.BadPortError
	var broken async.ProtocolError
	use(
		errors.As(err, &refused),
		errors.As(err, &interrupted),
		errors.As(err, &state),
		errors.As(err, &connect),
		errors.As(err, &greetingErr),
		errors.As(err, &negotiation),
		errors.As(err, &badReply),
		errors.As(err, &parse),
		errors.As(err, &message),
		errors.As(err, &id),
		errors.As(err, &port),
		errors.As(err, &broken),
		errors.Is(err, os.ErrDeadlineExceeded),
		errors.Is(err, io.EOF),
		errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.ECONNREFUSED),
	)
}

func Example_contextManager() {
	addr, stop := server()
	defer stop()
	status := func() (string, error) {
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
	fmt.Println(status())
	// Output: running <nil>
}

func Example_close() {
	qmp, stop := connected()
	defer stop()
	quit := func() error {
		if _, err := qmp.Command("quit", nil); err != nil {
			return err
		}
		if _, err := qmp.PullEvent(legacy.For(5 * time.Second)); err != nil { // SHUTDOWN
			return err
		}
		_, err := qmp.PullEvent(legacy.For(5 * time.Second)) // until it hangs up
		if !errors.Is(err, io.EOF) {
			return err
		}
		err = qmp.Close() // says why the connection ended
		if errors.Is(err, io.EOF) {
			return nil // it hung up, as it was told to
		}
		return err
	}
	fmt.Println(quit())
	// Output: <nil>
}

func Example_errorReplies() {
	qmp, stop := connected()
	defer stop()
	show := func() error {
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
	if err := show(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// The command make-coffee has not been found
	// CommandNotFound
}

func Example_dictionaries() {
	qmp, stop := connected()
	defer stop()
	show := func() error {
		blocks, err := qmp.Command("query-block", nil)
		if err != nil {
			return err
		}
		for _, b := range blocks.([]any) {
			block := b.(map[string]any)
			fmt.Println(block["device"], block["size"].(int64)>>30)
		}
		return nil
	}
	if err := show(); err != nil {
		log.Fatal(err)
	}
	typed := func() error {
		type block struct {
			Device string `json:"device"`
			Size   uint64 `json:"size"`
		}
		blocks, err := qmpsync.Call[[]block](qmp.Sync(), "query-block", nil)
		if err != nil {
			return err
		}
		for _, b := range blocks {
			fmt.Println(b.Device, b.Size>>30)
		}
		return nil
	}
	if err := typed(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// drive0 5
	// drive0 5
}

func Example_arguments() {
	qmp, stop := connected()
	defer stop()
	add := func() error {
		_, err := qmp.Command("blockdev-add", map[string]any{
			"driver":    "qcow2",
			"node-name": "disk0",
			"file":      map[string]any{"driver": "file", "filename": "disk.img"},
		})
		if err != nil {
			return err
		}

		_, err = qmp.Command("device_add", async.Members{
			{Name: "driver", Value: "virtio-blk"},
			{Name: "drive", Value: "disk0"},
			{Name: "wwn", Value: uint64(math.MaxUint64)},
			{Name: "more", Value: new(big.Int).Lsh(big.NewInt(1), 64)},
		})
		return err
	}
	fmt.Println(add())
	// Output: <nil>
}

// Example_machineArgs needs an emulator, and is compiled only.
func Example_machineArgs() {
	ctx := context.Background()
	run := func() error {
		vm := machine.New("qemu-system-x86_64", &machine.Options{Args: []string{"-machine", "none"}})
		if err := vm.Launch(ctx); err != nil {
			return err
		}
		defer vm.Kill()
		reply, err := vm.QMP(ctx, "blockdev-del", machine.Args{"node_name": "disk0"})
		if err != nil {
			return err
		}
		use(reply)
		event, err := vm.EventWait(ctx, "BLOCK_JOB_COMPLETED", map[string]any{
			"data": map[string]any{"device": "drive0"},
		})
		if err != nil {
			return err
		}
		use(event)
		return vm.Shutdown(ctx)
	}
	use(run)
}

func Example_timeouts() {
	qmp, stop := connected()
	defer stop()
	poll := func() error {
		_, err := qmp.PullEvent(legacy.For(10 * time.Millisecond))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			fmt.Println("nothing yet")
			err = nil
		}
		return err
	}
	fmt.Println(poll())
	interrupt := func() error {
		qmp.SetTimeout(legacy.For(5 * time.Second))
		_, err := qmp.Command("stop", nil)
		if interrupted, ok := errors.AsType[*async.ExecInterruptedError](err); ok && interrupted.SafeToRetry() {
			_, err = qmp.Command("stop", nil) // it cannot have been executed
		}
		return err
	}
	fmt.Println(interrupt())
	// Output:
	// nothing yet
	// <nil>
	// <nil>
}

func Example_waitForEvent() {
	qmp, stop := connected()
	defer stop()
	wait := func() error {
		if _, err := qmp.Command("blockdev-backup", nil); err != nil {
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
	if err := wait(); err != nil {
		log.Fatal(err)
	}
	// Output: 1024
}

func Example_waitForEventAsync() {
	qmp, stop := connected()
	defer stop()
	wait := func(ctx context.Context) error {
		client := qmp.Sync().Async()
		jobs := client.NewListener(nil, "BLOCK_JOB_COMPLETED") // before the command
		defer jobs.Close()
		if _, err := client.Execute(ctx, "blockdev-backup", nil); err != nil {
			return err
		}
		for event, err := range jobs.All(ctx) {
			if err != nil {
				return err
			}
			if strings.Contains(string(event.Data), `"drive0"`) {
				fmt.Println(event.Name)
				break
			}
		}
		return nil
	}
	if err := wait(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output: BLOCK_JOB_COMPLETED
}

func Example_accept() {
	dir, err := os.MkdirTemp("", "qmp-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	qemu, err := qmptest.NewServer(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer qemu.Close()
	startQEMU := func(addr string) error {
		return qemu.DialOut(context.Background(), strings.TrimPrefix(addr, "unix:"))
	}
	accept := func() error {
		qmp, err := legacy.New(path, &legacy.Options{Server: true})
		if err != nil {
			return err
		}
		defer qmp.Close()
		if err := startQEMU("unix:" + path); err != nil { // -qmp unix:PATH
			return err
		}
		greeting, err := qmp.Accept(legacy.For(15 * time.Second))
		if err != nil {
			return err
		}
		fmt.Println(greeting["QMP"].(map[string]any)["capabilities"])
		return nil
	}
	if err := accept(); err != nil {
		log.Fatal(err)
	}
	// Output: [oob]
}

func Example_descriptors() {
	qmp, stop := connected()
	defer stop()
	pass := func(f *os.File) error {
		if err := qmp.SendFDSCM(f); err != nil {
			return err
		}
		_, err := qmp.Command("getfd", map[string]any{"fdname": "net0"})
		return err
	}
	together := func(f *os.File) error {
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
	f, err := os.Open(os.DevNull)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	fmt.Println(pass(f), together(f))
	// Output: <nil> <nil>
}

func Example_reconnect() {
	qmp, stop := connected()
	defer stop()
	again := func() error {
		err := qmp.Close() // collects why the last connection ended
		if err != nil {
			log.Print(err)
		}
		_, err = qmp.Connect(true) // events that are still queued stay
		return err
	}
	fmt.Println(again())
	// Output: <nil>
}
