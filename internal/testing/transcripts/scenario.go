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
	Transport       string // what is at the client's address; see newPlace
	Accept          bool   // the client listens, and the script dials
	MayStop         bool   // the script need not reach its end

	// Rule and Note are the transcript's advice to other implementations. Rule is
	// "may-differ", "should-differ", or "" if the outcomes are binding.
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
	Native  bool // Name is the name in the call's own version, not in 7.2
	Args    Object
	Outcome Outcome
	// AtLeast and AtMost limit how long the call takes. Zero means no limit.
	AtLeast, AtMost time.Duration

	form Form
}

// An Outcome is how a call ends: it returns, raises an exception, or hangs. An
// action of the test that is not a call of the library has none of the three.
type Outcome struct {
	Returns    any
	HasReturns bool
	Raises     *Raises
	Hangs      time.Duration // the call has not returned after this time; 0 if it returns
}

// Raises is an exception. Class is the name of its class in Python.
type Raises struct {
	Class, Message, ErrorMessage string
	ErrorClass, Desc             string // of a QMP error
	State, Required              string // of a state error
	Reason                       string // of a MessageError, which Python does not have
	Cause                        *Raises
}

// A File is a scenario that has not been parsed yet, because some need much memory
// after that.
type File struct {
	Name string
	text []byte
}

// Load returns all scenarios in dir, sorted by name.
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

// Scenario parses the file.
func (f File) Scenario() (*Scenario, error) {
	s, err := NewScenario(f.text)
	if err == nil && s.Name != f.Name {
		err = fmt.Errorf("its name is %q", s.Name)
	}
	return s, err
}

// NewScenario parses one scenario. A member that it does not know is an error,
// because a requirement that is skipped would never be checked.
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
			// The first two change nothing: any id that this library makes stands
			// for an automatic one, and the table of exceptions has what follows
			// from reading all the time. The third names the source of a scenario
			// of our own.
		default:
			f.bad(m.Name)
		}
		if f.err != nil {
			return nil, f.err
		}
	}
	return s, nil
}

// For returns the scenario as it was observed with a version. ok is false if the
// scenario does not apply to that version.
func (s *Scenario) For(version string) (_ *Scenario, ok bool, err error) {
	if !slices.Contains(s.versions, version) {
		return nil, false, nil
	}
	c := *s
	c.Server, c.Client = slices.Clone(s.Server), slices.Clone(s.Client)
	seen, _ := s.observed.Get(version)
	switch seen := seen.(type) {
	case nil: // a scenario of our own
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
						continue // the script did not get there: see server_stopped
					}
					c.Server[i] = f.step(change.Value)
				}
			case "client_ends_after":
				if n, err := count(m.Value); err == nil && n+1 < len(c.Client) {
					c.Client = c.Client[:n+1]
				}
			case "server_stopped": // the step at which the script stopped
				c.MayStop = true
			default:
				f.bad(m.Name)
			}
		}
		return &c, true, f.err
	}
	return &c, true, nil
}

// fields parses parts of a scenario, and keeps the first error.
type fields struct {
	of  string // the member being parsed, for errors
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
				c.Outcome.Hangs = time.Second // unless limit_ms says otherwise
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

// NewRaises returns the exception that an object of the format describes.
func NewRaises(v any) (*Raises, error) {
	f := fields{of: "raises"}
	r := f.raises(v)
	return r, f.err
}
