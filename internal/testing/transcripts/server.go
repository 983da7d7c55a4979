package transcripts

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/goqmp/qmp/async/qmptest"
)

// A script plays the server's steps of a scenario.
type script struct {
	scenario *Scenario
	form     Form
	tcp      bool          // the connections are TCP, so that a reset is possible at any time
	over     chan struct{} // closed when the client has made its calls

	mu       sync.Mutex // guards the field below, which the goroutine of the calls reads
	progress progress

	answers answering // only the goroutine that plays the script uses it
}

// progress is what a script has done so far that a client which reads all the time
// will notice.
type progress struct {
	events int  // how many events were sent
	ended  bool // the client will end the latest connection, or has
}

func (s *script) done() progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progress
}

// note updates progress.
func (s *script) note(ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress = progress{events: s.answers.events, ended: ended || s.answers.spoiled}
}

// steps returns the script for qmptest.
func (s *script) steps() ([]qmptest.Step, error) {
	var steps []qmptest.Step
	for i, step := range s.scenario.Server {
		played, err := s.step(fmt.Sprintf("step %d, %s", i, step.Name), step)
		if err != nil {
			return nil, fmt.Errorf("step %d of the server, %s: %w", i, step.Name, err)
		}
		steps = append(steps, played...)
	}
	// The listening socket and the connection stay open until the client has made
	// its last call, as they did in the recording.
	return append(steps, qmptest.Do("wait for the client's last call", func(p *qmptest.Peer) error {
		select {
		case <-s.over:
			return nil
		case <-p.Context().Done():
			return p.Context().Err()
		}
	})), nil
}

func (s *script) step(name string, step Step) ([]qmptest.Step, error) {
	do := func(play func(*qmptest.Peer) error) []qmptest.Step {
		return []qmptest.Step{qmptest.Do(name, play)}
	}
	send := func(text []byte) []qmptest.Step {
		return do(func(p *qmptest.Peer) error { return s.send(p, text) })
	}
	// ending is a step after which the client's connection ends.
	ending := func(step qmptest.Step) []qmptest.Step {
		return append([]qmptest.Step{step}, do(func(*qmptest.Peer) error {
			s.note(true)
			return nil
		})...)
	}
	switch step.Name {
	case "accept", "dial":
		return append([]qmptest.Step{qmptest.Accept()}, do(func(*qmptest.Peer) error {
			s.answers.connected()
			s.note(false)
			return nil
		})...), nil
	case "expect_dial_fails":
		return []qmptest.Step{qmptest.DialFails()}, nil
	case "send":
		return send([]byte(Text(step.Arg) + "\r\n")), nil
	case "send_raw":
		text, err := joined(step.Arg)
		return send([]byte(text)), err
	case "send_hex":
		digits, _ := step.Arg.(string)
		b, err := hex.DecodeString(digits)
		return send(b), err
	case "expect":
		return do(func(p *qmptest.Peer) error { return s.expect(p, step.Arg) }), nil
	case "expect_raw":
		text, ok := step.Arg.(string)
		if !ok {
			return nil, errors.New("not a text")
		}
		return do(func(p *qmptest.Peer) error { return s.expectRaw(p, text) }), nil
	case "expect_fd":
		return expectFDs(step.Arg)
	case "expect_nothing_ms":
		d, err := milliseconds(step.Arg)
		return []qmptest.Step{qmptest.ExpectNothing(d)}, err
	case "expect_eof":
		return []qmptest.Step{qmptest.ExpectEOF()}, nil
	case "sleep_ms":
		d, err := milliseconds(step.Arg)
		return []qmptest.Step{qmptest.Pause(d)}, err
	case "mark", "await_mark":
		mark, ok := step.Arg.(string)
		if !ok {
			return nil, errors.New("not a text")
		}
		if step.Name == "mark" {
			return []qmptest.Step{qmptest.Mark("server " + mark)}, nil
		}
		return []qmptest.Step{qmptest.AwaitMark("client " + mark)}, nil
	case "close":
		return ending(qmptest.HangUp()), nil
	case "half_close":
		return ending(qmptest.HalfClose()), nil
	case "reset":
		if !s.tcp {
			return ending(qmptest.HangUp()), nil // the recording closed the socket here, too
		}
		return ending(qmptest.Reset()), nil
	}
	return nil, errors.New("no such step")
}

func milliseconds(v any) (time.Duration, error) {
	n, err := count(v)
	return time.Duration(n) * time.Millisecond, err
}

// joined returns v, which is a text, or a list of texts to be joined.
func joined(v any) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	list, ok := v.([]any)
	if !ok {
		return "", errors.New("neither a text nor a list of texts")
	}
	var b strings.Builder
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			return "", fmt.Errorf("%s is not a text", Text(e))
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

func expectFDs(arg any) ([]qmptest.Step, error) {
	o, _ := arg.(Object)
	n, data := 1, " "
	for _, m := range o {
		switch m.Name {
		case "fds":
			var err error
			if n, err = count(m.Value); err != nil {
				return nil, err
			}
		case "data":
			s, ok := m.Value.(string)
			if !ok {
				return nil, errors.New("data is not a text")
			}
			data = s
		default:
			return nil, fmt.Errorf("unknown member %s", m.Name)
		}
	}
	return []qmptest.Step{qmptest.ExpectFDs(n, data)}, nil
}

// send sends text. It fills in the ids that text refers to, and those that its
// replies lack.
func (s *script) send(p *qmptest.Peer, text []byte) error {
	for back, name := range []string{`"$id"`, `"$prev_id"`} {
		m, ok := p.Last(back)
		if !ok || m.ID == nil {
			m.ID = []byte("null")
		}
		text = replaceAll(text, name, string(m.ID))
	}
	for literal, id := range s.answers.literals {
		text = replaceAll(text, `"`+literal+`"`, id)
	}
	err := p.Write(s.answers.answer(text))
	s.note(s.done().ended)
	return err
}

// replaceAll is bytes.ReplaceAll, but makes no copy if there is nothing to replace,
// because some messages are large.
func replaceAll(text []byte, name, by string) []byte {
	if !bytes.Contains(text, []byte(name)) {
		return text
	}
	return bytes.ReplaceAll(text, []byte(name), []byte(by))
}

// expect waits for a message that equals want. If want is nil, it may be any.
func (s *script) expect(p *qmptest.Peer, want any) error {
	m, err := p.Next()
	if err != nil {
		return err
	}
	v, err := Parse(m.Raw)
	if err != nil {
		return err
	}
	got := v.(Object) // Next returns only objects
	o, ok := want.(Object)
	if !ok {
		if want != nil {
			return fmt.Errorf("got %s, want %s", shorten(string(m.Raw)), shorten(Text(want)))
		}
		id, _ := got.Get("id")
		s.answers.received(m.Name, Compact(id), nil)
		return nil
	}
	id, recorded, err := s.id(got, o)
	if err != nil {
		return err
	}
	s.answers.received(m.Name, id, recorded)
	if _, own := recorded.(string); !own || isAutomatic(recorded.(string)) {
		// The id that this library makes is the last member, as in the recording.
		if last := got[len(got)-1].Name; last != "id" {
			return fmt.Errorf("the last member is %q, not the id: %s", last, shorten(string(m.Raw)))
		}
		got, o = got.Without("id"), o.Without("id")
	}
	return SameWire(o, got, s.form != Map, s.form == Raw)
}

// id requires that a message has an id: the caller's own, or an integer that this
// library made. It returns it as JSON, and the id of the recorded message, nil if
// that has none.
func (s *script) id(got, want Object) (id string, recorded any, err error) {
	v, ok := got.Get("id")
	if !ok {
		return "", nil, errors.New("the message has no id")
	}
	recorded, _ = want.Get("id")
	if r, ok := recorded.(string); ok && !isAutomatic(r) {
		return Compact(v), recorded, nil
	}
	if n, ok := v.(Number); !ok || !n.IsInteger() {
		return "", nil, fmt.Errorf("the id is %s, not an integer", Text(v))
	}
	return Compact(v), recorded, nil
}

// expectRaw waits for a message and compares it with want. If the call's arguments
// are raw JSON, which the library does not change, all bytes except the id must be
// equal. Otherwise the values must be equal.
func (s *script) expectRaw(p *qmptest.Peer, want string) error {
	v, err := Parse([]byte(want))
	if err != nil {
		return fmt.Errorf("the transcript: %w", err)
	}
	if s.form != Raw {
		return s.expect(p, v)
	}
	if err := s.expect(p, v); err != nil {
		return err
	}
	m, _ := p.Last(0)
	if r, _ := v.(Object).Get("id"); r == nil {
		end := `"id":` + string(m.ID) + "}"
		want = strings.TrimSuffix(want, "}")
		if want != "{" {
			want += ","
		}
		want += end
	} else if r, _ := r.(string); isAutomatic(r) {
		want = strings.Replace(want, `"id":"`+r+`"`, `"id":`+string(m.ID), 1)
	}
	if string(m.Raw) != want {
		return fmt.Errorf("got %q, want %q", shorten(string(m.Raw)), shorten(want))
	}
	return nil
}
