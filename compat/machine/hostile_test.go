//go:build unix

package machine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// hidden and spell are a secret, and a text that a terminal obeys.
const (
	hidden = "hunter2"
	spell  = "\x1b]0;title\a\u0085\u202e\u2028\x7f\xff"
)

func init() {
	// A program that repeats its arguments, as QEMU does with a wrong option.
	moreFakes["repeat"] = func(args []string) {
		fmt.Printf("%s\r\n%q: bad\x1b[2J\n%s", args[len(args)-1], "option", spell)
	}
}

// A logText is a handler that keeps all texts of the log, as they are.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Enabled(context.Context, slog.Level) bool { return true }
func (l *logText) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logText) WithGroup(string) slog.Handler            { return l }
func (l *logText) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintln(&l.text, a.Value)
		return true
	})
	return nil
}

// checkHarmless requires that no text has the secret or a character that does harm.
func checkHarmless(t *testing.T, what, text string) {
	t.Helper()
	if strings.Contains(text, hidden) {
		t.Errorf("%s shows the secret: %q", what, text)
	}
	for _, r := range text {
		if r != '\n' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl)) {
			t.Errorf("%s has %q: %q", what, r, text)
			return
		}
	}
}

// The secrets of a command line, and the characters of what a process writes that a
// terminal obeys, are not in the text of an error or in the log. They are in the error's
// fields.
// Holds secure.
func TestSecretsAndSpellsOfAProcess(t *testing.T) {
	t.Parallel()
	const secret = "secret,id=shown,data=" + hidden
	for _, mode := range []machine.MonitorMode{machine.MonitorDefault, machine.MonitorNone} {
		var log logText
		m := newFake(t, "repeat", machine.Options{Monitor: mode, Args: []string{"-object", secret}, Logger: slog.New(&log), ExitCodes: []int{7}})
		err := m.Launch(t.Context())
		var failure *machine.VMLaunchFailure
		switch {
		case mode == machine.MonitorNone:
			must(t, err)
			_, err := m.Wait(t.Context())
			must(t, err)
			must(t, m.Shutdown(t.Context()))
		case !errors.As(err, &failure):
			t.Fatal(err)
		default:
			checkHarmless(t, "the launch's error", err.Error())
			if !strings.Contains(err.Error(), "data=***") || !strings.Contains(err.Error(), "shown") || !strings.Contains(err.Error(), `\x1b]0;title\x07`) {
				t.Errorf("the error does not show the rest: %v", err)
			}
			if !strings.Contains(failure.Output, hidden) || !strings.Contains(failure.Output, spell) || failure.Args[len(failure.Args)-1] != secret {
				t.Errorf("the fields do not have what was written: %+v", failure)
			}
		}
		log.mu.Lock()
		checkHarmless(t, "the log", log.text.String())
		if !strings.Contains(log.text.String(), "***") {
			t.Errorf("the log does not show the command line: %s", log.text.String())
		}
		log.mu.Unlock()
	}
}

// The same for a QEMU that repeats the option that it does not understand.
// Holds secure.
func TestSecretsOfQEMU(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-object", "secret,id=s,data=" + hidden + ",nosuch=1"},
		{"-object", `{"qom-type":"secret","id":"s","data":"` + hidden + `","nosuch":1}`},
		{"-object", "secret,id=s,format=base64,data=" + hidden + "!!!!"},
		{"-drive", "if=none,file=https://user:" + hidden + "@nosuch.invalid/x,driver=nosuch"},
		{"-blockdev", `{"driver":"https","url":"https://nosuch.invalid/","cookie":"` + hidden + `","node-name":"n","nosuch":1}`},
	} {
		err := newQEMU(t, machine.Options{Args: args}).Launch(qemutest.Context(t))
		if err == nil {
			t.Errorf("%q: QEMU takes it", args)
			continue
		}
		checkHarmless(t, strings.Join(args, " "), err.Error())
		t.Log(err)
	}
}
