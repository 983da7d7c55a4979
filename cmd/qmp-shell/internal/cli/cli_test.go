package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/usage"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/internal/testing/tlstest"
)

var update = flag.Bool("update", false, "write the manual page")

func TestMain(m *testing.M) {
	for _, name := range []string{socketVariable, agentVariable} {
		os.Unsetenv(name)
	}
	finish := qemutest.OwnTempDir()
	code := m.Run()
	if err := goleak.Find(goleak.IgnoreTopFunction("os/signal.signal_recv"), goleak.IgnoreTopFunction("os/signal.loop")); err != nil && code == 0 {
		finish(1, err.Error())
	}
	finish(code)
}

// A result is what a run of the program has left.
type result struct {
	stdout, stderr string
	status         int
}

// run runs the program with args.
func run(stdin string, args ...string) result {
	var stdout, stderr bytes.Buffer
	status := Main(args, strings.NewReader(stdin), &stdout, &stderr)
	return result{stdout.String(), stderr.String(), status}
}

// want fails the test unless a run had this status, wrote this, and the errors have these
// words.
func want(t *testing.T, r result, status int, stdout, stderr string) {
	t.Helper()
	if r.status != status || r.stdout != stdout || !strings.Contains(r.stderr, stderr) || stderr == "" && r.stderr != "" {
		t.Errorf("status %d, output %q, errors %q\nwant   %d, output %q, errors with %q", r.status, r.stdout, r.stderr, status, stdout, stderr)
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOptions(t *testing.T) {
	vm := qmptest.Start(t, &qmptest.Options{ManyClients: true})
	tcp := qmptest.Start(t, &qmptest.Options{Network: qmptest.TCP})
	agent := qmptest.Start(t, &qmptest.Options{NoGreeting: true})
	addr := vm.Addr()
	file := write(t, "script", "# a comment\nquery-name\n")
	bad := write(t, "bad", "query-name\na=b\n")
	const status = `{"status":"running","singlestep":false,"running":true}` + "\n"
	for _, tt := range []struct {
		name, stdin    string
		args           []string
		status         int
		stdout, stderr string
	}{
		{"command", "", []string{"-c", "query-status", addr}, 0, status, ""},
		{"long names", "", []string{"--command=query-status", "--pretty", addr}, 0, "{\n  \"status\": \"running\",\n  \"singlestep\": false,\n  \"running\": true\n}\n", ""},
		{"short names together", "", []string{"-pr", "-c", "query-name", addr}, 0, "{}\n", ""},
		{"a part", "", []string{"-c", "query-status", "--get", "status", "-r", addr}, 0, "running\n", ""},
		{"the socket", "", []string{"-s", addr, "-c", "query-name"}, 0, "{}\n", ""},
		{"the scheme unix", "", []string{"-c", "query-name", "unix:" + addr}, 0, "{}\n", ""},
		{"TCP", "", []string{"-c", "query-name", tcp.Addr()}, 0, "{}\n", ""},
		{"the scheme tcp", "", []string{"-c", "query-name", "tcp:" + tcp.Addr()}, 0, "{}\n", ""},
		{"human", "", []string{"-H", "-c", "info status", addr}, 0, "VM status: running\n", ""},
		{"standard input", "query-name\nquery-name\n", []string{addr}, 0, "{}\n{}\n", ""},
		{"standard input by name", "query-name\n", []string{"-f", "-", addr}, 0, "{}\n", ""},
		{"standard input, human", "info status\n", []string{"-H", addr}, 0, "VM status: running\n", ""},
		{"nothing to do", "", []string{addr}, 0, "", ""},
		{"a file", "nonsense\n", []string{"-f", file, addr}, 0, "{}\n", ""},
		{"an event", "", []string{"-c", "stop", "--wait-event", "STOP", "--get", "event", "-r", addr}, 0, "STOP\n", ""},
		{"an event, and commands of the input", "cont\nstop\n", []string{"-f", "-", "--wait-event", "STOP", "--get", "event", "-r", addr}, 0, "STOP\n", ""},
		{"an event only: the input is not read", "a=b\n", []string{"--wait-event", "STOP", "--timeout", "20ms", addr}, 4, "", "--timeout"},
		{"no negotiation", "", []string{"-N", "-c", "guest-ping", agent.Addr()}, 0, "{}\n", ""},
		{"verbose", "", []string{"-v", "-c", "query-name", addr}, 0, "{}\n", `-> {"execute":"query-name"`},
		{"verbose, received", "", []string{"-v", "-c", "query-name", addr}, 0, "{}\n", `<- {"return":{}`},

		{"refused", "", []string{"-c", "query-name", "-c", "nonsense", "-c", "query-name", addr}, 1, "{}\n", "qmp-shell: -c 2: nonsense: The command nonsense has not been found"},
		{"refused, and going on", "", []string{"-k", "-c", "nonsense", "-c", "query-name", addr}, 1, "{}\n", "-c 1: nonsense"},
		{"refused by the human monitor", "", []string{"-H", "-c", "nonsense", addr}, 1, "", "unknown command"},
		{"no such part", "", []string{"-c", "query-status", "--get", "nope", addr}, 1, "", "no nope"},

		{"no arguments", "", nil, 2, "", "an address is missing: qmp-shell ADDRESS, or qmp-shell -- qemu"},
		{"no address", "", []string{"-c", "stop"}, 2, "", "an address is missing"},
		{"two addresses", "", []string{"-s", addr, addr}, 2, "", "once"},
		{"an unknown option", "", []string{"--prety", addr}, 2, "", "--pretty"},
		{"no program", "", []string{"-c", "stop", "--"}, 2, "", "a program is missing"},
		{"an address and a program", "", []string{addr, "--", "qemu"}, 2, "", "not both"},
		{"not an address", "", []string{"-c", "stop", "localhost"}, 2, "", "localhost"},
		{"syntax", "", []string{"-c", "query-name", "-c", "a=b", addr}, 2, "", "-c 2: column 1"},
		{"syntax in a file", "", []string{"-f", bad, addr}, 2, "", "bad:2: column 1"},
		{"syntax in the input", "query-name\na=b\n", []string{addr}, 2, "{}\n", "standard input:2"},
		{"no such file", "", []string{"-f", file + ".none", addr}, 2, "", "no such file"},
		{"a file and commands", "", []string{"-f", file, "-c", "stop", addr}, 2, "", "not both"},
		{"a path", "", []string{"-c", "stop", "--get", "a//b", addr}, 2, "", "a/b[0]/c"},
		{"a condition", "", []string{"--wait-event", "A", "--match", "x", addr}, 2, "", "KEY=VALUE"},
		{"a condition without an event", "", []string{"--match", "x=y", addr}, 2, "", "--wait-event"},
		{"complete what", "", []string{"--complete", addr}, 2, "", "--job"},
		{"a time", "", []string{"--timeout=-1s", addr}, 2, "", "--timeout"},
		{"a log", "", []string{"-l", "/nonexistent/log", "-c", "stop", addr}, 2, "", "no such file"},
		{"retry a program", "", []string{"--retry", "--", "qemu"}, 2, "", "passed to it directly"},
		{"a head without a device", "", []string{"screenshot", "--head", "1", "x.png", addr}, 2, "", "--device"},
		{"a format", "", []string{"screenshot", "x.gif", addr}, 2, "", ".png"},
		{"a character", "", []string{"type", "é", addr}, 2, "", "US keyboard"},
		{"a key", "", []string{"type", "--keys", "ctrl-", addr}, 2, "", "ctrl-alt-delete"},
		{"a rate", "", []string{"type", "--rate", "0", "x", addr}, 2, "", "--rate"},
		{"a program of the agent", "", []string{"agent", "ping", "--", "x"}, 2, "", "starts no program"},
		{"no program for exec", "", []string{"agent", "exec", addr}, 2, "", "agent exec ADDRESS -- PROGRAM"},
		{"a program of replay", "", []string{"replay", "x", "y", "--", "z"}, 2, "", "starts no program"},
		{"where to serve", "", []string{"serve", addr}, 2, "", "serve ADDRESS LISTEN"},
		{"an audit log", "", []string{"serve", "--audit", "/nonexistent/x", addr, "y"}, 2, "", "no such file"},
		{"no recording", "", []string{"record", "/nonexistent/x", addr}, 2, "", "no such file"},
		{"a shell", "", []string{"completion", "csh"}, 2, "", "bash"},

		{"no socket", "", []string{"-c", "stop", "./none"}, 3, "", "-qmp unix:PATH,server=on,wait=off"},
		{"hung up", "query-name\nquit\nquery-name\n", []string{qmptest.Start(t, nil).Addr()}, 3, "{}\n{}\n", "query-name"},
		{"no such program", "", []string{"-c", "stop", "--", "/nonexistent/qemu"}, 3, "", "/nonexistent/qemu"},
		{"a timeout", "", []string{"--wait-event", "RESUME", "--timeout", "20ms", addr}, 4, "", "--timeout"},
		{"a job without query-jobs", "", []string{"--job", "x", "-c", "query-name", addr}, 1, "", "query-jobs"},
	} {
		t.Run(tt.name, func(t *testing.T) { want(t, run(tt.stdin, tt.args...), tt.status, tt.stdout, tt.stderr) })
	}
}

// A file of which a line is wrong sends nothing.
func TestNothingIsSentBeforeAllIsParsed(t *testing.T) {
	vm := qmptest.Start(t, nil)
	run("", "-c", "stop", "-c", "a=b", vm.Addr())
	run("", "-f", write(t, "f", "stop\na=b\n"), vm.Addr())
	if got := vm.Received(); len(got) > 0 {
		t.Errorf("sent: %v", got)
	}
}

func TestAddressOfTheEnvironment(t *testing.T) {
	vm := qmptest.Start(t, nil)
	t.Setenv(socketVariable, vm.Addr())
	want(t, run("", "-c", "query-name"), 0, "{}\n", "")
	want(t, run("query-name"), 0, "{}\n", "")
	agent := qmptest.Start(t, &qmptest.Options{NoGreeting: true})
	t.Setenv(agentVariable, agent.Addr())
	if r := run("", "agent", "ping"); r.status != 0 || !strings.Contains(r.stdout, "answered after") {
		t.Errorf("%+v", r)
	}
}

// A monitor that serves another client takes the connection, and does not greet.
func TestBusyMonitor(t *testing.T) {
	vm := qmptest.Start(t, nil)
	c, err := async.Dial(t.Context(), vm.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want(t, run("", "-c", "stop", "--connect-timeout", "50ms", vm.Addr()), 3, "", "is another client connected?")
	want(t, run("", "-c", "stop", "--connect-timeout", "0", "--timeout", "50ms", vm.Addr()), 4, "", "is another client connected?")
	r := run("", "-c", "stop", "--connect-timeout", "50ms", vm.Addr())
	if !strings.Contains(r.stderr, "--skip-negotiation") || strings.Contains(r.stderr, "SkipGreeting") {
		t.Errorf("the advice is not about the program's options: %s", r.stderr)
	}
}

// A file that is not a socket refuses a connection as a socket does on which nobody listens.
func TestNotASocket(t *testing.T) {
	file := write(t, "file", "")
	for _, addr := range []string{file, "unix:" + file, filepath.Dir(file)} {
		want(t, run("", "-c", "stop", addr), 3, "", "\nThis path is not that of a socket.\n")
	}
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	want(t, run("", "-c", "stop", socket), 3, "", "No program listens there")
}

func TestLogMasksSecrets(t *testing.T) {
	vm := qmptest.Start(t, nil)
	vm.Handle("object-add", func(context.Context, *qmptest.Command) (any, error) { return nil, nil })
	log := write(t, "log", "before\n")
	r := run("", "-l", log, "-v", "-c", "object-add qom-type=secret id=s data=sesame", vm.Addr())
	want(t, r, 0, "{}\n", "object-add")
	text, err := os.ReadFile(log)
	if err != nil || !strings.HasPrefix(string(text), "before\n") || !strings.Contains(string(text), "object-add") {
		t.Errorf("%v: %s", err, text)
	}
	if strings.Contains(string(text), "sesame") || strings.Contains(r.stderr, "sesame") {
		t.Errorf("the secret is in\n%s%s", text, r.stderr)
	}
}

func TestRecordAndReplay(t *testing.T) {
	vm := qmptest.Start(t, nil)
	dir := qemutest.Dir(t)
	file, addr := filepath.Join(dir, "rec"), filepath.Join(dir, "play")
	const out = "{\"status\":\"running\",\"singlestep\":false,\"running\":true}\n"
	want(t, run("", "record", "--stable", file, vm.Addr(), "-c", "query-status"), 0, out, "")
	ended := make(chan result)
	go func() { ended <- run("", "replay", "--fast", "-v", file, addr) }()
	want(t, run("", "--retry", "--connect-timeout", "1m", "-c", "query-status", addr), 0, out, "")
	r := <-ended
	want(t, r, 0, "", "listening at "+addr)
	if !strings.Contains(r.stderr, `-> {"execute":"query-status"`) {
		t.Errorf("%q", r.stderr)
	}
	go func() { ended <- run("", "replay", file, addr) }()
	want(t, run("", "--retry", "--connect-timeout", "1m", "-c", "query-name", addr), 3, "", "interrupted after it was sent")
	if r := <-ended; r.status != 1 || !strings.Contains(r.stderr, "query-name") {
		t.Errorf("%+v", r)
	}
	want(t, run("", "replay", file+".none", addr), 1, "", "no such file")
	want(t, run("", "replay", "--client", "x", file, addr), 1, "", "x")
	want(t, run("", "replay", file, "/nonexistent/x"), 1, "", "/nonexistent/x")
}

func TestServe(t *testing.T) {
	vm := qmptest.Start(t, nil)
	dir := qemutest.Dir(t)
	addr, audit := filepath.Join(dir, "users"), filepath.Join(dir, "audit")
	ended := make(chan result)
	go func() { ended <- run("", "serve", "--read-only", "--audit", audit, "-v", vm.Addr(), addr) }()
	users := make(chan result)
	for range 2 {
		go func() { users <- run("", "--retry", "--connect-timeout", "1m", "-c", "query-name", addr) }()
	}
	for range 2 {
		want(t, <-users, 0, "{}\n", "")
	}
	want(t, run("", "-c", "stop", addr), 1, "", "read-only")
	if err := vm.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, <-ended, 3, "", "listening at "+addr)
	text, err := os.ReadFile(audit)
	if err != nil || strings.Count(string(text), "command=query-name") != 2 || !strings.Contains(string(text), "command=stop") {
		t.Errorf("%v: %s", err, text)
	}
	want(t, run("", "serve", "--audit", "-", "--reconnect", "--connect-timeout", "50ms", filepath.Join(dir, "none"), addr), 3, "", "no such file")
}

func TestTLS(t *testing.T) {
	ca := tlstest.New(t)
	c := &connection{}
	if config, err := c.tls(); config != nil || err != nil {
		t.Errorf("%v, %v", config, err)
	}
	c = &connection{TLS: true, TLSName: "vm"}
	if config, err := c.tls(); err != nil || config.ServerName != "vm" || config.RootCAs != nil || config.Certificates != nil {
		t.Errorf("%v, %v", config, err)
	}
	dir := ca.Folder(t, "client", ca.Certificate(t, nil))
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []*connection{{TLSDir: dir}, {TLSCA: in("ca-cert.pem"), TLSCert: in("client-cert.pem"), TLSKey: in("client-key.pem")}} {
		if config, err := c.tls(); err != nil || !config.RootCAs.Equal(ca.Pool()) || len(config.Certificates) != 1 {
			t.Errorf("%v, %v", config, err)
		}
	}
	if err := os.Remove(in("client-cert.pem")); err != nil {
		t.Fatal(err)
	}
	if config, err := (&connection{TLSDir: dir}).tls(); err != nil || len(config.Certificates) != 0 {
		t.Errorf("%v, %v", config, err)
	}
	for _, c := range []*connection{
		{TLSCert: in("x")}, {TLSKey: in("x")}, {TLSCA: in("x")}, {TLSCA: in("client-key.pem")}, {TLSCert: in("x"), TLSKey: in("y")},
	} {
		if _, err := c.tls(); !is[*UsageError](err) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestHelpAndPages(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"-h"}, {"agent", "exec", "--help"}, {"screenshot", "-h"}} {
		if r := run("", args...); r.status != 0 || !strings.HasPrefix(r.stdout, "Usage: qmp-shell") || r.stderr != "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
	if r := run("", "--version"); r.status != 0 || !strings.HasPrefix(r.stdout, "qmp-shell ") {
		t.Errorf("%+v", r)
	}
	for _, name := range usage.Shells {
		if r := run("", "completion", name); r.status != 0 || !strings.Contains(r.stdout, "screenshot") {
			t.Errorf("%+v", r)
		}
	}
	const page = "../../qmp-shell.1"
	r := run("", "man")
	if *update {
		if err := os.WriteFile(page, []byte(r.stdout), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != r.stdout {
		t.Errorf("qmp-shell.1 is not what the options say (%v): go test ./internal/cli -update writes it", err)
	}
}

func TestHints(t *testing.T) {
	for _, err := range []error{syscall.ENOENT, syscall.EACCES, syscall.ECONNREFUSED, syscall.EAGAIN} {
		if hint(&async.ConnectError{Stage: async.StageConnection, Err: err}) == "" {
			t.Errorf("%v: no hint", err)
		}
	}
	for _, err := range []error{errors.New("x"), wrong("x"), &async.ConnectError{Stage: async.StageSession, Err: syscall.ENOENT}, &async.ConnectError{Stage: async.StageConnection, Err: io.EOF}} {
		if text := hint(err); text != "" {
			t.Errorf("%v: %s", err, text)
		}
	}
}

func TestProgressLine(t *testing.T) {
	for want, p := range map[string]jobs.Progress{
		"\r\x1b[Kjob: running, 50 %":                      {Status: "running", Current: 1, Total: 2},
		"\r\x1b[Kjob: running, 50 %, 2.0 MiB/s, 10s left": {Status: "running", Current: 20 << 20, Total: 40 << 20, Rate: 2 << 20},
		"\r\x1b[K": {Status: "concluded", Current: 1, Total: 2},
	} {
		if got := progressLine("job", p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	var b bytes.Buffer
	(&app{stderr: &b}).progress("job")(jobs.Progress{})
	if b.String() != "\r\x1b[K" {
		t.Errorf("%q", b.String())
	}
}

// A script that waits for a line ends when its time is over, and reads nothing twice.
func TestInput(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	r, w := io.Pipe()
	defer w.Close()
	in := &input{ctx: ctx, r: r}
	go io.WriteString(w, "abcdef")
	var got []byte
	for len(got) < 6 {
		b := make([]byte, 4)
		n, err := in.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b[:n]...)
	}
	if string(got) != "abcdef" {
		t.Errorf("%q", got)
	}
	cancel(syscall.EINTR)
	if err := (&typeCommand{Text: "-", Rate: 1}).Run(ctx, &app{stdin: r}); !errors.Is(err, syscall.EINTR) {
		t.Errorf("%v", err)
	}
	if n, err := in.Read(make([]byte, 4)); n != 0 || err != syscall.EINTR {
		t.Errorf("%d, %v", n, err)
	}
}
