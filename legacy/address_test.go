package legacy_test

import (
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/legacy"
)

func TestParseAddress(t *testing.T) {
	tcp := func(host string, port int) legacy.Address { return legacy.Address{Host: host, Port: port, TCP: true} }
	path := func(p string) legacy.Address { return legacy.Address{Path: p} }

	tests := []struct {
		text    string
		want    legacy.Address
		badPort string // of a BadPortError, in place of want
	}{
		{text: "localhost:4444", want: tcp("localhost", 4444)},
		{text: ":4444", want: tcp("", 4444)},
		{text: "h:007", want: tcp("h", 7)},
		{text: "h:0", want: tcp("h", 0)},
		{text: "h:65535", want: tcp("h", 65535)},
		{text: "tcp:4444", want: tcp("tcp", 4444)},
		{text: "/tmp/sock:5", want: tcp("/tmp/sock", 5)},
		{text: "./x:1", want: tcp("./x", 1)},

		{text: "/tmp/qmp.sock", want: path("/tmp/qmp.sock")},
		{text: "qmp.sock", want: path("qmp.sock")},
		{text: "", want: path("")},
		{text: " ", want: path(" ")},
		{text: "4444", want: path("4444")},
		{text: "@abstract", want: path("@abstract")},
		{text: "a:b:c", want: path("a:b:c")},
		{text: "::1", want: path("::1")},
		{text: "[::1]:4444", want: path("[::1]:4444")},
		{text: "unix:/tmp/a:b", want: path("unix:/tmp/a:b")},

		{text: "localhost:http", badPort: "http"},
		{text: "localhost:12a", badPort: "12a"},
		{text: "localhost:0x10", badPort: "0x10"},
		{text: "localhost:4.5", badPort: "4.5"},
		{text: "localhost:", badPort: ""},
		{text: ":", badPort: ""},
		{text: "h:-1", badPort: "-1"},
		{text: "h:+5", badPort: "+5"},
		{text: "h: 12 ", badPort: " 12 "},
		{text: "h:1_000", badPort: "1_000"},
		{text: "h:65536", badPort: "65536"},
		{text: "/tmp/a:b", badPort: "b"},
		{text: "unix:/tmp/qmp.sock", badPort: "/tmp/qmp.sock"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := legacy.ParseAddress(tt.text)
			if tt.want != (legacy.Address{}) || tt.text == "" {
				if got != tt.want || err != nil {
					t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
				}
				return
			}
			bad := wantError[*legacy.BadPortError](t, err)
			if bad.Port != tt.badPort || bad.Address != tt.text {
				t.Errorf("got %+v, want port %q", bad, tt.badPort)
			}
			if want := "Bad port: '" + tt.badPort + "' in '" + tt.text + "'."; bad.Error() != want {
				t.Errorf("got text %q, want %q", bad, want)
			}
		})
	}
}

// The String of ParseAddress's result means the same address to New.
func TestAddressString(t *testing.T) {
	for text, want := range map[string]async.Address{
		"localhost:4444": {Network: "tcp", Name: "localhost:4444"},
		":4444":          {Network: "tcp", Name: ":4444"},
		"/run/vm.qmp":    {Network: "unix", Name: "/run/vm.qmp"},
		"a:b:c":          {Network: "unix", Name: "a:b:c"},
		"[::1]:4444":     {Network: "unix", Name: "[::1]:4444"},
	} {
		addr, err := legacy.ParseAddress(text)
		wantNoError(t, err)
		got, err := async.ParseAddress(addr.String())
		if got != want || err != nil {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
}
