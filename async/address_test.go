// Tests of ParseAddress.
// The code that they hold: address.go and internal/socket.
package async_test

import (
	"testing"

	"github.com/goqmp/qmp/async"
)

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]async.Address{
		"/run/vm.qmp":       {"unix", "/run/vm.qmp"},
		"./vm.qmp":          {"unix", "./vm.qmp"},
		"../vm.qmp":         {"unix", "../vm.qmp"},
		".vm":               {"unix", ".vm"},
		"vm.qmp":            {"unix", "vm.qmp"},
		"run/vm:1":          {"unix", "run/vm:1"},
		"/run/vm:1":         {"unix", "/run/vm:1"},
		".vm:1":             {"unix", ".vm:1"},
		"@name":             {"unix", "@name"},
		"@name:1":           {"unix", "@name:1"},
		"unix:/run/vm.qmp":  {"unix", "/run/vm.qmp"},
		"unix:vm:1":         {"unix", "vm:1"},
		"unix:@name":        {"unix", "@name"},
		"localhost:4444":    {"tcp", "localhost:4444"},
		":4444":             {"tcp", ":4444"},
		"[::1]:4444":        {"tcp", "[::1]:4444"},
		"tcp:localhost:0":   {"tcp", "localhost:0"},
		"tcp:[fe80::1%a]:1": {"tcp", "[fe80::1%a]:1"},
		"fd:3":              {"fd", "3"},
		"fd:007":            {"fd", "7"},
		"vsock:3:4444":      {"vsock", "3:4444"},
		"unix":              {"unix", "unix"},
	} {
		got, err := async.ParseAddress(text)
		if err != nil || got != want {
			t.Errorf("ParseAddress(%q): got %+v and error %v, want %+v", text, got, err, want)
			continue
		}
		// Its text means the same.
		again, err := async.ParseAddress(got.String())
		if err != nil || again != got {
			t.Errorf("ParseAddress(%q): got %+v and error %v, want %+v", got.String(), again, err, got)
		}
	}
}

// The error for a bad address says what was expected.
func TestParseAddressRefuses(t *testing.T) {
	t.Parallel()
	for text, problem := range map[string]string{
		"":                       "empty",
		"unix:":                  "unix: without a path",
		"@":                      "no name after @",
		"unix:@":                 "no name after @",
		"a\x00b":                 "zero byte",
		"localhost:":             `port ""`,
		"localhost:qmp":          `port "qmp"`,
		"localhost:65536":        `port "65536"`,
		"localhost:-1":           `port "-1"`,
		"::1:4444":               "[::1:4444]:PORT",
		"tcp:localhost":          "missing port",
		"tcp:":                   "missing port",
		"fd:":                    "file descriptor",
		"fd:x":                   "file descriptor",
		"fd:-1":                  "file descriptor",
		"fd:4294967296":          "file descriptor",
		"vsock:3":                "no port after the context id",
		"vsock:x:1":              `context id "x"`,
		"vsock:3:x":              `port "x"`,
		"vsock:4294967296:1":     "32 bits",
		"[::1]":                  "without a port",
		"http://localhost:4444/": "it is a URL",
		"localhost":              "localhost:PORT",
	} {
		_, err := async.ParseAddress(text)
		e := wantAs[*async.AddressError](t, text, err)
		if e.Address != text {
			t.Errorf("ParseAddress(%q): got Address %q", text, e.Address)
		}
		wantText(t, text, err, problem, "expected a path", "host:port", "vsock:CID:PORT")
	}
}

// The fuzzer looks for a text that panics, or whose meaning changes when it is
// written out and parsed again.
func FuzzParseAddress(f *testing.F) {
	for _, text := range []string{"", "@", "/a", "a:1", "[::1]:1", "tcp:a:1", "unix:@a", "fd:3", "vsock:1:2", ".:", "unix:unix:a"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := async.ParseAddress(text)
		if err != nil {
			wantAs[*async.AddressError](t, text, err)
			return
		}
		if again, err := async.ParseAddress(a.String()); err != nil || again != a {
			t.Errorf("%q is %+v, and %q is %+v (%v)", text, a, a.String(), again, err)
		}
	})
}
