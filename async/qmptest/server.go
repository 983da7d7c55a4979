package qmptest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
	cleanup func()        // removes the socket's file
	turn    chan struct{} // full while a client is being served; nil for ManyClients
	done    chan struct{} // closed by the first call of shut
	wg      sync.WaitGroup
	rec     history

	mu       sync.Mutex // guards the fields below; nobody waits while holding it
	handlers map[string]*handler
	clients  []*client // being served, or waiting to be
	conns    int       // how many connections there have been
	running  bool      // the simulated machine is running
	begun    bool      // the simulated machine has been running at some time
	over     bool      // the server has ended: it takes no more clients, and done is closed
	failed   []error   // one for each handler that ended its goroutine
}

// A handler is a command that the machine knows.
type handler struct {
	run    func(context.Context, *Command) (any, error)
	oob    bool    // may be executed out of band
	params []param // the arguments that it takes
	any    bool    // it takes any arguments; params is not used
	ret    string  // the name of its result's type in the schema
}

// A Command is the command that a handler is to execute. It is for the handler's
// goroutine until the handler returns.
type Command struct {
	Message
	Server *Server // the server that received it

	fds  []int // not yet taken by TakeFiles
	quit bool  // set by the handler: the machine ends after the reply
}

// TakeFiles returns the files whose descriptors came with the command. The caller
// closes them. The server closes files that the handler has not taken by the
// time it returns. A second call returns none.
func (c *Command) TakeFiles() []*os.File {
	files := socket.Files(c.fds)
	c.fds = nil
	return files
}

// The classes of the errors that the machine's own commands return.
const (
	GenericError    = "GenericError"
	CommandNotFound = "CommandNotFound"
)

// An Error is what a handler returns to choose the class of the error reply. Any
// other error becomes a reply of class GenericError.
type Error struct {
	Class string // such as GenericError
	Desc  string // the text for people
}

// Error returns the class and the text.
func (e *Error) Error() string { return e.Class + ": " + e.Desc }

func genericf(format string, args ...any) *Error {
	return &Error{Class: GenericError, Desc: fmt.Sprintf(format, args...)}
}

// NewServer starts a machine. opts may be nil. Close ends it.
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
	if s.opts.NoGreeting {
		maps.Copy(s.handlers, agentHandlers())
	}
	if s.opts.Network != Memory {
		var err error
		if s.ln, s.addr, s.cleanup, err = listen(s.opts.Network); err != nil {
			return nil, err
		}
		s.wg.Go(s.accept)
	}
	return s, nil
}

// Start is NewServer for a test. If the server cannot be started, the test fails.
// When the test is over, Start closes the server, and fails the test if Close
// returns an error.
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

// Addr returns the address at which the server listens: a path, or host:port. It
// is empty for Memory. A real socket cannot be used in a bubble of
// testing/synctest: there Addr fails the test that was given to Start, and panics
// if the server was made by NewServer.
func (s *Server) Addr() string {
	if s.addr != "" {
		refuseSocket(s.t)
	}
	return s.addr
}

// Done returns a channel that is closed when the machine has ended: after the
// command quit, or in Close.
func (s *Server) Done() <-chan struct{} { return s.done }

// Close ends the machine, its connections, and the contexts of its handlers. It
// waits until the handlers have returned and no goroutine of the server is left,
// at most 10 s. It may be called any number of times. The error says which
// handler did not return in time, or ended its goroutine, as t.FailNow does.
func (s *Server) Close() error {
	if err := s.home.check("the Server"); err != nil && s.home != "" {
		return err // the runtime ends a program that closes a bubble's channel from outside
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

// shut ends the machine, and returns the clients that are left. What has been
// sent to them so far is still written. It may be called any number of times.
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

// busy names the in-band commands being executed.
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

// Handle makes the machine execute the command name by calling run. It replaces
// an earlier handler of that name, and a command that the machine knows by
// itself. encoding/json encodes the result; nil becomes an empty object. If the
// result cannot be encoded, the client gets an error reply that says so.
//
// The commands of one client are executed one after another, so while run waits,
// the later ones wait, too. The context of run ends when the connection or the
// server ends.
func (s *Server) Handle(name string, run func(ctx context.Context, cmd *Command) (any, error)) {
	s.handle(name, &handler{run: run, any: true, ret: "any"})
}

// HandleOOB is Handle for a command that may also be executed out of band. Then it
// does not wait for the commands before it, and the server reads nothing more
// from this client until run returns.
func (s *Server) HandleOOB(name string, run func(ctx context.Context, cmd *Command) (any, error)) {
	s.handle(name, &handler{run: run, oob: true, any: true, ret: "any"})
}

func (s *Server) handle(name string, h *handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers[name] = h
}

// Emit queues an event for all clients that have negotiated. They get it before
// everything that the server sends to them later. encoding/json encodes data,
// which must become an object; nil makes an event without data.
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
			return fmt.Errorf("qmptest: event %s: the data %s is not an object", name, shorten(text))
		}
	}
	msg, err := s.encode([]byte(appendEvent(name, string(text))))
	if err != nil {
		return fmt.Errorf("qmptest: event %s: %w", name, err)
	}
	// The lock makes all clients get events in the same order.
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clients {
		c.event(msg)
	}
	return nil
}

// Received returns the messages that clients have sent so far, in the order in
// which the server read them.
func (s *Server) Received() []Message {
	return s.rec.sofar()
}

// AwaitReceived calls done with all messages so far, and again after each new
// one, until done returns true. It returns these messages. If ctx or the server
// ends first, it returns the messages so far and an error. If ctx has ended, the
// error matches its cause.
func (s *Server) AwaitReceived(ctx context.Context, done func([]Message) bool) ([]Message, error) {
	if err := s.home.check("the Server"); err != nil {
		return nil, err
	}
	ctx, cancel := withDone(ctx, s.done)
	defer cancel()
	return s.rec.await(ctx, done)
}

// Dial makes a Pipe and returns the client's end of it. In a bubble of
// testing/synctest other than the one in which the server was made, it returns
// an error.
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
// server=off, and serves it. It makes one attempt, and returns as soon as that
// has succeeded or failed.
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

// accept serves each client that connects, until the listener is closed. It runs
// in its own goroutine.
func (s *Server) accept() {
	for {
		conn, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.serve(conn)
	}
}

// serve starts to serve conn. If the server has ended, it closes conn and returns
// false.
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

// refuseSocket does nothing outside of a bubble. In a bubble it fails the test, or
// panics if t is nil.
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

// forget removes c from the clients of the server.
func (s *Server) forget(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.clients, c); i >= 0 {
		s.clients = slices.Delete(s.clients, i, i+1)
	}
}
