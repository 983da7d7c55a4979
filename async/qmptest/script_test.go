package qmptest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// These tests hold the steps (steps.go, expect.go, peer.go) and the Player
// (script.go, play.go), over Memory connections in a bubble.

// An act is what the client of a script does.
type act func(p *peer, script *Player)

// plays shows of each step what it does, and how it fails. The client hangs up
// after its act.
var plays = []struct {
	name  string
	steps []Step
	act   act
	fails string // a part of the failure's text; empty if the script must not fail
}{
	{"greet", []Step{Greet("oob", "x")}, func(p *peer, _ *Player) {
		p.want(`{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob", "x"]}}`)
	}, ""},
	{"implied end", []Step{Greet()}, func(p *peer, _ *Player) {
		p.line()
		p.send(" \r\n {\"execute\":\"x\"}")
	}, `qmptest: script step 1 of 2, the implied ExpectEOF: got `},
	{
		"forgotten close",
		[]Step{Greet()},
		func(_ *peer, script *Player) { script.Wait() },
		`script step 1 of 2, the implied ExpectEOF: the script's time limit of 1h0m0s passed while the step waited for the client to hang up; a Disconnect or Close is missing: `,
	},

	{"expect", []Step{Expect("a"), Expect("b", `{"x":1,"y":[true,null,"é"]}`), Expect("c", "")}, func(p *peer, _ *Player) {
		p.send(`{"execute":"a","arguments":{}}{"execute":"b","arguments":{ "x" : 1,"y":[true,null,"\u00e9"]}}` + "\n" + `{"execute":"c"}`)
	}, ""},
	{
		"expect another",
		[]Step{Accept(), Expect("a")},
		func(p *peer, _ *Player) { p.send(`{"execute":"b"}`) },
		`qmptest: script step 1 of 3, Expect("a"): want execute "a", got {"execute":"b"}`,
	},
	{
		"expect in band",
		[]Step{Expect("a")},
		func(p *peer, _ *Player) { p.send(`{"exec-oob":"a"}`) },
		`want execute "a", got {"exec-oob":"a"}`,
	},
	{
		"expect arguments",
		[]Step{Expect("a", `{"x":1}`)},
		func(p *peer, _ *Player) { p.send(`{"execute":"a","arguments":{"x":1.0}}`) },
		"script step 0 of 2, Expect(\"a\", `{\"x\":1}`): want arguments `{\"x\":1}`, got {",
	},
	{"expect no arguments", []Step{Expect("a", "")}, func(p *peer, _ *Player) { p.send(`{"execute":"a","arguments":{}}`) }, "want arguments ``"},
	{"expect but hang-up", []Step{Expect("a")}, func(*peer, *Player) {}, `script step 0 of 2, Expect("a"): the client hung up (EOF)`},
	{"expect but garbage", []Step{Expect("a")}, func(p *peer, _ *Player) { p.send(`{"execute":}`) }, `what the client sent is not JSON`},
	{"expect but half", []Step{Expect("a")}, func(p *peer, _ *Player) { p.send(`{"execute":`) }, `what the client sent is cut off`},
	{
		"expect but nothing",
		[]Step{Expect("a")},
		func(_ *peer, script *Player) { script.Wait() },
		`script step 0 of 2, Expect("a"): the script's time limit of 1h0m0s passed while the step waited for a message from the client: `,
	},
	{
		"expect oob",
		[]Step{ExpectOOB("a"), ExpectOOB("b")},
		func(p *peer, _ *Player) { p.send(`{"exec-oob":"a"}{"execute":"b"}`) },
		`script step 1 of 3, ExpectOOB("b"): want exec-oob "b", got {"execute":"b"}`,
	},
	{"expect json", []Step{ExpectJSON(`{"a":[{"b":{}}]}`), ExpectJSON(`{"id":"$id","a":1}`), ExpectJSON(`{"a":1}`), ExpectJSON(`{"id":3}`)}, func(p *peer, _ *Player) {
		p.send(`{"a":[{"b":{}}],"id":1}{"a":1,"id":7}{"a":1}{"id": 3}`)
	}, ""},
	{
		"expect json order",
		[]Step{ExpectJSON(`{"a":1,"b":2}`)},
		func(p *peer, _ *Player) { p.send(`{"b":2,"a":1}`) },
		"ExpectJSON(`{\"a\":1,\"b\":2}`): want {\"a\":1,\"b\":2}, got {\"b\":2,\"a\":1}",
	},
	{"expect json id", []Step{ExpectJSON(`{"a":1,"id":"$id"}`)}, func(p *peer, _ *Player) { p.send(`{"a":1}`) }, "want {"},
	{"expect json length", []Step{ExpectJSON(`{"a":[1,2]}`)}, func(p *peer, _ *Player) { p.send(`{"a":[1]}`) }, "want {"},
	{"expect json element", []Step{ExpectJSON(`{"a":[1,2]}`)}, func(p *peer, _ *Player) { p.send(`{"a":[1,3]}`) }, "want {"},
	{"expect json more", []Step{ExpectJSON(`{"a":"x"}`)}, func(p *peer, _ *Player) { p.send(`{"a":"x","b":1}`) }, "want {"},
	{"expect json text", []Step{ExpectJSON(`{"a":"1"}`)}, func(p *peer, _ *Player) { p.send(`{"a":1}`) }, "want {"},
	{
		"expect raw",
		[]Step{ExpectRaw(`{"a": 1}`), ExpectRaw(`{"a": 1}`)},
		func(p *peer, _ *Player) { p.send("\n" + `{"a": 1} {"a":1}`) },
		"script step 1 of 3, ExpectRaw(`{\"a\": 1}`): want \"{\\\"a\\\": 1}\", got \"{\\\"a\\\":1}\"",
	},
	{
		"expect func",
		[]Step{ExpectFunc("likes it", func(m Message) error {
			if string(m.ID) != "5" {
				return errors.New("wrong id")
			}
			return nil
		}), ExpectFunc("hates it", func(Message) error { return errors.New("never") })},
		func(p *peer, _ *Player) { p.send(`{"id":5}{}`) },
		`script step 1 of 3, ExpectFunc("hates it"): never, got {}`,
	},
	{"expect nothing", []Step{ExpectNothing(time.Second), Mark("quiet"), Expect("a")}, func(p *peer, script *Player) {
		start := time.Now()
		p.send(" \n")
		script.AwaitMark("quiet")
		if d := time.Since(start); d != time.Second {
			p.t.Errorf("quiet for %v", d)
		}
		p.send(`{"execute":"a"}`)
	}, ""},
	{"expect nothing but", []Step{ExpectNothing(time.Second)}, func(p *peer, _ *Player) { p.send(" {") }, `script step 0 of 2, ExpectNothing(1s): got  {`},
	{"expect nothing but end", []Step{ExpectNothing(time.Second)}, func(p *peer, _ *Player) {}, `ExpectNothing(1s): the client hung up (EOF)`},
	{"expect nothing too long", []Step{ExpectNothing(2 * time.Hour)}, func(p *peer, s *Player) { s.Wait() }, `ExpectNothing(2h0m0s): the script's time limit of 1h0m0s passed while the step waited for that time to pass`},
	{"expect nothing read ahead", []Step{Expect("a"), ExpectNothing(time.Second)}, func(p *peer, _ *Player) { p.send(`{"execute":"a"}x`) }, `ExpectNothing(1s): got x`},
	{"expect eof", []Step{ExpectEOF(), Accept(), ExpectEOF()}, func(p *peer, s *Player) {
		p.send("\r\n")
		p.Close()
		q, _ := s.Dial(context.Background())
		q.(*PipeConn).Reset()
	}, ""},

	{"return", []Step{Expect("a"), Return(`{"x":[1,{}]}`)}, func(p *peer, _ *Player) {
		p.send(`{"execute":"a","id":{"k":[1,2]}}`)
		p.want(`{"return": {"x": [1, {}]}, "id": {"k": [1, 2]}}`)
	}, ""},
	{"return without id", []Step{Expect("a"), Return(`{}`)}, func(p *peer, _ *Player) {
		p.send(`{"execute":"a"}`)
		p.want(`{"return": {}}`)
	}, ""},
	{"targets", []Step{
		Expect("a"), Expect("a"), Expect("a"), Return("0", Back(0)), Return("1", Back(1)), Return("2", Oldest()),
		Return("3", NoID()), Return("4", WithID(`"w"`)), ReturnError("C", "d", Back(2)),
	}, func(p *peer, _ *Player) {
		for i := range 3 {
			p.send(fmt.Sprintf(`{"execute":"a","id":%d}`, i))
		}
		p.want(`{"return": 0, "id": 2}`)
		p.want(`{"return": 1, "id": 1}`)
		p.want(`{"return": 2, "id": 0}`)
		p.want(`{"return": 3}`)
		p.want(`{"return": 4, "id": "w"}`)
		p.want(`{"id": 0, "error": {"class": "C", "desc": "d"}}`)
	}, ""},
	{"return to nobody", []Step{Return(`{}`)}, func(p *peer, _ *Player) {}, "script step 0 of 2, Return(`{}`): the client has sent no message that this could answer"},
	{"return not json", []Step{Expect("a"), Return(`{`)}, func(p *peer, _ *Player) { p.send(`{"execute":"a"}`) }, "is not JSON; Send takes anything"},
	{"return two targets", []Step{Return(`{}`, NoID(), NoID())}, func(p *peer, _ *Player) {}, "more than one Target"},
	{"return error to nobody", []Step{ReturnError("C", "d", Oldest())}, func(p *peer, _ *Player) {}, `ReturnError("C", "d"): the client has sent no message`},
	{"reply", []Step{Expect("a"), Expect("b"), Reply(`{"x":"$id","y":$prev_id}`)}, func(p *peer, _ *Player) {
		p.send(`{"execute":"a","id":"one"}{"execute":"b"}`)
		p.want(`{"x": null, "y": "one"}`)
	}, ""},
	{"reply to nobody", []Step{Accept(), Reply(`{"id":"$id"}`)}, func(p *peer, _ *Player) {}, `$id: the client has not sent that many messages`},
	{"event", []Step{Event("STOP", ""), Event("X", `{"a":1}`)}, func(p *peer, _ *Player) {
		p.want(`{"timestamp": {"seconds": 946684800, "microseconds": 0}, "event": "STOP"}`)
		p.want(`{"timestamp": {"seconds": 946684800, "microseconds": 0}, "event": "X", "data": {"a": 1}}`)
	}, ""},
	{"send", []Step{Send("a{\n"), SendBytes([]byte{'b', 0x0a}), SendHex("630a")}, func(p *peer, _ *Player) {
		p.want("a{")
		p.want("b")
		p.want("c")
	}, ""},
	{"send hex", []Step{Accept(), SendHex("6")}, func(*peer, *Player) {}, "script step 1 of 3, SendHex(`6`): encoding/hex: odd length hex string"},
	{"send to nobody", []Step{AwaitMark("gone"), Send("a"), Return("{}", NoID())}, func(p *peer, s *Player) {
		p.Close()
		s.Mark("gone")
	}, ""},
	{
		"send to nobody reading",
		[]Step{SendBytes(make([]byte, 1<<20))},
		func(_ *peer, s *Player) { s.Wait() },
		"SendBytes(1048576 bytes): the script's time limit of 1h0m0s passed while the step waited for the client to read: sending",
	},
	{"split", []Step{Accept(), SplitAt(2, 3), Send("abcdef"), SplitEvery(4), Send("ghijkl"), SplitEvery(0), Send("mno")}, func(p *peer, _ *Player) {
		for _, want := range []string{"ab", "c", "def", "ghij", "klmno"} {
			synctest.Wait()
			b := make([]byte, 10)
			if n, _ := p.Read(b); string(b[:n]) != want {
				p.t.Errorf("got %q, want %q", b[:n], want)
			}
		}
	}, ""},
	{"split and reader gone", []Step{SplitEvery(1), Send("abcdef")}, func(p *peer, _ *Player) { p.Read(make([]byte, 1)) }, ""},
	{"pause", []Step{Pause(time.Minute), Send("a")}, func(p *peer, _ *Player) {
		start := time.Now()
		p.Read(make([]byte, 1))
		if d := time.Since(start); d != time.Minute {
			p.t.Errorf("paused for %v", d)
		}
	}, ""},
	{"pause too long", []Step{Pause(2 * time.Hour)}, func(_ *peer, s *Player) { s.Wait() }, `Pause(2h0m0s): the script's time limit of 1h0m0s passed while the step waited for the end of the pause`},
	{"marks", []Step{Mark("a"), AwaitMark("b"), AwaitMark("b"), Send("c")}, func(p *peer, s *Player) {
		s.AwaitMark("a")
		s.Mark("b")
		s.Mark("b")
		p.Read(make([]byte, 1))
	}, ""},
	{
		"mark never set",
		[]Step{AwaitMark("b")},
		func(_ *peer, s *Player) { s.Wait() },
		`script step 0 of 2, AwaitMark("b"): the script's time limit of 1h0m0s passed while the step waited for the test to call Mark("b")`,
	},
	{"hang up", []Step{Greet(), HangUp(), Accept(), Send("x"), HangUp()}, func(p *peer, s *Player) {
		if got := p.rest(); !strings.HasSuffix(got, "}\r\n") {
			p.t.Errorf("got %q", got)
		}
		q, _ := s.Dial(context.Background())
		if got, err := io.ReadAll(q); string(got) != "x" || err != nil {
			p.t.Errorf("got %q, %v", got, err)
		}
		q.Close()
	}, ""},
	{"step after hang-up", []Step{HangUp(), Expect("a")}, func(*peer, *Player) {}, `script step 1 of 3, Expect("a"): the connection has ended, and no Accept came after it`},
	{"half close", []Step{Send("x"), HalfClose(), Expect("a")}, func(p *peer, _ *Player) {
		if got := p.rest(); got != "x" {
			p.t.Errorf("got %q", got)
		}
		p.send(`{"execute":"a"}`)
	}, ""},
	{"reset", []Step{Expect("a"), Send("x"), Reset()}, func(p *peer, _ *Player) {
		p.send(`{"execute":"a"}`)
		if got := p.rest(); got != "x!read pipe pipe->pipe: "+syscall.ECONNRESET.Error() {
			p.t.Errorf("got %q", got)
		}
	}, ""},
	{"stall", []Step{Stall(), Accept(), HangUp()}, func(p *peer, s *Player) {
		p.send(`{"execute":"a"}` + strings.Repeat("x", 2*DefaultPipeSize))
		p.Close()
		q, _ := s.Dial(context.Background())
		q.Close()
	}, ""},
	{"stall for ever", []Step{Stall()}, func(_ *peer, s *Player) { s.Wait() }, "Stall: the script's time limit of 1h0m0s passed while the step waited for the client to hang up; a Disconnect or Close is missing"},
	{"stop reading", []Step{StopReading()}, func(p *peer, _ *Player) {
		p.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := p.Write(make([]byte, 2*DefaultPipeSize)); n != DefaultPipeSize || !errors.Is(err, os.ErrDeadlineExceeded) {
			p.t.Errorf("wrote %d, %v", n, err)
		}
	}, ""},
	{"stop reading for ever", []Step{StopReading()}, func(_ *peer, s *Player) { s.Wait() }, "StopReading: the script's time limit of 1h0m0s passed"},
	{"accept", []Step{Send("1"), Accept(), Send("2"), HangUp()}, func(p *peer, s *Player) {
		q, _ := s.Dial(context.Background())
		b := make([]byte, 1)
		if q.Read(b); b[0] != '2' {
			p.t.Errorf("second got %q", b)
		}
		if p.Read(b); b[0] != '1' {
			p.t.Errorf("first got %q", b)
		}
		q.Close()
	}, ""},
	{"accept nobody", []Step{Accept(), Accept()}, func(_ *peer, s *Player) { s.Wait() }, "script step 1 of 3, Accept: the script's time limit of 1h0m0s passed while the step waited for a client to connect"},
	{"do", []Step{Expect("a"), Do("answer", func(s *Peer) error {
		m, _ := s.Last(0)
		if _, ok := s.Last(1); ok || s.Context().Err() != nil {
			return errors.New("Last or Context is wrong")
		}
		if err := s.Write([]byte(m.Name + "\n")); err != nil {
			return err
		}
		m, err := s.Next()
		if err != nil {
			return err
		}
		return errors.New("no " + m.Name)
	})}, func(p *peer, _ *Player) {
		p.send(`{"execute":"a"}{"execute":"b"}`)
		p.want("a")
	}, `script step 1 of 3, Do("answer"): no b`},
	{"dial fails", []Step{Accept(), DialFails()}, func(*peer, *Player) {}, "DialFails: this script does not dial"},
	{"no descriptors", []Step{ExpectFDs(1, " ")}, func(p *peer, _ *Player) { p.send("x") }, `ExpectFDs(1, " "): want file descriptors, got only x`},
	{"no descriptors but end", []Step{ExpectFDs(1, " ")}, func(*peer, *Player) {}, `ExpectFDs(1, " "): the client hung up (EOF)`},
	{"no descriptors with it", []Step{ExpectWithFDs("a", 1)}, func(p *peer, _ *Player) { p.send(`{"execute":"a"}`) }, `ExpectWithFDs("a", 1): want 1 file descriptors with it, got 0`},
	{"another with descriptors", []Step{ExpectWithFDs("a", 1)}, func(p *peer, _ *Player) { p.send(`{"execute":"b"}`) }, `ExpectWithFDs("a", 1): want execute "a", got`},
}

func TestSteps(t *testing.T) {
	for _, tt := range plays {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tb := &fakeTB{}
				script := Play(tb, &ScriptOptions{Network: Memory}, tt.steps...)
				conn, err := script.Dial(t.Context())
				p := newPeer(t, conn, err)
				tt.act(p, script)
				p.Close()
				got := tb.end()
				switch {
				case tt.fails == "" && got != "":
					t.Errorf("the script failed: %s", got)
				case !strings.Contains(got, tt.fails):
					t.Errorf("the script failed with\n%s\nwant\n%s", got, tt.fails)
				}
				if err := script.Wait(); (err == nil) != (tt.fails == "") {
					t.Errorf("Wait: %v", err)
				}
				if at, of := script.Step(); (at == of) != (tt.fails == "") {
					t.Errorf("Step: %d of %d", at, of)
				}
			})
		})
	}
}

func TestStepNames(t *testing.T) {
	for want, step := range map[string]Step{
		`Greet("oob", "x")`: Greet("oob", "x"),
		"Send(`a`)":         Send("a"),
		`Send("a\r\n")`:     Send("a\r\n"),
		"Send(`" + strings.Repeat("x", 60) + "...`)": Send(strings.Repeat("x", 100)),
		`ReturnError("C", "d")`:                      ReturnError("C", "d"),
	} {
		if got := step.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A test that has failed already does not wait for its script, and the script
// reports nothing more. A script that may stop does not fail its test.
func TestStoppedAtTheTestsEnd(t *testing.T) {
	for name, opts := range map[string]*ScriptOptions{
		"may stop": {Network: Memory, MayStop: true},
		"failed":   {Network: Memory},
		"limit":    {Network: Memory, MayStop: true, Limit: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tb := &fakeTB{}
				script := Play(tb, opts, Expect("a"))
				want := ""
				if name == "failed" {
					tb.Errorf("some failure")
					want = "some failure"
				}
				if name == "limit" {
					script.Wait()
				}
				start := time.Now()
				if got := tb.end(); got != want || time.Since(start) != 0 {
					t.Errorf("got %q after %v", got, time.Since(start))
				}
				_, err := script.Dial(t.Context())
				wantErr(t, err, syscall.ECONNREFUSED)
			})
		})
	}
}

func TestAwaitMarkWithoutMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := &fakeTB{}
		script := Play(tb, &ScriptOptions{Network: Memory}, Expect("a"))
		conn, _ := script.Dial(t.Context())
		conn.Close()
		tb.run(func() { script.AwaitMark("m") })
		if got := tb.end(); !strings.HasSuffix(got, `qmptest: the script has ended without Mark("m")`) {
			t.Error(got)
		}
	})
}

// Outside of a bubble the default limit is DefaultLimit.
func TestDefaultLimit(t *testing.T) {
	if d := defaultLimit(); d != DefaultLimit {
		t.Errorf("%v", d)
	}
}

func TestStepThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := &fakeTB{}
		stuck := make(chan struct{})
		Play(tb, &ScriptOptions{Network: Memory}, Do("hang", func(*Peer) error {
			<-stuck
			return errors.New("too late for the test")
		}))
		got := tb.end()
		close(stuck)
		synctest.Wait()
		if again := strings.Join(tb.errors, "\n"); again != got {
			t.Errorf("after the test's end the script failed once more: %s", again)
		}
		if want := `qmptest: script step 0 of 2, Do("hang"): the step has not returned 5 s after the script's time limit`; !strings.HasPrefix(got, want) {
			t.Errorf("got %s", got)
		}
	})
}

func TestScriptReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := Play(t, &ScriptOptions{Network: Memory, PipeSize: 100}, Expect("a"), Accept(), Expect("b"), AwaitMark("go"), Expect("c"))
		for _, text := range []string{`{"execute":"a","id":1}`, ` {"execute":"b","arguments":{}}{"execute":"c"}`} {
			conn, err := script.Dial(t.Context())
			newPeer(t, conn, err).send(text)
		}
		synctest.Wait()
		if msgs := script.Received(); len(msgs) != 2 || msgs[0].Conn != 0 || string(msgs[0].ID) != "1" || msgs[1].Conn != 1 ||
			msgs[1].String() != `{"execute":"b","arguments":{}}` || string(msgs[1].Arguments) != "{}" || msgs[1].ID != nil {
			t.Errorf("received %v", msgs)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		three := func(m []Message) bool { return len(m) == 3 }
		if _, err := script.AwaitReceived(ctx, three); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("AwaitReceived: %v", err)
		}
		script.Mark("go")
		if _, err := script.AwaitReceived(t.Context(), three); err != nil {
			t.Errorf("AwaitReceived: %v", err)
		}
	})
}

func TestScriptEndsAwaitReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := Play(t, &ScriptOptions{Network: Memory}, HangUp())
		go script.Dial(t.Context())
		_, err := script.AwaitReceived(t.Context(), func([]Message) bool { return false })
		if err == nil || !strings.Contains(err.Error(), "the server or script has ended") {
			t.Errorf("AwaitReceived: %v", err)
		}
	})
}

func TestPrettyScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := Play(t, &ScriptOptions{Network: Memory, Pretty: true, LineEnd: LF}, Reply(`{"a":{},"b":[],"c":[1,{"d":"{,:}\""}]}`), HangUp())
		conn, err := script.Dial(t.Context())
		want := "{\n    \"a\": {\n    },\n    \"b\": [\n    ],\n    \"c\": [\n        1,\n        {\n            \"d\": \"{,:}\\\"\"\n        }\n    ]\n}\n"
		if got := newPeer(t, conn, err).rest(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
