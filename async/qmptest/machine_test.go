package qmptest

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// An exchange is what a client sends, and the lines that come back.
type exchange struct {
	send string
	want []string
}

const (
	stopEvent   = `{"timestamp": T, "event": "STOP"}`
	resumeEvent = `{"timestamp": T, "event": "RESUME"}`
	okReply     = `{"return": {}}`
	eof         = "!EOF"
)

func generic(id, desc string) []string {
	if id != "" {
		id = `"id": ` + id + `, `
	}
	return []string{`{` + id + `"error": {"class": "GenericError", "desc": "` + desc + `"}}`}
}

func notFound(id, desc string) []string {
	return []string{`{"id": ` + id + `, "error": {"class": "CommandNotFound", "desc": "` + desc + `"}}`}
}

var (
	negotiation    = exchange{`{"execute":"qmp_capabilities"}`, []string{okReply}}
	oobNegotiation = exchange{`{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}`, []string{okReply}}
)

// monitor returns the line of a human monitor command and its answer.
func monitor(line, answer string) exchange {
	return exchange{
		`{"execute":"human-monitor-command","arguments":{"command-line":"` + line + `"}}`,
		[]string{`{"return": "` + answer + `"}`},
	}
}

// dialogues are what this package's machine and QEMU 7.2 both answer. Later
// versions of QEMU differ in a few details; see ofAnyVersion. TestMachine and
// TestMachineIsLikeQEMU try them. T stands for a time.
var dialogues = map[string][]exchange{
	"negotiation": {
		{`{"execute":"query-status","id":1}`, notFound("1", `Expecting capabilities negotiation with 'qmp_capabilities'`)},
		{`{"execute":"nosuch","id":1}`, notFound("1", `Expecting capabilities negotiation with 'qmp_capabilities'`)},
		{`{"exec-oob":"query-status","id":1}`, generic("1", `QMP input member 'exec-oob' is unexpected`)},
		{`{"exec-oob":"qmp_capabilities","id":1}`, generic("1", `QMP input member 'exec-oob' is unexpected`)},
		{`{"execute":"qmp_capabilities","arguments":{"enable":["bogus"]},"id":1}`, generic("1", `Parameter 'null' does not accept value 'bogus'`)},
		{`{"execute":"qmp_capabilities","arguments":{"enable":"oob"},"id":1}`, generic("1", `Invalid parameter type for 'enable', expected: array`)},
		{`{"execute":"qmp_capabilities","arguments":{"enable":[1]},"id":1}`, generic("1", `Invalid parameter type for 'enable[0]', expected: string`)},
		{`{"execute":"qmp_capabilities","arguments":{"foo":1},"id":1}`, generic("1", `Parameter 'foo' is unexpected`)},
		{`{"execute":"qmp_capabilities","arguments":{"enable":[]},"id":1}`, []string{`{"return": {}, "id": 1}`}},
		{`{"execute":"qmp_capabilities","id":2}`, notFound("2", `Capabilities negotiation is already complete, command ignored`)},
		{`{"execute":"nosuch","id":3}`, notFound("3", `The command nosuch has not been found`)},
		{`{"exec-oob":"query-name","id":4}`, generic("4", `QMP input member 'exec-oob' is unexpected`)},
	},
	"wrong members before negotiation": {
		{`{"id":1}`, generic("1", `QMP input lacks member 'execute'`)},
		{`{"execute":"x","foo":1,"id":1}`, generic("1", `QMP input member 'foo' is unexpected`)},
	},
	"machine": {
		negotiation,
		{`{"execute":"query-status","id":1}`, []string{`{"return": {"status": "running", "singlestep": false, "running": true}, "id": 1}`}},
		{`{"execute":"stop","id":2}`, []string{stopEvent, `{"return": {}, "id": 2}`}},
		{`{"execute":"stop","id":3}`, []string{`{"return": {}, "id": 3}`}},
		{`{"execute":"query-status"}`, []string{`{"return": {"status": "paused", "singlestep": false, "running": false}}`}},
		monitor("info status", `VM status: paused\r\n`),
		{`{"execute":"cont","id":4}`, []string{resumeEvent, `{"return": {}, "id": 4}`}},
		{`{"execute":"cont","id":5}`, []string{`{"return": {}, "id": 5}`}},
		{`{"execute":"system_reset","id":6}`, []string{`{"timestamp": T, "event": "RESET", "data": {"guest": false, "reason": "host-qmp-system-reset"}}`, `{"return": {}, "id": 6}`}},
		{`{"execute":"system_powerdown","id":7}`, []string{`{"timestamp": T, "event": "POWERDOWN"}`, `{"return": {}, "id": 7}`}},
		{`{"execute":"query-name"}`, []string{`{"return": {"name": "vm1"}}`}},
		{`{"execute":"quit","id":8}`, []string{`{"timestamp": T, "event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}`, `{"return": {}, "id": 8}`, eof}},
	},
	"one write": {
		{
			`{"execute":"qmp_capabilities","id":1}{"execute":"stop","id":2}{"execute":"query-name","id":3}{"execute":"cont","id":4}`,
			[]string{`{"return": {}, "id": 1}`, stopEvent, `{"return": {}, "id": 2}`, `{"return": {"name": "vm1"}, "id": 3}`, resumeEvent, `{"return": {}, "id": 4}`},
		},
	},
	"shape": {
		negotiation,
		{`{}`, generic("", `QMP input lacks member 'execute'`)},
		{`{"id":1}`, generic("1", `QMP input lacks member 'execute'`)},
		{`{"execute":1,"id":1}`, generic("1", `QMP input member 'execute' must be a string`)},
		{`{"execute":"query-name","foo":1,"id":1}`, generic("1", `QMP input member 'foo' is unexpected`)},
		{`{"execute":"query-name","arguments":[],"id":1}`, generic("1", `QMP input member 'arguments' must be an object`)},
		{`{"execute":"query-name","arguments":null,"id":1}`, generic("1", `QMP input member 'arguments' must be an object`)},
		{`{"execute":"query-name","exec-oob":"query-name","id":1}`, generic("1", `QMP input member 'exec-oob' is unexpected`)},
		{`{"execute":"query-name","arguments":{"a":1},"id":1}`, generic("1", `Parameter 'a' is unexpected`)},
		{`{"execute":"human-monitor-command","id":1}`, generic("1", `Parameter 'command-line' is missing`)},
		{`{"execute":"human-monitor-command","arguments":{"command-line":1},"id":1}`, generic("1", `Invalid parameter type for 'command-line', expected: string`)},
		{`{"execute":"human-monitor-command","arguments":{"command-line":"x","x":1},"id":1}`, generic("1", `Parameter 'x' is unexpected`)},
	},
	"ids": {
		negotiation,
		{`{"execute":"query-name","id":null}`, []string{`{"return": {"name": "vm1"}, "id": null}`}},
		{`{"execute":"query-name","id":"\u00e4\ud83d\ude00/"}`, []string{`{"return": {"name": "vm1"}, "id": "\u00E4\uD83D\uDE00/"}`}},
		{`{"execute":"query-name","id":"ä"}`, []string{`{"return": {"name": "vm1"}, "id": "\u00E4"}`}},
		{`{"execute":"query-name","id":18446744073709551615}`, []string{`{"return": {"name": "vm1"}, "id": 18446744073709551615}`}},
		{`{"id":[1,{"a":[ ]}],"execute":"nosuch"}`, notFound(`[1, {"a": []}]`, `The command nosuch has not been found`)},
	},
	"not a command": {
		negotiation,
		{`[1]`, generic("", `QMP input must be a JSON object`)},
		{`"foo"`, generic("", `QMP input must be a JSON object`)},
		{"nonsense\n", generic("", `JSON parse error, invalid keyword 'nonsense'`)},
		{`{"a":}`, generic("", `JSON parse error, expecting value`)},
		{`}`, generic("", `JSON parse error, expecting value`)},
		{"\xff", generic("", `JSON parse error, stray '\uFFFD'`)},
		{`{"execute":"query-name","id":1,"id":2}`, generic("", `JSON parse error, duplicate key`)},
		{`{"execute":"query-name","id":"\ud800"}`, generic("", `JSON parse error, \\ud800 is not a valid Unicode character`)},
		{"{\"execute\":\"\xc3(\"}", generic("", `JSON parse error, invalid UTF-8 sequence in string`)},
		{`{"execute":"query-name","id":9}`, []string{`{"return": {"name": "vm1"}, "id": 9}`}},
	},
	"out of band": {
		oobNegotiation,
		{`{"exec-oob":"query-name","id":2}`, generic("2", `The command query-name does not support OOB`)},
		{`{"exec-oob":"nosuch","id":3}`, notFound("3", `The command nosuch has not been found`)},
		{`{"exec-oob":"qmp_capabilities","id":5}`, generic("5", `The command qmp_capabilities does not support OOB`)},
		{`{"execute":"qmp_capabilities","id":5}`, notFound("5", `Capabilities negotiation is already complete, command ignored`)},
		{`{"exec-oob":"x","execute":"query-name","id":5}`, generic("5", `QMP input member 'execute' clashes with 'exec-oob'`)},
		{`{"exec-oob":["x"],"id":5}`, generic("5", `QMP input member 'exec-oob' must be a string`)},
		{`{"exec-oob":"yank","arguments":{"instances":[]},"id":5}`, []string{`{"return": {}, "id": 5}`}},
		{`{"exec-oob":"yank","id":5}`, generic("5", `Parameter 'instances' is missing`)},
	},
	"human monitor": {
		negotiation,
		monitor("info status", `VM status: running\r\n`),
		monitor("info name", `vm1\r\n`),
		monitor("info  nosuch", `unknown command: 'info  nosuch'\r\n`),
		monitor("nosuch foo", `unknown command: 'nosuch'\r\n`),
		monitor("", ``),
		{`{"execute":"human-monitor-command","arguments":{"command-line":"stop"}}`, []string{stopEvent, `{"return": ""}`}},
		{`{"execute":"human-monitor-command","arguments":{"command-line":"c"}}`, []string{resumeEvent, `{"return": ""}`}},
		{`{"execute":"human-monitor-command","arguments":{"command-line":"system_powerdown"}}`, []string{`{"timestamp": T, "event": "POWERDOWN"}`, `{"return": ""}`}},
		{`{"execute":"human-monitor-command","arguments":{"command-line":"system_reset"}}`, []string{`{"timestamp": T, "event": "RESET", "data": {"guest": false, "reason": "host-qmp-system-reset"}}`, `{"return": ""}`}},
		{`{"execute":"human-monitor-command","arguments":{"command-line":"quit"}}`, []string{`{"timestamp": T, "event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}`, `{"return": ""}`, eof}},
	},
}

// QEMU 10.0 and 11.1 answer as 7.2 does, with two differences. Since 10.0 the reply
// to query-status does not have the member singlestep any more. The parser of 11.1
// says at which line and column it found an error.
var (
	later = strings.NewReplacer(`"singlestep": false, `, ``)
	place = regexp.MustCompile(`\d+:\d+: (JSON parse error)`)
)

// ofAnyVersion removes from a message what only some versions of QEMU have in it.
func ofAnyVersion(message string) string {
	return place.ReplaceAllString(later.Replace(message), "$1")
}

var timestamp = regexp.MustCompile(`\{"seconds": \d+, "microseconds": \d+\}`)

// converse requires the answers to be those of the dialogue.
func (p *peer) converse(dialogue []exchange) {
	p.t.Helper()
	p.converseAs(dialogue, func(message string) string { return message })
}

// converseAs is converse, but compares what essence returns for the answers.
func (p *peer) converseAs(dialogue []exchange, essence func(string) string) {
	p.t.Helper()
	p.SetDeadline(time.Now().Add(10 * time.Second))
	p.line() // the greeting
	for _, e := range dialogue {
		p.send(e.send)
		for _, want := range e.want {
			got := timestamp.ReplaceAllString(p.line(), "T")
			if essence(got) != essence(want) {
				p.t.Errorf("%s\ngot  %s\nwant %s", e.send, got, want)
				return
			}
		}
	}
}

func TestMachine(t *testing.T) {
	for name, dialogue := range dialogues {
		t.Run(name, func(t *testing.T) {
			s := Start(t, &Options{Network: Memory, Name: "vm1"})
			conn, err := s.Dial(t.Context())
			newPeer(t, conn, err).converse(dialogue)
		})
	}
}

func TestMachineVersion(t *testing.T) {
	s := Start(t, &Options{Network: Memory, Version: Version{9, 2, 1, " (p)"}})
	conn, err := s.Dial(t.Context())
	newPeer(t, conn, err).converse([]exchange{
		negotiation,
		{`{"execute":"query-version"}`, []string{`{"return": {"qemu": {"micro": 1, "minor": 2, "major": 9}, "package": " (p)"}}`}},
		monitor("info version", `9.2.1 (p)\r\n`),
		monitor("info name", ``),
		monitor("help", strings.ReplaceAll(helpText, "\r\n", `\r\n`)),
		{`{"execute":"query-yank"}`, []string{`{"return": []}`}},
		{`{"execute":"yank","arguments":{"instances":{}}}`, generic("", `Invalid parameter type for 'instances', expected: array`)},
		{`{"execute":"human-monitor-command","arguments":{"command-line":null}}`, generic("", `Invalid parameter type for 'command-line', expected: string`)},
		{`{"execute":"human-monitor-command","arguments":{"command-line":true}}`, generic("", `Invalid parameter type for 'command-line', expected: string`)},
	})
}

// TestMachineIsLikeQEMU plays the dialogues with a real QEMU.
func TestMachineIsLikeQEMU(t *testing.T) {
	for name, dialogue := range dialogues {
		t.Run(name, func(t *testing.T) {
			startQEMU(t, "-name", "vm1").converseAs(dialogue, ofAnyVersion)
		})
	}
}

// startQEMU starts a QEMU and connects to it, or skips the test.
func startQEMU(t *testing.T, args ...string) *peer {
	t.Helper()
	qemutest.NeedsCommands(t, "yank") // a dialogue uses it; a QEMU without it has other differences, too
	binary := qemutest.Find(t, qemutest.QEMU)

	// QEMU connects to the test, so that the test need not wait until QEMU listens.
	dir, err := tempDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "q")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var stderr bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, append([]string{"-machine", "none", "-display", "none", "-qmp", "unix:" + path}, args...)...)
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		if t.Failed() {
			t.Logf("QEMU printed: %s", &stderr)
		}
	})
	ln.SetDeadline(time.Now().Add(10 * time.Second))
	conn, err := ln.Accept()
	return newPeer(t, conn, err)
}
