//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// A pane is a terminal of tmux in which the program runs.
type pane struct {
	t      *testing.T
	server string // the socket of a tmux server of its own
}

// open runs a command in a terminal of that size. Only HOME, PATH and what environ has are
// in its environment. When the command has ended, the terminal shows its exit status. (The
// option remain-on-exit does that, too, but tmux 3.3a sometimes misses that its child has
// ended, and then shows nothing.)
func open(t *testing.T, width, height int, environ []string, args ...string) *pane {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		qemutest.Lacks(t, "there is no tmux ('make qemu' installs what is missing)")
	}
	dir := qemutest.Dir(t)
	p := &pane{t: t, server: filepath.Join(dir, "tmux")}
	env := append([]string{"env", "-u", "XDG_STATE_HOME", "-u", "NO_COLOR", "HOME=" + dir}, environ...)
	env = append(env, "sh", "-c", `trap : INT; "$@"; echo "ended with status $?"; exec sleep 600`, "sh")
	p.tmux(append([]string{"-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height), "--"}, append(env, args...)...)...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the screen at the end:\n%s", p.screen())
		}
		p.tmux("kill-server")
	})
	return p
}

// tmux executes a command of tmux.
func (p *pane) tmux(args ...string) string {
	p.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-S", p.server}, args...)...)
	cmd.Env = append(os.Environ(), "TMUX=", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("tmux %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// screen returns what the terminal shows, without white space at the end of a line. A line
// that takes several rows is one.
func (p *pane) screen() string {
	p.t.Helper()
	var lines []string
	for line := range strings.SplitSeq(p.tmux("capture-pane", "-p", "-J"), "\n") {
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// press presses keys, by their names in tmux; other words are typed.
func (p *pane) press(keys ...string) {
	p.t.Helper()
	p.tmux(append([]string{"send-keys"}, keys...)...)
}

// wait waits until the screen has all of the texts, and returns it.
func (p *pane) wait(texts ...string) string {
	p.t.Helper()
	for limit := time.Now().Add(qemutest.Patience); ; time.Sleep(qemutest.DialEvery) {
		screen, missing := p.screen(), ""
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				missing = text
			}
		}
		if missing == "" {
			return screen
		}
		if time.Now().After(limit) {
			p.t.Fatalf("the screen does not show %q", missing)
		}
	}
}

// versions are the programs with which the sessions are tried: the QEMU of every test, and
// the releases that scripts/qemu-fetch.sh has fetched.
func versions(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{"chosen": qemutest.Find(t, qemutest.QEMU)}
	for _, version := range []string{"7.2", "11.1"} {
		path, err := qemutest.Cache("qemu", version, "bin", qemutest.QEMU)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err == nil {
			found[version] = path
		}
	}
	return found
}

// What a person sees who tries the shell with a real QEMU: completion, an event that comes
// while a line is half typed, a transaction on several lines, a job with its bar, help, and
// a window that gets narrower.
func TestSession_QEMU(t *testing.T) {
	for name, path := range versions(t) {
		t.Run(name, func(t *testing.T) {
			t.Setenv("QMP_TEST_QEMU", path)
			addr := qemutest.Monitor(t, "-name", "vm1",
				"-blockdev", "driver=null-co,node-name=disk0,size=1073741824,read-zeroes=on",
				"-blockdev", "driver=null-co,node-name=copy0,size=1073741824")
			p := open(t, 80, 24, nil, shell, addr)
			p.wait("Connected to QEMU", "(vm1 running)")
			p.press("query-st", "Tab")
			p.wait("  query-status")
			p.press("us", "Enter")
			p.wait(`"status":"running"`)

			p.press("stop", "Enter")
			p.wait("STOP  · the machine is paused", "(vm1 paused)")
			p.press("C-p", "C-p", "C-n", "C-u", "cont", "Enter")
			p.wait("RESUME  · the machine runs", "(vm1 running)")

			p.press("transaction(", "Enter", "block-dirty-bitmap-add node=disk0 name=b0", "Enter", "abo", "Tab")
			p.wait("... abort")
			p.press("Enter", ")", "Enter")
			p.wait("(vm1 running) transaction(\n          ... block-dirty-bitmap-add node=disk0 name=b0\n          ... abort", "error GenericError: Transaction aborted using Abort action")

			p.press("C-l", "blockdev-backup job-id=j0 device=disk0 target=copy0 sync=full speed=4194304", "Enter")
			p.wait("j0 backup [", "/s  ", " left")
			p.press("query-na")
			p.tmux("resize-window", "-x", "60", "-y", "20")
			p.wait("j0 backup [", "(vm1 running) query-na")
			p.press("C-u", "job-cancel id=", "Tab")
			p.wait("job-cancel id=j0")
			p.press("Enter")
			p.wait("job j0 (backup) was canceled")

			p.press("C-l", "help query-name", "Enter")
			p.wait("Result:", "(vm1 running)")
			p.press("query-statu", "Enter")
			p.wait("not sent: ", "query-status")
			p.press("C-r", "backup")
			p.wait("(search: backup) blockdev-backup job-id=j0")
			p.press("C-g", "quit", "Enter")
			p.wait("not sent: quit ends QEMU")
			p.press("quit", "Enter")
			p.wait("SHUTDOWN", "the connection is lost", "(vm1 connecting again)")
			p.press("query-status", "Enter")
			p.wait("not sent: the connection was lost")
			p.press("C-d")
			p.wait("ended with status 0")
		})
	}
}

// The shell starts a machine and ends with it.
func TestSessionWithItsMachine_QEMU(t *testing.T) {
	qemu := qemutest.Find(t, qemutest.QEMU)
	p := open(t, 200, 50, []string{"NO_COLOR=1"}, shell, "-H", "--", qemu, "-machine", "none", "-nodefaults")
	p.wait("Connected to QEMU", "(QEMU hmp running)")
	p.press("info st", "Tab")
	p.wait("show the current VM status", "(QEMU hmp running) info stat\n")
	p.press("us", "Enter")
	p.wait("VM status: running")
	p.press("quit", "Enter")
	p.wait("the connection has ended", "ended with status 0")
}

// Without a line editor the shell prints lines.
func TestSessionOnADumbTerminal_QEMU(t *testing.T) {
	p := open(t, 80, 24, []string{"TERM=dumb"}, shell, qemutest.Monitor(t))
	p.wait("Connected to QEMU", "(QEMU")
	p.press("query-name", "Enter")
	// The prompt may come once more before the reply: with the machine's status.
	p.wait(" query-name\n", "\n{}\n(QEMU")
	p.press("C-c")
	p.wait("Ctrl-D or exit leaves the shell.")
	p.press("C-d")
	p.wait("ended with status 0")
}
