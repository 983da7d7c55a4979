//go:build unix

package interactive_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/interactive"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/ttytest"
)

// TestMain allows one goroutine to be left: Bubble Tea's reader does not end if a key comes at
// the moment at which the program ends. The process ends then, too.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/charmbracelet/ultraviolet.(*TerminalReader).sendEvents"))
}

// A session is a shell on a terminal.
type session struct {
	*ttytest.Terminal
	client *async.Client
	done   chan struct{} // closed when the shell has left
	err    error         // why; after done
}

// start runs a shell that is connected to addr.
func start(t *testing.T, addr string, opts interactive.Options) *session {
	t.Helper()
	s := &session{Terminal: ttytest.New(t, 100, 24), done: make(chan struct{})}
	opts.In, opts.Out = s.TTY, s.TTY
	if opts.Environ == nil {
		opts.Environ = []string{"TERM=xterm-256color"}
	}
	sh := interactive.New(opts)
	engine := &async.Options{SkipGreeting: opts.Agent, SkipNegotiation: opts.Agent}
	sh.Configure(engine)
	s.client = async.New(engine)
	sh.Attach(s.client)
	if err := s.client.Connect(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(s.done)
		s.err = sh.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-s.done
		s.client.Close()
	})
	s.WaitFor("Connected to")
	return s
}

func machine(t *testing.T, opts *qmptest.Options) *qmptest.Server {
	vm := qmptest.Start(t, opts)
	vm.Handle("query-jobs", func(context.Context, *qmptest.Command) (any, error) { return []any{}, nil })
	vm.Handle("query-migrate", func(context.Context, *qmptest.Command) (any, error) { return struct{}{}, nil })
	return vm
}

func TestCommands(t *testing.T) {
	vm := machine(t, &qmptest.Options{Name: "vm1"})
	s := start(t, vm.Addr(), interactive.Options{})
	s.WaitLine("(vm1 running)")
	s.Type("query-name" + ttytest.Enter)
	s.WaitFor(`{"name":"vm1"}`)
	s.Type("stop" + ttytest.Enter)
	s.WaitFor("STOP  · the machine is paused")
	s.WaitLine("(vm1 paused)")
	s.Type("no-such-command" + ttytest.Enter)
	s.WaitFor("not sent: ")
	s.Type(`{"execute": "no-such-command"}` + ttytest.Enter)
	s.WaitFor("error CommandNotFound: ")
	s.Type("exit" + ttytest.Enter)
	<-s.done
	if s.err != nil {
		t.Error(s.err)
	}
}

// An event that comes while a line is half typed stands above it, and typing goes on.
func TestEventWhileTyping(t *testing.T) {
	vm := machine(t, nil)
	s := start(t, vm.Addr(), interactive.Options{})
	s.WaitLine("(QEMU running)")
	s.Type("query-na")
	s.WaitLine("(QEMU running) query-na")
	if err := vm.Emit("RTC_CHANGE", map[string]any{"offset": 5}); err != nil {
		t.Fatal(err)
	}
	s.WaitFor(`RTC_CHANGE {"offset":5}`)
	s.WaitLine("(QEMU running) query-na")
	s.Type("me" + ttytest.Enter)
	s.WaitFor("{}")
}

// A long command does not hold up typing; Ctrl-C gives it up and says that it was sent.
func TestInterrupt(t *testing.T) {
	vm := machine(t, nil)
	started := make(chan struct{})
	vm.Handle("slow", func(ctx context.Context, _ *qmptest.Command) (any, error) {
		close(started)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	s := start(t, vm.Addr(), interactive.Options{})
	s.WaitLine("(QEMU running)")
	s.Type(`{"execute": "slow"}` + ttytest.Enter)
	<-started
	s.Type("half")
	s.WaitLine("(QEMU running) half")
	s.WaitFor("slow: no reply for")
	s.Type(ttytest.CtrlC)
	s.WaitLine("(QEMU running)")
	s.Type(ttytest.CtrlC)
	s.WaitFor("slow: gave up on slow: it was sent, so the server may still execute it")
	s.Type(ttytest.CtrlC)
	s.WaitFor("Ctrl-D or exit leaves the shell.")
	s.Type(ttytest.CtrlD)
	<-s.done
}

// The shell connects again by itself, and the prompt shows the state. A command that is
// given meanwhile says so at once.
func TestReconnect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q.sock")
	first := machine(t, &qmptest.Options{Name: "first"})
	if err := os.Symlink(first.Addr(), path); err != nil {
		t.Fatal(err)
	}
	s := start(t, path, interactive.Options{})
	s.WaitLine("(first running)")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s.WaitFor("the connection is lost: the server has hung up")
	s.WaitLine("(first connecting again)")
	s.Type("query-status" + ttytest.Enter)
	s.WaitFor("not sent: the connection was lost")
	second := machine(t, &qmptest.Options{Name: "second"})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(second.Addr(), path); err != nil {
		t.Fatal(err)
	}
	s.WaitFor("connected again to QEMU 7.2.22")
	s.WaitLine("(second running)")
	s.Type("query-name" + ttytest.Enter)
	s.WaitFor(`{"name":"second"}`)
}

func TestQuitIsAskedFor(t *testing.T) {
	for _, tt := range []struct {
		hmp   bool
		lines []string // each is not sent, because another command comes before the next one
	}{
		{false, []string{"quit ", `{"execute": "quit"}`, "quit {}", `human-monitor-command command-line="q"`}},
		{true, []string{"q", "quit now", " q "}},
	} {
		vm := machine(t, nil)
		s := start(t, vm.Addr(), interactive.Options{HMP: tt.hmp})
		s.WaitFor("running)")
		for _, line := range tt.lines {
			s.Type("/clear" + ttytest.Enter + line + ttytest.Enter)
		}
		s.Wait("all refusals", func(screen ttytest.Screen) bool {
			return strings.Count(screen.Text(), "not sent: quit ends QEMU") == len(tt.lines)
		})
		for _, m := range vm.Received() {
			if m.Name == "quit" || strings.Contains(string(m.Arguments), `"q`) {
				t.Errorf("%s was sent", m.Name)
			}
		}
		s.Type("quit" + ttytest.Enter) // the last line was one, too
		s.WaitFor("SHUTDOWN")
		s.WaitFor("the connection is lost")
	}
}

func TestVerbose(t *testing.T) {
	vm := machine(t, nil)
	s := start(t, vm.Addr(), interactive.Options{Verbose: true})
	s.WaitFor("<- {\"QMP\"")
	s.Type("query-name" + ttytest.Enter)
	s.WaitFor(`-> {"execute":"query-name"`)
	s.WaitFor(`<- {"return": {}, "id": 2}`)
	if screen := s.Screen(); screen.Contains("query-status") {
		t.Errorf("the shell's own questions are printed:\n%s", screen.Text())
	}
}

func TestHumanMonitor(t *testing.T) {
	vm := machine(t, nil)
	vm.Handle("human-monitor-command", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		var args struct {
			CommandLine string `json:"command-line"`
		}
		if err := json.Unmarshal(cmd.Arguments, &args); err != nil {
			return nil, err
		}
		switch args.CommandLine {
		case "help":
			return "help|? [cmd] -- show the help\r\ninfo [subcommand] -- show various information\r\nset_password protocol password -- set a password\r\n", nil
		case "help info":
			return "info block [-n] -- show the block devices\r\ninfo status  -- show the status\r\n", nil
		case "info block":
			return "no \x1b[2Jblocks\r\n", nil
		}
		return "", nil
	})
	history := filepath.Join(t.TempDir(), "history")
	s := start(t, vm.Addr(), interactive.Options{HMP: true, History: history})
	s.WaitLine("(QEMU hmp running)")
	s.Type("inf" + ttytest.Tab)
	s.WaitLine("(QEMU hmp running) info")
	s.Type("b" + ttytest.Tab)
	s.WaitLine("(QEMU hmp running) info block")
	s.Type(ttytest.Enter)
	s.WaitFor(`no \x1b[2Jblocks`)
	s.Type("set_password vnc geheim" + ttytest.Enter)
	s.WaitLine("(QEMU hmp running)")
	s.Type("/set_password vnc geheim" + ttytest.Enter)
	s.WaitFor("the shell has no command /set_password")
	s.Type("events STOP" + ttytest.Enter)
	s.WaitFor("the events STOP are printed")
	s.Type("/exit" + ttytest.Enter)
	<-s.done
	b, err := os.ReadFile(history)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(b), "info block\nset_password ***\nevents STOP\n/exit\n"; got != want {
		t.Errorf("the history is %q, want %q", got, want)
	}
}

func TestSecretsAreNotInTheHistory(t *testing.T) {
	vm := machine(t, nil)
	vm.Handle("set_password", func(context.Context, *qmptest.Command) (any, error) { return nil, nil })
	history := filepath.Join(t.TempDir(), "state", "qmp-shell", "history")
	s := start(t, vm.Addr(), interactive.Options{History: history})
	s.WaitLine("(QEMU running)")
	for _, line := range []string{
		"query-name",
		"set_password protocol=vnc password=geheim1",
		`{"execute": "set_password", "arguments": {"protocol": "vnc", "password": "geheim2"}}`,
		`set_password {"protocol": "vnc", "password": "geheim3"}`,
		`set_password protocol=vnc password="geheim4" x`,
	} {
		s.Type(line + ttytest.Enter)
	}
	s.WaitFor("expected KEY=VALUE") // the last line was taken
	s.Type(ttytest.CtrlR + "vnc")
	s.Wait("a masked line", func(s ttytest.Screen) bool { return strings.Contains(s.Line(), "***") })
	s.Type("\x07" + ttytest.CtrlD)
	<-s.done
	b, err := os.ReadFile(history)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "geheim") || !strings.Contains(string(b), "query-name\nset_password protocol=vnc password=***\n") {
		t.Errorf("the history is\n%s", b)
	}
	info, err := os.Stat(history)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the mode of the history is %v", info.Mode())
	}
}

func TestOwnCommands(t *testing.T) {
	vm := machine(t, nil)
	release := make(chan struct{})
	vm.Handle("slow", func(ctx context.Context, _ *qmptest.Command) (any, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return map[string]any{"text": strings.Repeat("long ", 40)}, nil
	})
	s := start(t, vm.Addr(), interactive.Options{Color: true})
	s.WaitLine("(QEMU running)")
	emit := func(name string) {
		if err := vm.Emit(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.Type("/jobs" + ttytest.Enter)
	s.WaitFor("no job, no migration and no command is going on")
	s.Type("events" + ttytest.Enter)
	s.WaitFor("no events have come")
	s.Type("events RESET -STOP" + ttytest.Enter)
	s.WaitFor("the events RESET are printed, but not JOB_STATUS_CHANGE, STOP")
	emit("ACPI_DEVICE_OST") // is not printed
	s.Type("stop" + ttytest.Enter)
	s.WaitFor(" the machine is paused") // the notice is, without its event
	if screen := s.Screen(); screen.Contains("ACPI_DEVICE_OST") || screen.Contains("STOP  ·") {
		t.Errorf("events that are hidden are printed:\n%s", screen.Text())
	}
	s.Type("events 2" + ttytest.Enter)
	s.WaitFor("ACPI_DEVICE_OST")
	s.Type("events [" + ttytest.Enter)
	s.WaitFor("[ is not a pattern for names of events")
	s.Type("/nothing" + ttytest.Enter)
	s.WaitFor("the shell has no command /nothing")
	s.Type("verbose maybe" + ttytest.Enter)
	s.WaitFor("verbose takes on or off")
	s.Type("verbose" + ttytest.Enter + "verbose off" + ttytest.Enter)
	s.WaitFor("messages are not printed")
	s.Type("help events" + ttytest.Enter)
	s.WaitFor("/events [N | on | off | NAME... | -NAME...]")
	s.Type("help no-such-thing" + ttytest.Enter)
	s.WaitFor("no-such-thing")
	s.Type("history stop" + ttytest.Enter)
	s.WaitFor("\nstop")
	s.Type("/he" + ttytest.Tab)
	s.WaitLine("(QEMU paused) /help")
	s.Type(ttytest.CtrlC)
	s.Type("/events re" + ttytest.Tab)
	s.WaitFor("/events [N | on")
	s.Type(ttytest.CtrlC)
	s.Type("/help" + ttytest.Enter)
	s.WaitFor("Ctrl-L, Ctrl-Z  clear the screen, suspend the shell")
	s.Type(`{"execute": "slow"}` + ttytest.Enter)
	s.WaitLine("(QEMU paused)")
	s.Type("jobs" + ttytest.Enter)
	s.WaitFor("slow: no reply yet")
	close(release)
	s.WaitFor(`"text": "long long`)
}

// A job has a bar, and a notice at its end; a flood of events does not fill the screen.
func TestJobsAndFloods(t *testing.T) {
	vm := machine(t, nil)
	var current atomic.Int64
	current.Store(25)
	vm.Handle("query-jobs", func(context.Context, *qmptest.Command) (any, error) {
		if current.Load() < 0 {
			return []any{}, nil
		}
		return []any{map[string]any{"id": "b0", "type": "backup", "status": "running", "current-progress": current.Load(), "total-progress": 100}}, nil
	})
	s := start(t, vm.Addr(), interactive.Options{})
	s.WaitFor("b0 backup [")
	s.WaitFor(" 25%")
	current.Store(50)
	s.WaitFor(" 50%")
	s.Type("jobs" + ttytest.Enter)
	s.Wait("the bar twice", func(s ttytest.Screen) bool { return strings.Count(s.Text(), "b0 backup [") == 2 })
	current.Store(-1)
	s.WaitFor("job b0 (backup) has ended; how is not known")
	for range 3000 {
		if err := vm.Emit("RTC_CHANGE", map[string]any{"offset": 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := vm.Emit("STOP", nil); err != nil {
		t.Fatal(err)
	}
	s.WaitFor("the machine is paused") // told, though the event is one of too many to be shown
	s.Type("query-name" + ttytest.Enter)
	s.WaitFor("{}") // the events came before it, and were taken
	s.Type("events 1" + ttytest.Enter)
	s.Wait("the last event", func(s ttytest.Screen) bool {
		_, after, found := strings.Cut(s.Text(), "events 1")
		return found && strings.Contains(after, "STOP")
	})
	s.WaitLine("(QEMU running)")
}

// A migration that fails as the one before did is told, too.
func TestMigrationsThatFail(t *testing.T) {
	vm := machine(t, nil)
	vm.Handle("query-migrate", func(context.Context, *qmptest.Command) (any, error) {
		return map[string]any{"status": "failed", "error-desc": "no route to host"}, nil
	})
	vm.Handle("migrate", func(context.Context, *qmptest.Command) (any, error) { return nil, nil })
	s := start(t, vm.Addr(), interactive.Options{})
	s.WaitLine("(QEMU running)")
	for n := range 2 {
		s.Type(`{"execute": "migrate", "arguments": {"uri": "tcp:127.0.0.1:1"}}` + ttytest.Enter)
		s.Wait("a notice for each migration", func(s ttytest.Screen) bool {
			return strings.Count(s.Text(), "the migration has failed: no route to host") == n+1
		})
	}
}

func TestDumbTerminal(t *testing.T) {
	vm := machine(t, nil)
	s := start(t, vm.Addr(), interactive.Options{Environ: []string{"TERM=dumb"}})
	s.Type("query-name\n")
	s.WaitFor("\n{}")
	if err := vm.Emit("RTC_CHANGE", map[string]any{"offset": 1}); err != nil {
		t.Fatal(err)
	}
	s.WaitFor("RTC_CHANGE")
	if strings.Contains(s.Raw(), "\x1b") {
		t.Errorf("an escape sequence was written: %q", s.Raw())
	}
	s.Type("exit\n")
	<-s.done
}

func TestGuestAgent(t *testing.T) {
	vm := qmptest.Start(t, &qmptest.Options{NoGreeting: true})
	s := start(t, vm.Addr(), interactive.Options{Agent: true})
	s.WaitLine("(guest agent)")
	s.Type("guest-ping" + ttytest.Enter)
	s.WaitFor("{}")
	s.Type("/help" + ttytest.Enter)
	s.WaitFor("Keys:")
	if s.Screen().Contains("quit is a command of QEMU") {
		t.Error("help tells of quit, which the agent does not have")
	}
}

// With Once the shell leaves when the connection has ended.
func TestOnce(t *testing.T) {
	vm := machine(t, nil)
	s := start(t, vm.Addr(), interactive.Options{Once: true})
	s.WaitLine("(QEMU running)")
	s.Type("quit" + ttytest.Enter)
	s.WaitFor("the connection has ended: the server has hung up")
	<-s.done
	if s.err != nil {
		t.Error(s.err)
	}
}

// Leaving gives up the commands that run, and says so.
func TestLeaveWhileACommandRuns(t *testing.T) {
	vm := machine(t, nil)
	started := make(chan struct{})
	vm.Handle("slow", func(ctx context.Context, _ *qmptest.Command) (any, error) {
		close(started)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	s := start(t, vm.Addr(), interactive.Options{})
	s.Type(`{"execute": "slow"}` + ttytest.Enter)
	<-started
	s.Type(ttytest.CtrlD)
	s.WaitFor("gave up on slow: it was sent")
	<-s.done
}
