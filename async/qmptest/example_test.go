package qmptest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/goqmp/qmp/async/qmptest"
)

// talk plays the client: it sends text, prints the next n lines that it reads,
// and hangs up.
func talk(conn net.Conn, n int, text string) {
	defer conn.Close()
	io.WriteString(conn, text)
	lines := bufio.NewScanner(conn)
	for ; n > 0 && lines.Scan(); n-- {
		fmt.Println(lines.Text())
	}
}

// A program that is not a test runs against the simulated machine.
func ExampleNewServer() {
	machine, err := qmptest.NewServer(&qmptest.Options{Name: "vm1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer machine.Close()

	conn, err := net.Dial("unix", machine.Addr())
	if err != nil {
		fmt.Println(err)
		return
	}
	talk(conn, 4, `{"execute": "qmp_capabilities", "id": 1}
		{"execute": "query-name", "id": 2}
		{"execute": "nosuch", "id": 3}`)

	for _, m := range machine.Received() {
		fmt.Println("received", m.Name)
	}
	// Output:
	// {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}
	// {"return": {}, "id": 1}
	// {"return": {"name": "vm1"}, "id": 2}
	// {"id": 3, "error": {"class": "CommandNotFound", "desc": "The command nosuch has not been found"}}
	// received qmp_capabilities
	// received query-name
	// received nosuch
}

// The test adds a command, and the client calls it over an in-memory connection.
func ExampleServer_Handle() {
	machine, err := qmptest.NewServer(&qmptest.Options{Network: qmptest.Memory})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer machine.Close()
	machine.Handle("device_del", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		var args struct{ ID string }
		if err := cmd.Decode(&args); err != nil {
			return nil, err
		}
		if args.ID != "disk0" {
			return nil, &qmptest.Error{Class: "DeviceNotFound", Desc: "Device '" + args.ID + "' not found"}
		}
		// An event that a handler emits comes before its reply.
		return nil, cmd.Server.Emit("DEVICE_DELETED", map[string]string{"device": args.ID})
	})

	conn, err := machine.Dial(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	talk(conn, 3, `{"execute": "qmp_capabilities"}
		{"execute": "device_del", "arguments": {"id": "disk1"}}`)
	// Output:
	// {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}
	// {"return": {}}
	// {"error": {"class": "DeviceNotFound", "desc": "Device 'disk1' not found"}}
}

// A server that answers two commands in the wrong order, and then hangs up.
func ExampleScript() {
	t := new(exampleT) // in a test, its *testing.T
	defer t.end()

	addr := qmptest.Script(t,
		qmptest.Greet(),
		qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`),
		qmptest.Expect("first"),
		qmptest.Expect("second"),
		qmptest.Return(`2`),
		qmptest.Return(`1`, qmptest.Back(1)),
		qmptest.HangUp(),
	)
	conn, err := net.Dial("unix", addr)
	if err != nil {
		fmt.Println(err)
		return
	}
	talk(conn, 4, `{"execute":"qmp_capabilities","id":1}{"execute":"first","id":2}{"execute":"second","id":3}`)
	// Output:
	// {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}
	// {"return": {}, "id": 1}
	// {"return": 2, "id": 3}
	// {"return": 1, "id": 2}
}

// This script fails: the output shows the text of the failure.
func ExamplePlay() {
	t := new(exampleT) // in a test, its *testing.T
	defer t.end()

	script := qmptest.Play(t, &qmptest.ScriptOptions{Network: qmptest.Memory},
		qmptest.Greet("oob"),
		qmptest.Expect("qmp_capabilities", `{"enable":["oob"]}`),
	)
	conn, err := script.Dial(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	talk(conn, 1, `{"execute":"qmp_capabilities","id":1}`)
	// Output:
	// {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}
	// FAIL: qmptest: script step 1 of 3, Expect("qmp_capabilities", `{"enable":["oob"]}`): want arguments `{"enable":["oob"]}`, got {"execute":"qmp_capabilities","id":1}
}

// The reader gets what was written before Close.
func ExamplePipe() {
	client, server := qmptest.Pipe()
	defer client.Close()

	io.WriteString(server, "last words") // does not wait, because it fits into the buffer
	server.Close()
	text, err := io.ReadAll(client)
	fmt.Printf("%s, %v\n", text, err)
	_, err = io.WriteString(client, "too late")
	fmt.Println(err)
	// Output:
	// last words, <nil>
	// write pipe pipe->pipe: broken pipe
}

// exampleT has the methods of a *testing.T that the examples need.
type exampleT struct {
	testing.TB
	cleanups []func()
	failures string
}

func (t *exampleT) Helper()          {}
func (t *exampleT) Failed() bool     { return false }
func (t *exampleT) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

// Errorf is called once at most, and by no other goroutine at the same time.
func (t *exampleT) Errorf(format string, args ...any) {
	t.failures += fmt.Sprintf("FAIL: "+format+"\n", args...)
}

func (t *exampleT) end() {
	for _, f := range t.cleanups {
		f()
	}
	fmt.Print(t.failures)
}
