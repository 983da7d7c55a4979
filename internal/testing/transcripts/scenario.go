package transcripts

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The versions of the recorded library.
const (
	V72  = "7.2"   // QEMU 7.2's copy: cmd and command
	V006 = "0.0.6" // the package of that release: cmd_raw and cmd
)

// A Scenario is one transcript.
type Scenario struct {
	Name, Why, Area string
	Transport       string // where the client's address points
	Accept          bool   // the client listens, the script dials
	MayStop         bool   // the script need not come to its end

	// Rule and Note are the transcript's own advice to a port: "may-differ",
	// "should-differ", or "" where the outcomes are binding.
	Rule, Note string

	Server []Step
	Client []Call

	versions []string
	observed Object
}

// A Step is one step of the server.
type Step struct {
	Name string
	Arg  any
}

// A Call is one call of the client, with its outcome.
type Call struct {
	Name    string
	Native  bool // the name is that of its own version, not of 7.2
	Args    Object
	Outcome Outcome
	// AtLeast and AtMost bound the call's duration; zero is no bound.
	AtLeast, AtMost time.Duration

	form Form
}

// An Outcome is what a call comes to: one of the three, or nothing for what is no
// call of the library.
type Outcome struct {
	Returns    any
	HasReturns bool
	Raises     *Raises
	Hangs      time.Duration // it is not back after so long
}

// Raises is an error, by the name that its class has in Python.
type Raises struct {
	Class, Message, ErrorMessage string
	ErrorClass, Desc             string // of a QMP error
	State, Required              string // of a state error
	Reason                       string // of a MessageError, which has no class in Python
	Cause                        *Raises
}

// A File is a scenario that has not been read yet: some are large when they are.
type File struct {
	Name string
	text []byte
}

// Load returns all scenarios in dir, in order of their names.
func Load(fsys fs.FS, dir string) ([]File, error) {
	names, err := fs.Glob(fsys, path.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no scenarios in %s", dir)
	}
	var all []File
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		all = append(all, File{strings.TrimSuffix(path.Base(name), ".json"), text})
	}
	return all, nil
}

// Scenario reads the file.
func (f File) Scenario() (*Scenario, error) {
	s, err := NewScenario(f.text)
	if err == nil && s.Name != f.Name {
		err = fmt.Errorf("its name is %q", s.Name)
	}
	return s, err
}

// NewScenario reads one scenario. What it does not understand is an error: a
// member that is passed over would be a requirement that nobody checks.
func NewScenario(text []byte) (*Scenario, error) {
	v, err := Parse(text)
	if err != nil {
		return nil, err
	}
	o, ok := v.(Object)
	if !ok {
		return nil, errors.New("not an object")
	}
	s := &Scenario{Transport: "unix", versions: []string{V72, V006}}
	for _, m := range o {
		f := fields{of: m.Name}
		switch m.Name {
		case "name":
			s.Name = f.text(m.Value)
		case "why":
			s.Why = f.text(m.Value)
		case "area":
			s.Area = f.text(m.Value)
		case "transport":
			s.Transport = f.text(m.Value)
		case "role":
			switch role := f.text(m.Value); role {
			case "connect":
			case "accept":
				s.Accept = true
			default:
				f.bad(role)
			}
		case "port":
			port := f.object(m.Value)
			s.Rule, s.Note = f.member(port, "rule"), f.member(port, "note")
		case "versions":
			s.versions = nil
			for _, v := range f.list(m.Value) {
				s.versions = append(s.versions, f.text(v))
			}
		case "server_may_stop":
			s.MayStop = m.Value == true
		case "server":
			for _, v := range f.list(m.Value) {
				s.Server = append(s.Server, f.step(v))
			}
		case "client":
			for _, v := range f.list(m.Value) {
				s.Client = append(s.Client, f.call(v))
			}
		case "observed":
			s.observed = f.object(m.Value)
		case "literal_ids", "loop_bound", "derived":
			// The first two change nothing here: any id of the engine's stands
			// for an automatic one, and what follows from reading all the time
			// is in the table of exceptions. The third says what a scenario of
			// our own follows from.
		default:
			f.bad(m.Name)
		}
		if f.err != nil {
			return nil, f.err
		}
	}
	return s, nil
}

// For returns the scenario as it was observed with a version. ok is false if it
// makes no sense there.
func (s *Scenario) For(version string) (_ *Scenario, ok bool, err error) {
	if !slices.Contains(s.versions, version) {
		return nil, false, nil
	}
	c := *s
	c.Server, c.Client = slices.Clone(s.Server), slices.Clone(s.Client)
	seen, _ := s.observed.Get(version)
	switch seen := seen.(type) {
	case nil: // of our own
	case string:
		return &c, seen == "same", nil
	case Object:
		f := fields{of: "observed"}
		for _, m := range seen {
			switch m.Name {
			case "client":
				for _, change := range f.object(m.Value) {
					i := f.index(change.Name, len(c.Client))
					call := &c.Client[i]
					other := f.call(append(Object{{"call", call.Name}}, f.object(change.Value)...))
					call.Outcome = other.Outcome
				}
			case "server":
				for _, change := range f.object(m.Value) {
					i := f.index(change.Name, len(c.Server))
					if change.Value == nil {
						continue // nothing was received there: see server_stopped
					}
					c.Server[i] = f.step(change.Value)
				}
			case "client_ends_after":
				if n, err := count(m.Value); err == nil && n+1 < len(c.Client) {
					c.Client = c.Client[:n+1]
				}
			case "server_stopped": // where the script stood in the end; MayStop allows it
				c.MayStop = true
			default:
				f.bad(m.Name)
			}
		}
		return &c, true, f.err
	}
	return &c, true, nil
}

// fields reads parts of a scenario, and remembers the first thing wrong.
type fields struct {
	of  string
	err error
}

func (f *fields) bad(v any) {
	if f.err == nil {
		f.err = fmt.Errorf("%s: %.200v is not understood", f.of, v)
	}
}

func (f *fields) text(v any) string {
	s, ok := v.(string)
	if !ok {
		f.bad(v)
	}
	return s
}

func (f *fields) list(v any) []any {
	l, ok := v.([]any)
	if !ok {
		f.bad(v)
	}
	return l
}

func (f *fields) object(v any) Object {
	o, ok := v.(Object)
	if !ok {
		f.bad(v)
	}
	return o
}

func (f *fields) member(o Object, name string) string {
	v, ok := o.Get(name)
	if !ok {
		return ""
	}
	return f.text(v)
}

func (f *fields) index(name string, n int) int {
	i, err := strconv.Atoi(name)
	if err != nil || i < 0 || i >= n {
		f.bad(name)
		return 0
	}
	return i
}

func (f *fields) milliseconds(v any) time.Duration {
	n, err := count(v)
	if err != nil {
		f.bad(v)
	}
	return time.Duration(n) * time.Millisecond
}

func (f *fields) step(v any) Step {
	o := f.object(v)
	if len(o) != 1 {
		f.bad(Text(v))
		return Step{}
	}
	return Step{Name: o[0].Name, Arg: o[0].Value}
}

func (f *fields) call(v any) Call {
	var c Call
	for _, m := range f.object(v) {
		switch m.Name {
		case "call":
			c.Name = f.text(m.Value)
		case "native":
			c.Native = m.Value == true
		case "args":
			c.Args = f.object(m.Value)
		case "elapsed_ms":
			bounds := f.object(m.Value)
			if v, ok := bounds.Get("min"); ok {
				c.AtLeast = f.milliseconds(v)
			}
			if v, ok := bounds.Get("max"); ok {
				c.AtMost = f.milliseconds(v)
			}
		case "returns":
			c.Outcome.Returns, c.Outcome.HasReturns = m.Value, true
		case "raises":
			c.Outcome.Raises = f.raises(m.Value)
		case "hangs":
			if c.Outcome.Hangs == 0 {
				c.Outcome.Hangs = time.Second // limit_ms follows
			}
		case "limit_ms":
			c.Outcome.Hangs = f.milliseconds(m.Value)
		default:
			f.bad(m.Name)
		}
	}
	return c
}

func (f *fields) raises(v any) *Raises {
	r := &Raises{}
	texts := map[string]*string{
		"class": &r.Class, "message": &r.Message, "error_message": &r.ErrorMessage,
		"error_class": &r.ErrorClass, "desc": &r.Desc,
		"state": &r.State, "required": &r.Required, "reason": &r.Reason,
	}
	for _, m := range f.object(v) {
		switch p := texts[m.Name]; {
		case p != nil:
			*p = f.text(m.Value)
		case m.Name == "cause":
			r.Cause = f.raises(m.Value)
		default:
			f.bad(m.Name)
		}
	}
	if r.Class == "" {
		f.bad(strings.Join(slices.Sorted(maps.Keys(texts)), ", "))
	}
	return r
}
