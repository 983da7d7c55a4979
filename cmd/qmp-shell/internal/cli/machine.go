package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
	"github.com/goqmp/qmp/compat/machine"
)

// launch starts the program after "--" and connects to its monitor. Closing the session
// stops it.
func (a *app) launch(ctx context.Context, opts *async.Options, closeLog func() error, prepare func(*async.Client)) (*session, error) {
	if a.grammar.Retry || a.grammar.SkipNegotiation || opts.Dialer != nil {
		closeLog()
		return nil, wrong("the options for the connection cannot be used with a program that is started: the monitor of that program is passed to it directly")
	}
	binary, args := a.program[0], a.program[1:]
	daemon := strings.Contains(filepath.Base(binary), "storage-daemon")
	if !daemon && !graphical() {
		args = append([]string{"-display", "none"}, args...)
	}
	m := machine.New(binary, &machine.Options{
		Args: args, StorageDaemon: daemon, KeepDisplay: true, QMP: opts, Logger: opts.Logger,
	})
	if prepare != nil {
		prepare(m.Client())
	}
	if err := m.Launch(ctx); err != nil {
		closeLog()
		return nil, err
	}
	shown := a.showLog(m, 0)
	return &session{client: m.Client(), close: func() error {
		err := m.Shutdown(context.WithoutCancel(ctx))
		a.showLog(m, shown)
		if closeErr := closeLog(); err == nil {
			err = closeErr
		}
		return err
	}}, nil
}

// graphical reports whether QEMU can open a window.
func graphical() bool {
	return runtime.GOOS == "windows" || runtime.GOOS == "darwin" || os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != ""
}

// showLog prints what the machine has written after the first shown bytes, and returns how
// much it has written.
func (a *app) showLog(m *machine.Machine, shown int) int {
	log := m.Log()
	text := log[min(shown, len(log)):]
	if text == "" {
		return len(log)
	}
	if output.IsTerminal(a.stderr) {
		text = output.Text(text)
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	fmt.Fprint(a.stderr, text)
	return len(log)
}
