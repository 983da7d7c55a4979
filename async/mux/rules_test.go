package mux_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async/mux"
	"github.com/goqmp/qmp/async/qmptest"
)

// commands returns the names of the commands that the server has received from the Mux.
func (s *setup) commands() []string {
	var names []string
	for _, m := range s.Received() {
		if m.Name != "qmp_capabilities" {
			names = append(names, m.Name)
		}
	}
	return names
}

// A read-only door passes on only what queries, and what Allow adds. A refusal says why, and has
// the class of a command that does not exist.
func TestReadOnlyDoor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		u := s.enter(&mux.Door{ReadOnly: true, Allow: []string{"co*"}, Deny: []string{"query-n*", "commit"}}, true)
		const refused = `"error": {"class": "CommandNotFound", "desc": "Command `
		u.send(`{"execute":"query-status"}{"execute":"stop","id":1}{"execute":"cont"}{"execute":"query-name","id":2}{"execute":"commit","id":3}`)
		u.want(`{"return": {...}}`,
			`{"id": 1, `+refused+`stop has been disabled: this door of the multiplexer is read-only"}}`,
			`{"return": {}}`,
			`{"id": 2, `+refused+`query-name has been disabled: this door of the multiplexer denies it"}}`,
			`{"id": 3, `+refused+`commit has been disabled: this door of the multiplexer denies it"}}`)
		// The human monitor can do everything, and out of band makes no difference.
		u.send(`{"execute":"human-monitor-command","arguments":{"command-line":"info version"},"id":4}{"exec-oob":"migrate-pause","id":5}`)
		lines := []string{u.line(), u.line()}
		for _, want := range []string{"human-monitor-command has been disabled", "migrate-pause has been disabled"} {
			if !strings.Contains(lines[0]+lines[1], want) {
				t.Errorf("got %q, want %q", lines, want)
			}
		}
		if got := strings.Join(s.commands(), " "); got != "query-status cont" {
			t.Errorf("the server has received %s", got)
		}
	})
}

// With Allow and without ReadOnly, only what matches is allowed.
func TestAllow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		u := s.enter(&mux.Door{Allow: []string{"stop", "query-[a-n]*"}}, false)
		u.send(`{"execute":"query-name","id":1}{"execute":"query-status","id":2}{"execute":"stop","id":3}`)
		u.want(`{"return": ..., "id": 1}`,
			`{"id": 2, "error": {"class": "CommandNotFound", "desc": "Command query-status has been disabled: this door of the multiplexer does not allow it"}}`,
			`..."STOP"...`, `{"return": {}, "id": 3}`)
	})
}

// A malformed pattern is an error at once, and closes the listener or the connection.
func TestMalformedPattern(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		u := s.connect(&mux.Door{Deny: []string{"[x"}})
		u.wantEnd(path.ErrBadPattern)
		if got := u.line(); got != "!EOF" {
			t.Errorf("the user got %s", got)
		}
		ln := &pipeListener{closed: make(chan struct{})}
		if err := s.mux.Serve(t.Context(), ln, &mux.Door{Allow: []string{"[x"}}); err == nil || !strings.Contains(err.Error(), `the pattern "[x" is malformed`) {
			t.Errorf("Serve: %v", err)
		}
		<-ln.closed
	})
}

// A user may have only so many commands unanswered. The refusal comes in its place among the
// replies.
func TestMaxCommands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		release := s.slow()
		u := s.enter(&mux.Door{MaxCommands: 2}, false)
		u.send(`{"execute":"slow","id":1}{"execute":"query-name","id":2}{"execute":"query-name","id":3}`)
		close(release)
		u.want(`{"return": {}, "id": 1}`, `{"return": {..., "id": 2}`,
			`{"id": 3, "error": {"class": "GenericError", "desc": "too many commands: 2 are unanswered, and this door of the multiplexer allows no more at a time"}}`)
		u.send(`{"execute":"query-name","id":4}`)
		u.want(`{"return": {..., "id": 4}`)
	})
}

// A user may send only so many commands in a second, and some together.
func TestRate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		u := s.enter(&mux.Door{Rate: 0.5, Burst: 2}, false)
		send := func() string {
			u.send(`{"execute":"query-name"}`)
			return u.line()
		}
		for i, want := range []struct {
			wait    time.Duration
			allowed bool
		}{{0, true}, {0, true}, {0, false}, {time.Second, false}, {time.Second, true}, {0, false}, {time.Hour, true}, {0, true}, {0, false}} {
			time.Sleep(want.wait)
			got := send()
			if strings.HasPrefix(got, `{"return"`) != want.allowed {
				t.Errorf("command %d: %s, want it allowed: %t", i, got, want.allowed)
			}
			if !want.allowed && got != `{"error": {"class": "GenericError", "desc": "too many commands: this door of the multiplexer allows 0.5 in a second"}}` {
				t.Errorf("command %d: %s", i, got)
			}
		}
		// Without a burst, as many as the rate come together.
		u = s.enter(&mux.Door{Rate: 3}, false)
		for i := range 4 {
			if got := send(); strings.HasPrefix(got, `{"return"`) != (i < 3) {
				t.Errorf("command %d: %s", i, got)
			}
		}
	})
}

// A door admits only so many users at a time.
func TestMaxUsers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		ln := newPipeListener()
		served := make(chan error, 1)
		ctx, cancel := context.WithCancel(context.Background())
		go func() { served <- s.mux.Serve(ctx, ln, &mux.Door{Name: "narrow", MaxUsers: 1}) }()
		a := newUserConn(t, ln.dial())
		a.want(`{"QMP": ...`)
		if got := newUserConn(t, ln.dial()).line(); got != "!EOF" {
			t.Errorf("the second user got %s", got)
		}
		a.Close()
		synctest.Wait() // the Mux has noticed it
		newUserConn(t, ln.dial()).want(`{"QMP": ...`)
		cancel()
		<-served
	})
}

// journal is a slog.Handler that keeps the records' attributes.
type journal struct {
	mu    sync.Mutex
	lines []map[string]any
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(j, nil)) }

func (j *journal) Write(b []byte) (int, error) {
	var line map[string]any
	if err := json.Unmarshal(b, &line); err != nil {
		return 0, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
	return len(b), nil
}

// Each command leaves one line, without its secrets.
func TestAudit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		s.Handle("set_password", func(context.Context, *qmptest.Command) (any, error) {
			time.Sleep(2 * time.Second)
			return nil, nil
		})
		var j journal
		u := s.enter(&mux.Door{Name: "front", Deny: []string{"quit"}, Audit: j.logger()}, false)
		u.send(`{"execute":"set_password","arguments":{"protocol":"vnc","password":"hunter2"},"id":"p"}{"execute":"quit"}{"execute":"nope"}{"x"`)
		u.send(`}`)
		u.want(`{"return": {}, "id": "p"}`, `..."CommandNotFound"...`, `..."CommandNotFound"...`, `{"error": {...`)
		want := []map[string]any{
			{"command": "qmp_capabilities", "result": "done", "message": `{"execute": "qmp_capabilities"}`, "waited": 0.0},
			{"command": "set_password", "result": "done", "message": `{"execute":"set_password","arguments":{"protocol":"vnc","password":"***"},"id":"p"}`, "waited": 0.0, "duration": 2e9},
			{"command": "quit", "result": "refused", "class": "CommandNotFound", "desc": "Command quit has been disabled: this door of the multiplexer denies it", "message": `{"execute": "quit"}`, "waited": 2e9},
			{"command": "nope", "result": "failed", "class": "CommandNotFound", "desc": "The command nope has not been found", "message": `{"execute": "nope"}`, "waited": 2e9, "duration": 0.0},
			{"command": "", "result": "refused", "class": "GenericError", "desc": "JSON parse error, missing : in object pair", "waited": 2e9},
		}
		if len(j.lines) != len(want) {
			t.Fatalf("%d lines: %v", len(j.lines), j.lines)
		}
		for i, line := range j.lines {
			if line["user"] != 1.0 || line["door"] != "front" || line["peer"] != "pipe" || line["msg"] != "qmp mux: command" {
				t.Errorf("line %d: %v", i, line)
			}
			for _, key := range []string{"user", "door", "peer", "msg", "time", "level"} {
				delete(line, key)
			}
			if got, want := text(line), text(want[i]); got != want {
				t.Errorf("line %d:\ngot  %s\nwant %s", i, got, want)
			}
		}
	})
}

// The audit line shows what a user or the server has said without known secrets, harmlessly, and
// not at any length.
func TestAuditIsHarmless(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		s.Handle("eject", func(context.Context, *qmptest.Command) (any, error) {
			return nil, &qmptest.Error{Class: "GenericError", Desc: "Could not open 'https://u:hunter2@host/x', \x1b[2J or 'json:{\"cookie\": \"hunter2\"}'"}
		})
		var j journal
		u := s.enter(&mux.Door{Audit: j.logger()}, false)
		long := strings.Repeat("x", 64<<10)
		u.send(`{"execute":"eject"}` + "\"hunter2\xff\n" + `{hunter}` + `{"execute":"https://u:hunter2@\u001b` + long + `"}`)
		u.want(`{"error": ...`, `{"error": {"class": "GenericError", "desc": "JSON parse error, stray '...`, `{"error": ...`, `{"error": ...`)
		j.mu.Lock()
		defer j.mu.Unlock()
		if len(j.lines) != 5 {
			t.Fatalf("%d lines: %v", len(j.lines), j.lines)
		}
		for i, want := range []string{
			`Could not open 'https://u:***@host/x', \x1b[2J or 'json:{"cookie":"***"}'`,
			`JSON parse error, stray '...'`,
			`JSON parse error, invalid keyword '...'`,
		} {
			if got := j.lines[i+1]["desc"]; got != want {
				t.Errorf("desc %s\nwant %s", got, want)
			}
		}
		for _, line := range j.lines {
			all := fmt.Sprint(line)
			if len(all) > 20<<10 || strings.Contains(all, "hunter") || strings.Contains(all, "\x1b") {
				t.Errorf("%d bytes: %.300q", len(all), all)
			}
		}
		if name := j.lines[4]["command"].(string); len(name) > 300 {
			t.Errorf("a name of %d bytes", len(name))
		}
	})
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}
