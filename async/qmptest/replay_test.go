package qmptest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async/record"
)

// twoSessions is a recording of an agent's client: there is no handshake.
const twoSessions = `{"qmp-recording":1,"masked":true}
{"session":1,"connected":{"address":"x"}}
{"session":1,"sent":{"execute":"a","id":1}}
{"t":7,"session":1,"received":{"return":{"n":1},"id":1}}
{"t":7200,"session":1,"received":{"event":"E"}}
{"t":7200,"session":1,"ended":{"cause":"eof","error":"EOF"}}
{"t":7201,"session":2,"connected":{"address":"x"}}
{"t":7201,"session":2,"sent":{"execute":"b","id":2}}
{"t":7201,"session":2,"ended":{"cause":"client"}}
{"complete":true}
`

func loadRecording(t *testing.T, text string) *record.Recording {
	t.Helper()
	rec, err := record.Load(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// playBoth is a client that does what the recorded one did.
func playBoth(t *testing.T, p *Player, newConn func() *peer) {
	first := newConn()
	first.send(`{"execute":"a","id":"mine"}`)
	first.want(`{"return": {"n": 1}, "id": "mine"}`)
	first.want(`{"event": "E"}`)
	if rest := first.rest(); rest != "" {
		t.Errorf("after the event came %q", rest)
	}
	first.Close()
	second := newConn()
	second.send(`{"execute":"b"}`)
	second.Close()
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	got := p.Received()
	if len(got) != 2 || got[0].Conn != 0 || got[0].Name != "a" || got[1].Conn != 1 || got[1].Name != "b" {
		t.Errorf("Received: %v", got)
	}
}

func TestReplayInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Replay(t, nil, loadRecording(t, twoSessions))
		began := time.Now()
		playBoth(t, p, func() *peer {
			conn, err := p.Dial(t.Context())
			return newPeer(t, conn, err)
		})
		if took := time.Since(began); took != 7200*time.Second {
			t.Errorf("it took %v, want the two hours of the recording", took)
		}
		if _, err := p.Dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a third session: %v, want that it is refused", err)
		}
	})
}

func TestReplayOverSockets(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"", TCP, Memory} {
		p := Replay(t, &ReplayOptions{Network: network, NoDelays: true}, loadRecording(t, twoSessions))
		playBoth(t, p, func() *peer {
			conn, err := p.Dial(t.Context())
			return newPeer(t, conn, err)
		})
	}
}

// A client that listens is played by a server that connects to it.
func TestReplayToAListener(t *testing.T) {
	t.Parallel()
	ln, addr, cleanup, err := listen(Unix)
	if err != nil {
		t.Fatal(err)
	}
	defer cleanup()
	defer ln.Close()
	p := Replay(t, &ReplayOptions{DialTo: addr, NoDelays: true}, loadRecording(t, twoSessions))
	playBoth(t, p, func() *peer {
		conn, err := ln.Accept()
		return newPeer(t, conn, err)
	})
}

// How a test fails whose client differs from the recording.
func TestReplayFails(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts *ReplayOptions
		act  act
		want string // a part of the failure; "" for none
	}{
		{"another command", nil, func(p *peer, _ *Player) {
			p.send(`{"execute":"z","id":1}`)
			p.rest()
		}, "qmptest: script step 1 of 5, session 1 of 2 of the recording: the client differs from the recording at line 3: execute is \"z\", not \"a\"\n  recorded: {\"execute\":\"a\",\"id\":1}\n  sent:     {\"execute\":\"z\",\"id\":1}"},
		{
			"nothing", &ReplayOptions{Limit: time.Second}, func(_ *peer, script *Player) { script.Wait() },
			`script step 1 of 5, session 1 of 2 of the recording: the script's time limit of 1s passed while the step waited for the client: recording at line 3: waiting for the client to send {"execute":"a","id":1}`,
		},
		{"only one session", &ReplayOptions{NoDelays: true}, func(p *peer, _ *Player) {
			p.send(`{"execute":"a","id":1}`)
			p.rest()
		}, "step 2 of 5, Accept"},
		{"the same, and it may stop", &ReplayOptions{NoDelays: true, MayStop: true}, func(p *peer, _ *Player) {
			p.send(`{"execute":"a","id":1}`)
			p.rest()
		}, ""},
		{"hangs up early, and may", &ReplayOptions{MayStop: true}, func(*peer, *Player) {}, ""},
		{"hangs up early", nil, func(*peer, *Player) {}, "at line 3: the client hung up"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var fake fakeTB
				fake.run(func() {
					p := Replay(&fake, tt.opts, loadRecording(t, twoSessions))
					conn, err := p.Dial(t.Context())
					c := newPeer(t, conn, err)
					tt.act(c, p)
					c.Close()
				})
				if got := fake.end(); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
					t.Errorf("the failures are\n%s\nwant\n%s", got, tt.want)
				}
			})
		})
	}
}

// What cannot be played fails the test at once.
func TestReplayFile(t *testing.T) {
	dir := t.TempDir()
	for want, text := range map[string]string{
		"": twoSessions,
		"line 6: the recording is cut off inside this line: unexpected EOF\nto play what is there": twoSessions[:250],
		"not a recording":                 "x\n",
		"the recording has no connection": "{\"qmp-recording\":1}\n{\"complete\":true}\n",
	} {
		path := filepath.Join(dir, "r")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			var fake fakeTB
			fake.run(func() { ReplayFile(&fake, &ReplayOptions{MayStop: true}, path) })
			if got := fake.end(); want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("the failures are\n%s\nwant\n%s", got, want)
			}
		})
	}
}
