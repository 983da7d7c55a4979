// Mux shares the monitor of a QEMU between programs: one socket for those who may do everything,
// and one for those who may only look.
//
//	go run ./examples/mux /run/vm1.qmp /run/vm1
//
// The folder /run/vm1 then has the sockets admin.qmp and readers.qmp. Every command leaves a line
// on the standard error. The program ends with QEMU, or when it is interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/mux"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: mux MONITOR FOLDER")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := share(ctx, os.Stderr, os.Args[1], os.Args[2], nil)
	if err != nil && !async.HungUp(err) && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "mux:", err)
		os.Exit(1)
	}
}

// share serves the monitor at two sockets in dir, until ctx ends or QEMU does. It calls ready,
// unless that is nil, when both are there, and never if one cannot be made.
func share(ctx context.Context, log io.Writer, monitor, dir string, ready func()) error {
	c, err := async.Dial(ctx, monitor, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	m := mux.New(mux.Over(c), nil)
	defer m.Close()

	audit := slog.New(slog.NewTextHandler(log, nil))
	admin := &mux.Door{Name: "admin", Audit: audit}
	readers := &mux.Door{
		Name:     "readers",
		ReadOnly: true,
		Deny:     []string{"query-vnc*", "query-spice"},
		Rate:     20,
		Audit:    audit,
	}

	var wg sync.WaitGroup
	errs := make(chan error, 2)
	opened := 0
	for _, door := range []*mux.Door{admin, readers} {
		ln, err := mux.Listen(ctx, filepath.Join(dir, door.Name+".qmp"))
		if err != nil {
			errs <- err
			m.Close() // ends the other door
			break
		}
		opened++
		wg.Go(func() { errs <- m.Serve(ctx, ln, door) })
	}
	if ready != nil && opened == 2 {
		ready()
	}
	wg.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}
