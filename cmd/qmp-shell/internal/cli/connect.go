package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
)

// socketVariable is the environment variable that has the address if none is given.
const socketVariable = "QMP_SOCKET"

// address returns the address to connect to: that of the option, the argument or the
// environment variable. It is "" if the program after "--" is started.
func (a *app) address(argument string) (string, error) {
	return a.addressOr(argument, socketVariable)
}

// addressOr is address with another environment variable.
func (a *app) addressOr(argument, variable string) (string, error) {
	option := a.grammar.Socket
	switch {
	case a.program != nil && (argument != "" || option != ""):
		return "", wrong("give an address, or a program after --, and not both")
	case a.program != nil:
		return "", nil
	case argument != "" && option != "":
		return "", wrong("give the address once: it is %s by --socket, and also %s", option, argument)
	case argument != "":
		return argument, nil
	case option != "":
		return option, nil
	case os.Getenv(variable) != "":
		return os.Getenv(variable), nil
	}
	return "", wrong("an address is missing: the path of a socket, or HOST:PORT; --help tells more")
}

// engine returns the options for a client that connects to addr, and a function that
// closes the log after the connection has ended.
func (a *app) engine(addr string) (*async.Options, func() error, error) {
	c := &a.grammar.connection
	opts := &async.Options{SkipGreeting: c.SkipNegotiation, SkipNegotiation: c.SkipNegotiation}
	if c.Retry {
		opts.Backoff = func() async.Backoff { return async.Every(50 * time.Millisecond)() }
	}
	config, err := c.tls()
	if err != nil {
		return nil, nil, err
	}
	if config != nil {
		if _, err := async.ParseAddress(addr); err != nil {
			return nil, nil, err
		}
		opts.Dialer = async.DialTLS(addr, config)
	}
	if a.grammar.Verbose {
		opts.Tracers = append(opts.Tracers, a.echo())
	}
	for _, f := range a.configure {
		f(opts)
	}
	closeLog := func() error { return nil }
	if c.Logfile != "" {
		f, err := os.OpenFile(c.Logfile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return nil, nil, wrong("log: %w", err)
		}
		opts.Logger = slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug}))
		closeLog = f.Close
	}
	return opts, closeLog, nil
}

// echo returns a tracer that prints all messages to the standard error.
func (a *app) echo() *async.Tracer {
	var mu sync.Mutex
	p := output.New(a.stderr, false)
	p.Color = false
	show := func(sign string) func(async.TraceMessage) {
		return func(m async.TraceMessage) {
			line := p.Format(m.Masked())
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(a.stderr, "%s %s\n", sign, line)
		}
	}
	return &async.Tracer{Sent: show("->"), Received: show("<-")}
}

// limit returns a context for making a connection.
func (a *app) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	d := a.grammar.ConnectTimeout
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, d, &async.TimeoutError{Op: "connect", Limit: d, Option: "--connect-timeout"})
}

// A session is a connection, and the machine at its other end if this program has started
// that.
type session struct {
	client *async.Client
	close  func() error
}

// open makes a client for the address or the machine, calls prepare with it, and connects
// it. The caller closes the session. prepare may be nil.
func (a *app) open(ctx context.Context, argument string, prepare func(*async.Client)) (*session, error) {
	addr, err := a.address(argument)
	if err != nil {
		return nil, err
	}
	opts, closeLog, err := a.engine(addr)
	if err != nil {
		return nil, err
	}
	if a.program != nil {
		return a.launch(ctx, opts, closeLog, prepare)
	}
	c := async.New(opts)
	if prepare != nil {
		prepare(c)
	}
	connecting, cancel := a.limit(ctx)
	defer cancel()
	if err := c.Connect(connecting, addr); err != nil {
		closeLog()
		return nil, err
	}
	return &session{client: c, close: func() error {
		c.Close() // why the connection has ended does not matter any more
		return closeLog()
	}}, nil
}
