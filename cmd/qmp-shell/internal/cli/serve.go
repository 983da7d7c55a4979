package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/mux"
)

// Run shares a monitor until the program is told to end, or the server has ended.
func (c *serveCommand) Run(ctx context.Context, a *app) error {
	address, listen := c.Address, c.Listen
	if listen == "" && a.addressed() {
		address, listen = "", c.Address
	}
	if listen == "" {
		return wrong("the address is missing at which users connect: serve ADDRESS LISTEN")
	}
	door := &mux.Door{ReadOnly: c.ReadOnly, Allow: c.Allow, Deny: c.Deny}
	closeAudit, err := c.audit(a, door)
	if err != nil {
		return err
	}
	if c.Reconnect {
		a.configure = append(a.configure, func(o *async.Options) { o.Reconnect = &async.Reconnect{} })
	}
	return errors.Join(a.with(ctx, address, func(vm *async.Client) error {
		m := mux.New(mux.Over(vm), &mux.Options{Logger: a.notes()})
		defer m.Close()
		ln, err := mux.Listen(ctx, listen)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "qmp-shell: listening at %s\n", ln.Addr())
		return m.Serve(ctx, ln, door)
	}), closeAudit())
}

// audit sets the log of a door's commands. The function that it returns closes the log.
func (c *serveCommand) audit(a *app, door *mux.Door) (func() error, error) {
	var w io.Writer
	closeFile := func() error { return nil }
	switch c.Audit {
	case "":
		return closeFile, nil
	case "-":
		w = a.stderr
	default:
		f, err := os.OpenFile(c.Audit, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return nil, &UsageError{err}
		}
		w, closeFile = f, f.Close
	}
	door.Audit = slog.New(slog.NewTextHandler(w, nil))
	return closeFile, nil
}

// notes returns the log for what happens while the program serves others.
func (a *app) notes() *slog.Logger {
	level := slog.LevelWarn
	if a.grammar.Verbose {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))
}
