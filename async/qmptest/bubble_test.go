package qmptest

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// These tests hold the errors for use from the wrong bubble (bubble.go), and for
// handlers and steps that end their goroutine. Without these errors such use
// ends in a SIGSEGV, in a fatal error of the runtime, or in a wait until the
// test program's time limit.

const (
	outsideIn  = " was made outside of the testing/synctest bubble that uses it: make it inside the bubble"
	insideOut  = " was made in a testing/synctest bubble and is used outside of it: make it where it is used"
	another    = " was made in another testing/synctest bubble: make it in the one that uses it"
	realSocket = "qmptest: a real socket cannot be used in a testing/synctest bubble"
)

// wantText requires the text of err to end in text.
func wantText(t *testing.T, what string, err error, text string) {
	t.Helper()
	if err == nil || !strings.HasSuffix(err.Error(), text) {
		t.Errorf("%s: %v, want %q", what, err, text)
	}
}

func memoryServer(t *testing.T) *Server {
	t.Helper()
	s, err := NewServer(&Options{Network: Memory})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHome(t *testing.T) {
	if at := here(); at != "" || inBubble() {
		t.Errorf("outside: %q", at)
	}
	var first home
	synctest.Test(t, func(t *testing.T) { first = here() })
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(400 * 24 * time.Hour) // here must not rely on the year 2000, in which a bubble's clock begins
		if second := here(); first == "" || second == "" || first == second || first == "?" || !inBubble() {
			t.Errorf("two bubbles: %q and %q", first, second)
		}
	})
}

// servers are all calls of a Server that wait, or wake a goroutine that waits.
var servers = map[string]func(*Server) error{
	"Dial": func(s *Server) error {
		_, err := s.Dial(context.Background())
		return err
	},
	"DialOut": func(s *Server) error { return s.DialOut(context.Background(), "nowhere") },
	"Emit":    func(s *Server) error { return s.Emit("STOP", nil) },
	"AwaitReceived": func(s *Server) error {
		_, err := s.AwaitReceived(context.Background(), func([]Message) bool { return false })
		return err
	},
}

func TestServerFromOutsideTheBubble(t *testing.T) {
	s := memoryServer(t)
	conn, err := s.Dial(t.Context())
	outside := newPeer(t, conn, err)
	synctest.Test(t, func(t *testing.T) {
		for name, use := range servers {
			wantText(t, name, use(s), "the Server"+outsideIn)
		}
		if got := s.Received(); len(got) != 0 {
			t.Errorf("received %v", got)
		}
	})
	// Outside it still works.
	outside.line()
	outside.send(`{"execute":"qmp_capabilities"}`)
	outside.want(`{"return": {}}`)
	if got := s.Received(); len(got) != 1 {
		t.Errorf("received %v", got)
	}
	synctest.Test(t, func(t *testing.T) {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if got := outside.rest(); got != "" {
		t.Errorf("at the end the client got %q", got)
	}
}

func TestServerFromInsideTheBubble(t *testing.T) {
	var s *Server
	synctest.Test(t, func(t *testing.T) { s = memoryServer(t) })
	for name, use := range servers {
		wantText(t, name, use(s), "the Server"+insideOut)
	}
	wantText(t, "Close", s.Close(), "the Server"+insideOut)
	synctest.Test(t, func(t *testing.T) {
		for name, use := range servers {
			wantText(t, name, use(s), "the Server"+another)
		}
		wantText(t, "Close", s.Close(), "the Server"+another)
	})
}

// Start gets the T of the test that the bubble is in: the cleanup runs outside of
// the bubble.
func TestStartWithAnotherT(t *testing.T) {
	tb := new(fakeTB)
	synctest.Test(t, func(t *testing.T) { Start(tb, &Options{Network: Memory}) })
	if got := tb.end(); got != "qmptest: the Server"+insideOut {
		t.Errorf("%q", got)
	}
}

func TestRealSocketInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, network := range []string{"", Unix, TCP, TCP6} {
			if s, err := NewServer(&Options{Network: network}); s != nil || err == nil || !strings.HasPrefix(err.Error(), realSocket) {
				t.Errorf("NewServer(%q): %v", network, err)
			}
		}
		s := memoryServer(t)
		defer s.Close()
		if err := s.DialOut(t.Context(), "127.0.0.1:1"); err == nil || !strings.HasPrefix(err.Error(), realSocket) {
			t.Errorf("DialOut: %v", err)
		}
		for name, use := range map[string]func(testing.TB){
			"Start":      func(t testing.TB) { Start(t, nil) },
			"Script":     func(t testing.TB) { Script(t) },
			"ScriptTCP":  func(t testing.TB) { ScriptTCP(t) },
			"ScriptConn": func(t testing.TB) { ScriptConn(t) },
			"ScriptDial": func(t testing.TB) { ScriptDial(t, "127.0.0.1:1", Accept()) },
		} {
			tb := new(fakeTB)
			tb.run(func() { use(tb) })
			if got := tb.end(); !strings.Contains(got, realSocket) || strings.Contains(got, "\n") {
				t.Errorf("%s: %q", name, got)
			}
		}
	})
}

// A test that asks for an address or a connection inside a bubble is about to use
// it there.
func TestRealSocketIntoABubble(t *testing.T) {
	tb := new(fakeTB)
	server := Start(tb, nil)
	script := Play(tb, &ScriptOptions{MayStop: true}, Accept())
	pair := Play(tb, &ScriptOptions{MayStop: true, Network: SocketPair}, Accept())
	own, err := NewServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	synctest.Test(t, func(t *testing.T) {
		for name, use := range map[string]func(){
			"Server.Addr": func() { server.Addr() },
			"Player.Addr": func() { script.Addr() },
			"Player.Conn": func() { pair.Conn() },
			"without a T": func() {
				defer func() { tb.Errorf("%v", recover()) }()
				own.Addr()
			},
		} {
			tb.errors = nil
			tb.run(use)
			if got := strings.Join(tb.errors, "\n"); !strings.HasPrefix(got, realSocket) {
				t.Errorf("%s: %q", name, got)
			}
		}
	})
	tb.end()
}

func TestScriptFromOutsideTheBubble(t *testing.T) {
	for name, use := range map[string]func(*Player) error{
		"Dial": func(p *Player) error {
			_, err := p.Dial(context.Background())
			return err
		},
		"AwaitReceived": func(p *Player) error {
			_, err := p.AwaitReceived(context.Background(), func([]Message) bool { return false })
			return err
		},
		"Wait": (*Player).Wait,
		"Mark": func(p *Player) error {
			p.Mark("m")
			return p.failure
		},
		"AwaitMark": func(p *Player) error {
			p.t.(*fakeTB).run(func() { p.AwaitMark("m") })
			return p.failure
		},
	} {
		t.Run(name, func(t *testing.T) {
			tb := new(fakeTB)
			script := Play(tb, &ScriptOptions{Network: Memory}, Greet(), AwaitMark("m"))
			synctest.Test(t, func(t *testing.T) {
				wantText(t, "the first call", use(script), "the script"+outsideIn)
				wantText(t, "the second call", use(script), "the script"+outsideIn)
			})
			// The script has been stopped, so Wait does not last its limit of 10 s.
			wantText(t, "Wait after it", script.Wait(), "the script"+outsideIn)
			if got := tb.end(); got != "qmptest: the script"+outsideIn {
				t.Errorf("the test fails with %q", got)
			}
		})
	}
}

// Play gets the T of the test that the bubble is in: the cleanup runs outside of
// the bubble.
func TestPlayWithAnotherT(t *testing.T) {
	tb := new(fakeTB)
	synctest.Test(t, func(t *testing.T) { Play(tb, &ScriptOptions{Network: Memory}) })
	if got := tb.end(); got != "qmptest: the script"+insideOut {
		t.Errorf("%q", got)
	}
}

func TestPipeFromElsewhere(t *testing.T) {
	use := func(t *testing.T, c *PipeConn, text string) {
		t.Helper()
		_, err := c.Read(make([]byte, 1))
		wantText(t, "Read", err, text)
		_, err = c.Write([]byte("x"))
		wantText(t, "Write", err, text)
		wantText(t, "SetDeadline", c.SetDeadline(time.Now()), text)
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "write" {
			t.Errorf("%#v is not a *net.OpError of a write", err)
		}
	}
	near, far := Pipe()
	synctest.Test(t, func(t *testing.T) {
		use(t, near, "this Pipe"+outsideIn)
		if err := near.Close(); err != nil { // as a deferred call would
			t.Error(err)
		}
	})
	if _, err := far.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
	synctest.Test(t, func(t *testing.T) { near, _ = Pipe() })
	use(t, near, "this Pipe"+insideOut)
	wantText(t, "CloseWrite", near.CloseWrite(), "this Pipe"+insideOut)
	wantText(t, "Reset", near.Reset(), "this Pipe"+insideOut)
	wantText(t, "Close", near.Close(), "this Pipe"+insideOut)
}

// A handler that ends its goroutine ends its connection, and Close returns an
// error that names the handler.
func TestHandlerThatFailsNow(t *testing.T) {
	for _, verb := range []string{"execute", "exec-oob"} {
		t.Run(verb, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tb, other := new(fakeTB), new(fakeTB)
				s := Start(tb, &Options{Network: Memory})
				s.HandleOOB("x", func(context.Context, *Command) (any, error) {
					other.Fatalf("not equal")
					return nil, nil
				})
				conn, err := s.Dial(t.Context())
				p := newPeer(t, conn, err)
				p.line()
				p.send(`{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}`)
				p.line()
				p.send(`{"` + verb + `":"x"}{"execute":"query-name"}`)
				if got := p.rest(); got != "" {
					t.Errorf("the client got %q", got)
				}
				// The next client is served.
				conn, err = s.Dial(t.Context())
				if got := newPeer(t, conn, err).line(); !strings.HasPrefix(got, `{"QMP"`) {
					t.Errorf("the next client got %q", got)
				}
				if got := tb.end(); !strings.HasPrefix(got, "qmptest: the handler of x has ended its goroutine, as t.FailNow and t.Fatal do: ") {
					t.Errorf("the test fails with %q", got)
				}
			})
		})
	}
}

func TestStepThatFailsNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb, other := new(fakeTB), new(fakeTB)
		script := Play(tb, &ScriptOptions{Network: Memory}, Do("check", func(*Peer) error {
			other.Fatalf("not equal")
			return nil
		}), Greet())
		const want = `qmptest: script step 0 of 3, Do("check"): it has ended its goroutine, as t.FailNow and t.Fatal do: return an error in a step`
		wantText(t, "Wait", script.Wait(), want)
		if got := tb.end(); got != want {
			t.Errorf("the test fails with %q", got)
		}
	})
}
