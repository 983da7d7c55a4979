//go:build unix

package pybridge_test

import (
	"os"
	"strings"
	"testing"

	"github.com/goqmp/qmp/internal/pybridge"
	"golang.org/x/sys/unix"
)

// An open socket stays the caller's, and so does a descriptor that is sent.
func TestDescriptors(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	server := os.NewFile(uintptr(fds[1]), "server")
	b := new(pybridge.Bridge)
	want(t, call(t, b, "new", vm, object{"fd": fds[0]}), null)
	if err := unix.Close(fds[0]); err != nil {
		t.Fatalf("the caller's socket: %v", err)
	}
	// A caller that was interrupted repeats the request. The descriptor is not used again.
	want(t, call(t, b, "new", vm, object{"fd": fds[0]}), null)
	want(t, call(t, b, "connect", vm, object{"negotiate": false}), `{"value":null}`)
	want(t, call(t, b, "send_fd", vm, object{"sendFD": fds[1]}), `{"value":null}`)
	data, control := make([]byte, 8), make([]byte, 64)
	n, controlled, _, _, err := unix.Recvmsg(fds[1], data, control, 0)
	if n != 1 || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:controlled])
	if err != nil {
		t.Fatal(err)
	}
	sent, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(sent) != 1 {
		t.Fatalf("%v, %v", sent, err)
	}
	unix.Close(sent[0])
	wantClass(t, call(t, b, "send_fd", vm, object{"sendFD": 1 << 20}), "OSError", "bad file descriptor")
	if err := server.Close(); err != nil {
		t.Fatalf("the caller's descriptor: %v", err)
	}
	// The peer sees the end, so nothing has kept a copy of the connection.
	wantClass(t, call(t, b, "event", vm, nil), "ExecInterruptedError", "ended")
	call(t, b, "release", vm, nil)
	wantClass(t, call(t, b, "new", 0, object{"fd": 1 << 20}), "ConnectError", "bad file descriptor")
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if got := call(t, b, "new", 0, object{"fd": int(file.Fd())}); !strings.Contains(got, "error") {
		t.Errorf("a file as a connection: %s", got)
	}
}
