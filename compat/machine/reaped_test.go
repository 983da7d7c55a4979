//go:build unix

package machine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/compat/machine"
)

func init() { moreFakes["reaped"] = func(args []string) { playReaped(args[0]) } }

// playReaped plays a program in which something else than the machine collects its
// children: a loop of the program, or the system, if SIGCHLD is ignored. It prints what
// its machines say about how their processes ended.
func playReaped(how string) {
	switch how {
	case "ignore":
		signal.Ignore(syscall.SIGCHLD)
	case "loop":
		go func() {
			for {
				if _, err := syscall.Wait4(-1, nil, 0, nil); errors.Is(err, syscall.ECHILD) {
					time.Sleep(time.Millisecond) // the child was not started yet
				}
			}
		}()
	}
	exe, err := os.Executable()
	check(err)
	for _, mode := range []string{"qmp", "exit", "complain", "crash"} {
		env := mode
		if mode == "crash" {
			env = "qmp"
		}
		m := machine.New(exe, &machine.Options{Name: mode, Env: []string{fakeMode + "=" + env}})
		err := m.Launch(context.Background())
		if failure, ok := errors.AsType[*machine.VMLaunchFailure](err); ok {
			fmt.Printf("%s: launch: %v, output %q\n", mode, known(*failure.Exit), failure.Output)
			continue
		}
		check(err)
		if mode == "crash" {
			_, err := m.Command(context.Background(), "crash", nil)
			ended, ok := errors.AsType[*machine.ProcessEndedError](err)
			if !ok {
				check(fmt.Errorf("crash: %w", err))
			}
			fmt.Printf("%s: command: %v, output %q\n", mode, known(ended.Exit), ended.Output)
		}
		err = m.Shutdown(context.Background())
		abnormal, _ := errors.AsType[*machine.AbnormalShutdown](err)
		exit, waitErr := m.Wait(context.Background())
		fmt.Printf("%s: shutdown: abnormal %v, exit %v, %v, running %v\n", mode, abnormal != nil, known(exit), waitErr, m.Running())
		if abnormal == nil {
			check(err)
		}
	}
}

// known returns a status as text, "?" if it is unknown. Whether it is known depends on the
// kernel, and on who collects the process first.
func known(s machine.ExitStatus) string {
	if s.Unknown {
		return "?"
	}
	return s.String()
}

// Another part of the program may collect the process. The machine notices the end, and
// nothing fails because the exit status is unknown.
func TestProcessThatSomebodyElseCollects(t *testing.T) {
	t.Parallel()
	want := [][]string{
		{`qmp: shutdown: abnormal false, exit `, `, <nil>, running false`, "exit code 0"},
		{`exit: launch: `, `, output ""`, "exit code 3"},
		{`complain: launch: `, `, output "reading the configuration\nfake: no such disk\n"`, "exit code 1"},
		{`crash: command: `, `, output "assertion failed\n"`, killed.String()},
		{`crash: shutdown: abnormal true, exit `, `, <nil>, running false`, killed.String()},
	}
	for _, how := range []string{"ignore", "loop", "nobody"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			exe, err := os.Executable()
			must(t, err)
			for range map[string]int{"loop": 5, "ignore": 1, "nobody": 1}[how] {
				cmd := exec.Command(exe, how)
				cmd.Env = append(os.Environ(), fakeMode+"=reaped")
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%v:\n%s", err, out)
				}
				lines := strings.Split(strings.TrimSpace(string(out)), "\n")
				if len(lines) != len(want) {
					t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), out)
				}
				for i, line := range lines {
					status, ok := strings.CutPrefix(line, want[i][0])
					status, ok2 := strings.CutSuffix(status, want[i][1])
					if !ok || !ok2 || status != want[i][2] && (how == "nobody" || status != "?") {
						t.Errorf("%s\nwant %s%s%s", line, want[i][0], want[i][2], want[i][1])
					}
				}
			}
		})
	}
}
