package catalog

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/syntax"
	"github.com/goqmp/qmp/qapi"
)

const (
	// brief is how long names of the moment are used again. A person who presses Tab twice
	// does not make the server answer twice.
	brief = 2 * time.Second

	// always is for names that do not change as long as the server runs.
	always = 1000 * time.Hour

	// patience is how long the server may take to answer. A person does not wait that
	// long, but finds the answer at the next Tab.
	patience = time.Minute
)

// A name is a name that a server has at the moment.
type name struct {
	text string
	help string // one line about it
	more bool   // more may follow in the same word

	spaces bool // what follows may contain spaces, so a quote must be open
}

// liveNames asks the server for names of the moment, and keeps them for a short time.
type liveNames struct {
	caller async.Caller

	mu   sync.Mutex // guards the field below; held briefly, never across I/O
	kept map[string]*answer
}

// An answer is the names that the server gave, or will give.
type answer struct {
	done  chan struct{} // closed when the server has answered
	names []name        // set before done is closed
	err   error         // set before done is closed
	until time.Time     // when it is too old; set before done is closed
}

// old reports whether an answer cannot be used any more.
func (a *answer) old() bool {
	select {
	case <-a.done:
		return a.err != nil || !time.Now().Before(a.until)
	default:
		return false
	}
}

func newLiveNames(c async.Caller) *liveNames {
	return &liveNames{caller: c, kept: make(map[string]*answer)}
}

// forget drops all names.
func (l *liveNames) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = make(map[string]*answer)
}

// once returns what ask returns, or what it returned for the same key if that is not too
// old. A refusal of the server is an answer, too: it has no such names. If ctx of the
// request ends first, the question goes on, and its answer is there for a later request.
func (r request) once(key string, keep time.Duration, ask func(request) ([]name, error)) ([]name, error) {
	l := r.live
	l.mu.Lock()
	found := l.kept[key]
	if found == nil || found.old() {
		for other, a := range l.kept {
			if a.old() {
				delete(l.kept, other)
			}
		}
		found = &answer{done: make(chan struct{})}
		l.kept[key] = found
		go r.answer(found, keep, ask)
	}
	l.mu.Unlock()
	select {
	case <-found.done:
		return found.names, found.err
	case <-r.ctx.Done():
		return nil, r.ctx.Err()
	}
}

// answer asks the server.
func (r request) answer(a *answer, keep time.Duration, ask func(request) ([]name, error)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), patience)
	defer cancel()
	r.ctx = ctx
	names, err := ask(r)
	if err == nil || isRefusal(err) {
		a.names = names
	} else {
		a.err = err
	}
	a.until = time.Now().Add(keep)
	close(a.done)
}

// A request is what names are asked for: the value of an argument.
type request struct {
	ctx    context.Context
	live   *liveNames
	server *server
	beside any    // the members that are given in the same object
	prefix string // what is typed already
}

// text returns a text that is given in the same object, or "".
func (r request) text(name string) string {
	s, _ := child(r.beside, name).(string)
	return s
}

// call asks the server, and decodes the result into v.
func (r request) call(command string, args map[string]any, v any) error {
	cmd := async.Command{Name: command}
	if args != nil {
		cmd.Args = args
	}
	reply, err := r.live.caller.Do(r.ctx, cmd)
	if err != nil {
		return err
	}
	return reply.Decode(v)
}

// liveValues adds names of the moment to done, if the argument at the cursor takes such.
func (c *Catalog) liveValues(ctx context.Context, s *server, at syntax.Cursor, done *Completion) {
	command, path := at.Command, at.Path
	beside := at.Given
	if command == "transaction" && len(path) > 3 && path[0] == "actions" && path[2] == "data" {
		action := child(child(at.Given, "actions"), path[1])
		command, _ = child(action, "type").(string)
		beside, _ = child(action, "data").(map[string]any)
		path = path[3:]
	}
	typ, _, _, found := s.walk(at.Command, at.Path, at.Given)
	if found && !s.takesNames(typ) {
		return
	}
	source := sourceOf(command, path, found && s.takes(typ, qapi.JSONTypeObject))
	if !found && !openArguments(command) || source == nil {
		return
	}
	r := request{ctx: ctx, live: c.live, server: s, beside: parent(beside, path), prefix: at.Prefix}
	names, err := source(r)
	if err != nil {
		done.Note = noAnswer(ctx, err)
		return
	}
	for _, n := range names {
		if !strings.HasPrefix(n.text, at.Prefix) || done.has(n.text) {
			continue
		}
		candidate := Candidate{Text: at.Value(n.text), Label: n.text, Help: n.help, Space: !n.more}
		if number(n.text) && !s.takes(typ, qapi.JSONTypeString) {
			candidate.Text = n.text
		}
		if n.spaces && at.Quote == 0 && !strings.HasPrefix(candidate.Text, `"`) {
			candidate.Text = `"` + candidate.Text
		}
		if n.more { // a quote stays open
			candidate.Text = strings.TrimSuffix(candidate.Text, string(cmp.Or(at.Quote, '"')))
		}
		done.Candidates = append(done.Candidates, candidate)
	}
}

// takesNames reports whether a value of a type may be a name: a text, or the number of an
// fd set.
func (s *server) takesNames(typ string) bool {
	return s.takes(typ, qapi.JSONTypeString) || s.takes(typ, qapi.JSONTypeInt)
}

// parent returns the object that has the last member of path, lists left out: what is
// given beside that member.
func parent(given any, path []string) any {
	end := len(path) - 1
	for end > 0 && isIndex(path[end]) {
		end--
	}
	for _, name := range path[:max(end, 0)] {
		given = child(given, name)
	}
	return given
}

// noAnswer is a note for a person: the server did not answer.
func noAnswer(ctx context.Context, err error) string {
	if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
		return "the server did not answer in time; it may be busy with another command"
	}
	return "the server did not answer: " + err.Error()
}

func number(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }
