package qmptest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/socket"
)

// closeLimit bounds how long Close waits for handlers.
const closeLimit = 10 * time.Second

// A Server is a simulated machine that speaks QMP. Its methods may be called by
// any goroutine, handlers included, except that a handler must not call Close.
type Server struct {
	opts Options
	home home
	t    testing.TB // of Start, else nil

	ln      net.Listener // nil for Memory
	addr    string
	cleanup func()        // removes the socket file
	turn    chan struct{} // one token: the right to be served; nil for ManyClients
	done    chan struct{} // closed by the first shut
	wg      sync.WaitGroup
	rec     record

	mu       sync.Mutex // guards the fields below; nobody waits while holding it
	handlers map[string]*handler
	clients  []*client // those served or waiting
	conns    int       // connections so far
	running  bool      // the simulated machine is
	begun    bool      // it has ever been running
	over     bool      // the machine has ended: no more clients, and done is closed
	failed   []error   // handlers that did not return
}

// A handler is a command that the machine knows.
type handler struct {
	run    func(context.Context, *Command) (any, error)
	oob    bool    // may be executed out of band
	params []param // what arguments it takes
	any    bool    // takes any arguments instead
	ret    string  // the type of the schema that it returns
}

// A Command is one that a client wants executed, as a handler sees it.
type Command struct {
	Message
	Server *Server

	fds  []int // not yet taken; for the handler's goroutine
	quit bool  // the machine ends behind the reply; likewise
}

// TakeFiles returns the files whose descriptors came with the command. They are
// the caller's to close; those that nobody takes are closed when the handler
// returns. A second call returns none.
func (c *Command) TakeFiles() []*os.File {
	files := socket.Files(c.fds)
	c.fds = nil
	return files
}

// The classes of errors that the machine itself uses.
const (
	GenericError    = "GenericError"
	CommandNotFound = "CommandNotFound"
)

// An Error that a handler returns becomes the error reply. Other errors become
// one of class GenericError.
type Error struct {
	Class string
	Desc  string
}

func (e *Error) Error() string { return e.Class + ": " + e.Desc }

func genericf(format string, args ...any) *Error {
	return &Error{Class: GenericError, Desc: fmt.Sprintf(format, args...)}
}

// NewServer starts a machine; opts may be nil. Close ends it.
func NewServer(opts *Options) (*Server, error) { return newServer(nil, opts) }

func newServer(t testing.TB, opts *Options) (*Server, error) {
	s := &Server{home: here(), t: t, cleanup: func() {}, done: make(chan struct{})}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Version == (Version{}) {
		s.opts.Version = DefaultVersion
	}
	if !s.opts.ManyClients {
		s.turn = make(chan struct{}, 1)
	}
	s.running = !s.opts.Paused
	s.begun = s.running
	s.handlers = machineHandlers()
	if s.opts.Network != Memory {
		var err error
		if s.ln, s.addr, s.cleanup, err = listen(s.opts.Network); err != nil {
			return nil, err
		}
		s.wg.Go(s.accept)
	}
	return s, nil
}

// Start is NewServer for a test: a failure to start fails the test, and the
// server is closed when the test is over, which fails it if a handler has not
// returned.
func Start(t testing.TB, opts *Options) *Server {
	t.Helper()
	s, err := newServer(t, opts)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("%v", err)
		}
	})
	return s
}

// Addr returns where the server listens: a path, or host:port. It is empty for
// Memory. In a bubble of testing/synctest, where a real socket cannot be used,
// it fails the test of Start, and panics for a server made by NewServer.
func (s *Server) Addr() string {
	if s.addr != "" {
		refuseSocket(s.t)
	}
	return s.addr
}

// Done returns a channel that is closed when the machine has ended, by quit or
// by Close.
func (s *Server) Done() <-chan struct{} { return s.done }

// Close ends the machine and its connections, and waits until nothing of them
// is left. It may be called any number of times. The contexts of handlers end;
// a handler that does not return within 10 s is an error, and so is one that
// ended its goroutine, as t.FailNow does, instead of returning.
func (s *Server) Close() error {
	if err := s.home.check("the Server"); err != nil && s.home != "" {
		return err // the runtime does not let it be closed from there
	}
	for _, c := range s.shut() {
		c.abort()
	}
	ended := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(ended)
	}()
	limit := time.NewTimer(closeLimit)
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
		return fmt.Errorf("qmptest: a handler has not returned %v after its context ended%s", closeLimit, s.busy())
	}
	s.cleanup()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.failed...)
}

// shut ends the machine, any number of times, and returns the clients that are
// left. What has been said to them so far is still written.
func (s *Server) shut() []*client {
	s.mu.Lock()
	clients, again := slices.Clone(s.clients), s.over
	s.over = true
	s.mu.Unlock()
	if again {
		return clients
	}
	close(s.done)
	if s.ln != nil {
		s.ln.Close()
	}
	for _, c := range clients {
		c.finish()
	}
	return clients
}

// busy names the handlers at work.
func (s *Server) busy() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names string
	for _, c := range s.clients {
		if name := c.running(); name != "" {
			names += ": " + name
		}
	}
	return names
}

// Handle makes the machine execute the command name by calling run, instead of
// what it did before, if anything. The result is encoded by encoding/json; nil
// becomes an empty object.
//
// The commands of one client are executed one after another, so a run that
// blocks holds up those behind it. Its context ends when the connection or the
// server does.
func (s *Server) Handle(name string, run func(ctx context.Context, cmd *Command) (any, error)) {
	s.handle(name, &handler{run: run, any: true, ret: "any"})
}

// HandleOOB is Handle for a command that may also be executed out of band: at
// once, while those in order wait. Then nothing more is read from this client
// until run returns.
func (s *Server) HandleOOB(name string, run func(ctx context.Context, cmd *Command) (any, error)) {
	s.handle(name, &handler{run: run, oob: true, any: true, ret: "any"})
}

func (s *Server) handle(name string, h *handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers[name] = h
}

// Emit sends an event to all clients that have negotiated, before anything that
// is sent later. data is encoded by encoding/json, to an object; nil leaves it
// out.
func (s *Server) Emit(name string, data any) error {
	if err := s.home.check("the Server"); err != nil {
		return err
	}
	var text []byte
	if data != nil {
		var err error
		if text, err = json.Marshal(data); err != nil {
			return fmt.Errorf("qmptest: event %s: %w", name, err)
		}
		if text[0] != '{' {
			return fmt.Errorf("qmptest: event %s: the data %s is no object", name, shorten(text))
		}
	}
	msg, err := s.encode([]byte(appendEvent(name, string(text))))
	if err != nil {
		return fmt.Errorf("qmptest: event %s: %w", name, err)
	}
	// Under the lock, so that all clients get events in the same order.
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clients {
		c.event(msg)
	}
	return nil
}

// Received returns what clients have sent so far, in the order in which it was
// read.
func (s *Server) Received() []Message {
	return s.rec.sofar()
}

// AwaitReceived waits until done, given all messages so far, returns true, and
// returns them; or until ctx or the server has ended.
func (s *Server) AwaitReceived(ctx context.Context, done func([]Message) bool) ([]Message, error) {
	if err := s.home.check("the Server"); err != nil {
		return nil, err
	}
	ctx, cancel := withDone(ctx, s.done)
	defer cancel()
	return s.rec.await(ctx, done)
}

// Dial returns a new in-memory connection to the server, a Pipe. In a bubble of
// testing/synctest it is an error, unless the server was made in that bubble.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	if err := s.home.check("the Server"); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	size := s.opts.PipeSize
	if size == 0 {
		size = DefaultPipeSize
	}
	near, far := PipeSize(size)
	if !s.serve(far) {
		return nil, near.opError("dial", syscall.ECONNREFUSED)
	}
	return near, nil
}

// DialOut connects to a client that listens at addr, as QEMU does with
// server=off, and serves it. It tries once.
func (s *Server) DialOut(ctx context.Context, addr string) error {
	if err := s.home.check("the Server"); err != nil {
		return err
	}
	conn, err := dialAddr(ctx, addr)
	if err != nil {
		return err
	}
	if !s.serve(conn) {
		return errors.New("qmptest: the server has ended")
	}
	return nil
}

// accept runs in its own goroutine until the listener is closed.
func (s *Server) accept() {
	for {
		conn, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.serve(conn)
	}
}

// serve starts to serve conn, or closes it and returns false if the server has
// ended.
func (s *Server) serve(conn net.Conn) bool {
	c := newClient(s, conn)
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		conn.Close()
		return false
	}
	c.index = s.conns
	s.conns++
	s.clients = append(s.clients, c)
	s.wg.Go(c.serve)
	s.mu.Unlock()
	return true
}

// ended notes that the handler of a command has ended its goroutine.
func (s *Server) ended(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = append(s.failed, fmt.Errorf("qmptest: the handler of %s has ended its goroutine, as t.FailNow and t.Fatal do: call t.Error in a handler, and return an error", name))
}

// refuseSocket ends the caller in a bubble, where t may be nil.
func refuseSocket(t testing.TB) {
	err := noSocketHere()
	if err == nil {
		return
	}
	if t == nil {
		panic(err)
	}
	t.Helper()
	t.Fatalf("%v", err)
}

func (s *Server) forget(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.clients, c); i >= 0 {
		s.clients = slices.Delete(s.clients, i, i+1)
	}
}
