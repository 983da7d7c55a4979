// Package interactive is the shell for people: it reads commands, executes them in the
// background, and prints events, notices and replies as they come.
//
//	sh := interactive.New(opts)
//	sh.Configure(engine)      // the options of the client that is made next
//	client := async.New(engine)
//	sh.Attach(client)         // before it connects, so that no event is missed
//	err := client.Connect(ctx, addr)
//	...
//	err = sh.Run(ctx)
//
// One goroutine owns the state of a shell. Everything else posts functions to its mailbox:
// what is typed, replies, events, and changes of the connection.
package interactive

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/notices"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/terminal"
)

// Options configures a Shell.
type Options struct {
	In, Out *os.File
	Environ []string // nil is os.Environ

	HMP     bool // lines are those of the human monitor
	Pretty  bool // every result on several lines; otherwise only one that is wider than the screen
	Raw     bool // a result that is a text is printed without quotes
	Verbose bool // print what goes over the wire
	Color   bool

	// Agent says that the server is a guest agent, or another one that has neither a
	// greeting nor a state. It is not asked for its state.
	Agent bool

	// Once says that the shell leaves when the connection has ended: its machine has ended
	// with it. Otherwise it connects again.
	Once bool

	// History is the path of the file with the lines of before; "" keeps none.
	History string
}

// A Shell is one session of a person. New makes one.
type Shell struct {
	opts    Options
	box     *mailbox
	printer output.Printer
	style   style
	tracer  *async.Tracer
	ui      terminal.UI
	history *terminal.History
	note    string // what was wrong with the history

	client   *async.Client
	caller   async.Caller // the client, for the shell's own questions
	events   *async.EventListener
	states   *async.RunstateWatcher
	lang     language
	drained  atomic.Bool // a drain of events is in the mailbox
	met      atomic.Bool // the first connection was made
	ctx      context.Context
	tasks    sync.WaitGroup // questions and commands
	interval time.Duration  // between two looks at jobs

	// What follows belongs to the goroutine of Run.

	connected bool
	lost      time.Time // when the connection was lost
	cause     error     // why
	name      string    // of the machine
	board     notices.Board
	asking    bool // the board's wishes are being asked
	ticking   bool // a tick is under way
	filter    filter
	ring      []async.Event // the last events, oldest first
	running   []*running    // commands without a reply, oldest first
	entered   int           // counts lines
	leaving   bool
	quit      bool // the last line was quit, and was not sent
	verbose   bool
}

// New returns a Shell.
func New(opts Options) *Shell {
	s := &Shell{opts: opts, box: newMailbox(), interval: 500 * time.Millisecond, style: style{opts.Color}}
	s.verbose = opts.Verbose
	s.filter = usualEvents()
	s.name = "QEMU"
	if opts.Agent {
		s.name = "guest agent"
	}
	s.printer = output.Printer{Color: opts.Color, Safe: true, Raw: opts.Raw}
	s.tracer = s.newTracer()
	return s
}

// Configure sets what the shell needs in the options of its client: it connects again by
// itself, unless Once is set, and it is watched for the option Verbose. A Backoff that is
// set decides about the first connection; without one, the client dials once.
func (s *Shell) Configure(o *async.Options) {
	o.Tracers = append(o.Tracers, s.tracer)
	if s.opts.Once {
		return
	}
	if o.Reconnect == nil {
		o.Reconnect = &async.Reconnect{}
	}
	if first := o.Backoff; first == nil {
		o.Backoff = func() async.Backoff { return &again{Backoff: async.Exponential()(), met: &s.met} }
	}
}

// again is a policy that gives up before the first connection.
type again struct {
	async.Backoff
	met *atomic.Bool
}

func (a *again) NextBackOff() time.Duration {
	if !a.met.Load() {
		return -1
	}
	return a.Backoff.NextBackOff()
}

// Attach takes the client. Call it before the client connects.
func (s *Shell) Attach(c *async.Client) {
	s.client = c
	s.caller = ownCaller{c}
	s.events = c.NewListener(&async.ListenerOptions{Limit: mostUnread, Notify: s.heard})
	s.states = c.WatchRunstate()
}

// mostUnread is how many events may wait to be printed. It takes a flood to have more.
const mostUnread = 5000

// Run is the session: it returns when the person leaves, or when ctx ends. The client is
// connected, and is left so. The error says why the terminal cannot be used; or with Once,
// why the connection has ended, if it was not orderly.
func (s *Shell) Run(ctx context.Context) error {
	s.met.Store(true)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.ctx = ctx
	defer s.events.Close()
	defer s.states.Close()

	history, err := terminal.OpenHistory(s.opts.History)
	if err != nil {
		s.note = err.Error()
	}
	s.history = history
	s.lang = s.newLanguage()
	s.ui = terminal.New(terminal.Options{
		In: s.opts.In, Out: s.opts.Out, Environ: s.opts.Environ, Color: s.opts.Color,
		Prompt:     s.prompt(),
		Handle:     func(in terminal.Input) { s.box.post(func() { s.input(in) }) },
		Complete:   s.complete,
		Incomplete: s.lang.incomplete,
		History:    history,
	})
	s.box.post(s.begin) // before anything that is typed, and any change of the connection
	ended := make(chan error, 1)
	go func() { ended <- s.ui.Run(ctx) }()

	s.tasks.Go(func() { // ends with ctx
		for t := range s.states.All(ctx) {
			s.box.post(func() { s.transition(t) })
		}
	})
	for {
		select {
		case <-s.box.filled:
			for _, f := range s.box.take() {
				f()
			}
		case err := <-ended:
			cancel()
			s.tasks.Wait()
			if err == nil && s.opts.Once && s.cause != nil && !async.HungUp(s.cause) {
				err = s.cause
			}
			return err
		}
	}
}

// begin says hello.
func (s *Shell) begin() {
	if s.note != "" {
		s.say(notices.Notice{Text: s.note, Bad: true})
	}
	text := "Connected to " + s.server() + "."
	if s.opts.Agent {
		text = "Connected to the server."
	}
	s.ui.Print(text + " " + s.style.dim("Tab completes, help explains, Ctrl-D leaves."))
	s.begun()
}

// server returns the server's version, for people.
func (s *Shell) server() string {
	if g := s.client.Greeting(); g != nil {
		return "QEMU " + versionText(g)
	}
	return "the server"
}

// leave ends the session. Commands that run are given up first, and the shell says so.
func (s *Shell) leave() {
	s.leaving = true
	for _, r := range s.running {
		r.cancel()
	}
	s.leaveIfIdle()
}

func (s *Shell) leaveIfIdle() {
	if s.leaving && len(s.running) == 0 {
		s.ui.Close()
	}
}
