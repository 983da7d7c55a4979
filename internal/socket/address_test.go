package socket

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"/run/vm.qmp":           "unix /run/vm.qmp",
		"./vm.qmp":              "unix ./vm.qmp",
		".vm:1":                 "unix .vm:1",
		"vm.qmp":                "unix vm.qmp",
		"run/vm:1":              "unix run/vm:1",
		"/run/a b":              "unix /run/a b",
		"//run/vm.qmp":          "unix /run/vm.qmp",
		"./localhost":           "unix ./localhost",
		"./1234":                "unix ./1234",
		"./http://h":            "unix ./http://h",
		"localhost.qmp":         "unix localhost.qmp",
		"vm,1":                  "unix vm,1",
		"/run/a,b=c":            "unix /run/a,b=c",
		"@name:1":               "unix @name:1",
		"@dir/":                 "unix @dir/",
		`C:\vm\qmp`:             `unix C:\vm\qmp`,
		"C:/vm/qmp":             "unix C:/vm/qmp",
		"unix:vm:1":             "unix vm:1",
		"unix:localhost":        "unix localhost",
		"unix:1234":             "unix 1234",
		"unix: a ":              "unix  a ",
		"unix:///run/vm.qmp":    "unix ///run/vm.qmp",
		"unix:@name":            "unix @name",
		"localhost:4444":        "tcp localhost:4444",
		":4444":                 "tcp :4444",
		"tcp::4444":             "tcp :4444",
		"[::1]:4444":            "tcp [::1]:4444",
		"tcp:[fe80::1%eth0]:1":  "tcp [fe80::1%eth0]:1",
		"127.0.0.1:1":           "tcp 127.0.0.1:1",
		"vm1.example.org:65535": "tcp vm1.example.org:65535",
		"fd:007":                "fd 7",
		"vsock:03:4444":         "vsock 3:4444",
	} {
		network, name, err := Parse(text)
		if got := network + " " + name; err != nil || got != want {
			t.Errorf("%q: got %q and error %v, want %q", text, got, err, want)
		}
	}
}

// The error for text that is not an address says what is wrong or how to write it.
func TestParseSaysWhatWasMeant(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                 "empty",
		"a\x00b":                           "zero byte",
		"localhost\x00:1":                  "zero byte",
		"localhost":                        "write localhost:PORT, or ./localhost",
		"LocalHost":                        "LocalHost:PORT",
		"127.0.0.1":                        "write 127.0.0.1:PORT",
		"::1":                              "write [::1]:PORT",
		"[::1]":                            "write [::1]:PORT",
		"fe80::1%eth0":                     "write [fe80::1%eth0]:PORT",
		"1234":                             "localhost:1234 for a TCP port, fd:1234",
		"http://h:1":                       "it is a URL; QMP is spoken over a plain connection; write h:1",
		"https://localhost:4444/qmp":       "write localhost:4444",
		"WS://[::1]:4444":                  "write [::1]:4444",
		"ssh://user@host/run/vm":           "it is a URL",
		"qemu+unix:///system":              "it is a URL",
		"file:/run/vm.qmp":                 "./file:/run/vm.qmp",
		"tcp://h:1":                        "write tcp:h:1",
		"tcp://h:1/":                       "write tcp:h:1",
		"vsock://3:4":                      "write vsock:3:4",
		"fd://3":                           "write fd:3",
		"unix://vm.qmp":                    "write unix:/vm.qmp, or unix:vm.qmp",
		"unix:":                            "unix: without a path",
		"unix:@":                           "no name after @",
		"@":                                "no name after @",
		"UNIX:/run/vm.qmp":                 "unix: in lower case",
		"Tcp:localhost:1":                  "tcp: in lower case",
		"/run/vm/":                         "a folder",
		"localhost:4444/":                  "a folder",
		".":                                "a folder",
		"..":                               "a folder",
		"unix:/run/..":                     "a folder",
		" /run/vm.qmp":                     "white space",
		"/run/vm.qmp\n":                    "white space",
		"localhost:4444 ":                  "white space",
		"local host:4444":                  `contains ' '`,
		"tcp: localhost:4444":              `contains ' '`,
		"user@host:4444":                   `contains '@'`,
		"tcp:":                             "missing port",
		"tcp:localhost":                    "write localhost:PORT",
		"tcp:4444":                         "localhost:4444",
		"tcp:[::1]":                        "write [::1]:PORT",
		"localhost:":                       `port ""`,
		":":                                `port ""`,
		"localhost:qmp":                    `port "qmp"`,
		"localhost:65536":                  `port "65536"`,
		"localhost:-1":                     `port "-1"`,
		"localhost:+1":                     `port "+1"`,
		"::1:4444":                         "[::1:4444]:PORT", // which is an IPv6 address, too
		"host:1:2":                         "too many colons",
		"[::1":                             "write [::1]:PORT",
		"unix:/run/vm,server=on,wait=off":  "options of QEMU's command line",
		"tcp:localhost:4444,server,nowait": "options of QEMU's command line",
		"/run/vm.qmp,server=on":            "options of QEMU's command line",
		"localhost:4444,wait=off":          "options of QEMU's command line",
		`\\.\pipe\qmp`:                     "named pipe",
		`\\server\pipe\qmp`:                "named pipe",
		"//./pipe/qmp":                     "named pipe",
		"npipe:////./pipe/qmp":             "named pipe",
		"fd:":                              "file descriptor",
		"fd:x":                             "file descriptor",
		"fd:-1":                            "file descriptor",
		"fd:4294967296":                    "file descriptor",
		"vsock:":                           "no port after the context id",
		"vsock:3":                          "no port after the context id",
		"vsock:x:1":                        `context id "x"`,
		"vsock:3:x":                        `port "x"`,
		"vsock:4294967296:1":               "32 bits",
		"vsock:3:":                         `port ""`,
	} {
		network, name, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %s %q and error %v, want %q", text, network, name, err, want)
		}
	}
}

// The result of Parse, written as network:name, parses to the same result.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"", "@", "/a", "a:1", "[::1]:1", "tcp:a:1", "unix:@a", "fd:3", "vsock:1:2", ".:", "unix:unix:a", "//a", `C:\a`, "a,b", "http://h:1", "::1",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		network, name, err := Parse(text)
		if err != nil {
			return
		}
		again, same, err := Parse(network + ":" + name)
		if err != nil || again != network || same != name {
			t.Errorf("%q parses to %s %q, and that parses to %s %q (%v)", text, network, name, again, same, err)
		}
	})
}
