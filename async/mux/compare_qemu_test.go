package mux_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/mux"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// A door of a real QEMU, and a monitor of the same QEMU without a Mux.
type realSetup struct {
	direct, door string // addresses
	client       *async.Client
	vm           *qemutest.Process
}

// real starts a QEMU, and serves its monitor by a Mux.
func startReal(t *testing.T, opts *mux.Options, d *mux.Door, args ...string) *realSetup {
	t.Helper()
	vm := qemutest.Machine(t, append([]string{"-qmp", "unix:direct,server=on,wait=off", "-qmp", "unix:shared,server=on,wait=off"}, args...)...)
	ctx := qemutest.Context(t)
	s := &realSetup{direct: vm.Path("direct"), door: vm.Path("door"), vm: vm}
	var err error
	s.client, err = async.Dial(ctx, vm.Path("shared"), &async.Options{Backoff: async.Every(qemutest.DialEvery)})
	if err != nil {
		t.Fatal(err)
	}
	m := mux.New(mux.Over(s.client), opts)
	ln, err := mux.Listen(ctx, s.door)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- m.Serve(context.Background(), ln, d) }()
	t.Cleanup(func() {
		m.Close()
		<-served
		s.client.Close()
	})
	return s
}

// conversation sends steps, one after another, and returns everything that comes back. A step is
// sent when the reply to the one before has come. Timestamps are left out.
func conversation(t *testing.T, addr string, steps ...string) string {
	t.Helper()
	c := qemutest.Conn(t, addr)
	defer c.Close() // QEMU serves one client at a time
	lines := bufio.NewReader(c)
	var b strings.Builder
	read := func() string {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: after %q: %v", addr, b.String(), err)
		}
		line = timestamp.ReplaceAllString(line, "T")
		b.WriteString(line)
		return line
	}
	read()
	for i, step := range steps {
		end := fmt.Sprintf(`"end%d"`, i)
		fmt.Fprintf(c, "%s\xff\n{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":5},\"id\":%s}", step, end)
		for !strings.Contains(read(), end) {
		}
	}
	return b.String()
}

var timestamp = regexp.MustCompile(`\{"seconds": \d+, "microseconds": \d+\}`)

const (
	plain   = `{"execute":"qmp_capabilities"}`
	withOOB = `{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}`
)

// exchanges are what users send: a conversation of one or more steps each.
func exchanges() [][]string {
	all := [][]string{
		{`{"execute":"query-status","id":1}`, plain, `{"execute":"query-name","id":2}`},
		{plain + plain},
		{`{"execute":"nope"}{"exec-oob":"query-yank","id":1}{"execute":1}{"id":1}{}[]5 "x"`},
		{`{"exec-oob":"qmp_capabilities","id":1}`, withOOB, `{"exec-oob":"qmp_capabilities","id":1}`},
		{plain, `{"execute":"stop","id":"s"}{"execute":"cont","id":"c"}`},
		{withOOB, `{"execute":"stop","id":"s"}`, `{"execute":"cont","id":"c"}`},
		{plain, `{"execute":"query-version","id":1}{"execute":"query-kvm"}{"execute":"query-commands"}`},
		{plain, `{"execute":"query-qmp-schema","id":null}`},
		{plain, `{"execute":"human-monitor-command","arguments":{"command-line":"info version"}}`},
		{plain, `{"execute":"qom-list","arguments":{"path":"/"}}{"execute":"qom-list","arguments":{"path":"/nope"},"id":[]}`},
		{plain, `{"execute":"getfd","arguments":{"fdname":"a"}}{"execute":"closefd","arguments":{"fdname":"a"}}`},
		{plain, `{"execute":"device_del","arguments":{"id":"nope"}}`},
		{plain + `{"execute":"query-name","id":1}{"execute":"query-name","id":2}`, "@"},
		{withOOB, `{"exec-oob":"migrate-pause","id":3}`, `{"exec-oob":"query-name"}{"exec-oob":"nope","id":1}`, `{"exec-oob":"query-name","arguments":5}`},
	}
	for _, enable := range []string{`["foo"]`, `[1]`, `"oob"`, `null`, `[]`, `["oob","oob"]`, `["oob",[]]`, `{}`} {
		all = append(all, []string{`{"execute":"qmp_capabilities","arguments":{"enable":` + enable + `},"id":{"a":"b"}}`, `{"execute":"query-name"}`})
	}
	all = append(all, []string{`{"execute":"qmp_capabilities","arguments":{"x":1}}`, plain, `{"execute":"qmp_capabilities","arguments":{"x":1}}`})
	for _, id := range []string{`1`, `"a\u00e9\ud83d\ude00\""`, `[1,"x",{"y":null}]`, `true`, `null`, `-5`, `18446744073709551615`, `1.5`, `{}`, `'single'`} {
		all = append(all, []string{plain, `{"id":` + id + `,"execute":"query-name"}{"execute":"nope","id":` + id + `}`})
	}
	for _, members := range []string{
		`"execute":"query-name","foo":1`, `"execute":"query-name","arguments":[]`, `"execute":"query-name","arguments":null`,
		`"execute":"query-name","arguments":{"a":1}`, `"execute":""`, `"execute":"a\u00e9\ud83d\ude00'"`, `"execute":"query-name","exec-oob":"stop"`,
		`"exec-oob":1`, `"exec-oob":"query-name"`, `"execute":"query-name","execute":"stop"`, `"arguments":{}`, `"execute":"add-fd"`,
		`'execute':'query-name','arguments':{}`, `"execute":{"a":1}`, `"execute":"object-add","arguments":{"qom-type":"nope","id":"a"}`,
	} {
		all = append(all, []string{plain, "{" + members + `,"id":"x"}`}, []string{withOOB, "{" + members + "}"})
	}
	return all
}

// What a user sends through a Mux is answered byte for byte as QEMU answers it, except for
// the timestamps of events.
func TestCompare_QEMU(t *testing.T) {
	s := startReal(t, nil, nil)
	all := exchanges()
	seed := uint64(1)
	if os.Getenv("MUX_SEED") != "" {
		seed = uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
	}
	r := rand.New(rand.NewPCG(seed, 0))
	pieces := []string{`{"execute":"query-name"`, `,"id":1`, "}", `{"execute":"nope"}`, "{", "[", "]", ",", ":", `"a"`, "1", "nul", "@", "\"x\xff", "\n", `"\u12"`, "\xfe", "'", "GET / HTTP/1.1\r\n", `"arguments":`, "\x00"}
	for range 60 {
		in := ""
		for range 1 + r.IntN(10) {
			in += pieces[r.IntN(len(pieces))]
		}
		all = append(all, []string{plain, in})
	}
	for _, steps := range all {
		want := conversation(t, s.direct, steps...)
		// QEMU sends the events of the direct conversation to both monitors. After this, the
		// client has read them, and the next user does not get them.
		if _, err := s.client.Execute(t.Context(), "query-name", nil); err != nil {
			t.Fatal(err)
		}
		got := conversation(t, s.door, steps...)
		if got != want {
			t.Errorf("%q:\nQEMU\n%s\nMux\n%s", steps, want, got)
		}
	}
}

// QEMU writes numbers in its own way and sorts members; a Mux gives back an id as it came.
func TestIDsAsTheyCame_QEMU(t *testing.T) {
	s := startReal(t, nil, nil)
	for _, id := range []string{`1.0`, `1e2`, `-0`, `12345678901234567890123`, `{"b": 1, "a": 2}`, `1e400`} {
		got := conversation(t, s.door, plain, `{"execute":"query-name","id":`+id+`}`)
		if want := `{"return": {}, "id": ` + id + "}\r\n"; !strings.Contains(got, want) {
			t.Errorf("%s: got\n%s want\n%s", id, got, want)
		}
	}
}
