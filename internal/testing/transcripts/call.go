package transcripts

import (
	"fmt"
	"os"
	"time"
)

// Arg returns an argument of the call in Go: an object in the form that the
// scenario is being replayed in. ok is false where the call has none.
func (c Call) Arg(name string) (v any, ok bool) {
	v, ok = c.Args.Get(name)
	return c.form.Go(v), ok
}

// Object is Arg for a call's arguments: nil if they are absent or null.
func (c Call) Object(name string) any {
	v, _ := c.Arg(name)
	return v
}

// Text returns an argument that is a text, "" if it is absent.
func (c Call) Text(name string) string {
	v, _ := c.Args.Get(name)
	s, _ := v.(string)
	return s
}

// IsTrue reports whether an argument is true for Python; absent, it is what
// usual says.
func (c Call) IsTrue(name string, usual bool) bool {
	v, ok := c.Args.Get(name)
	if !ok {
		return usual
	}
	return !IsFalse(v)
}

// IsFalse reports whether v is false for Python: null, false, any zero, anything
// empty.
func IsFalse(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case Object:
		return len(v) == 0
	case Number:
		n, err := v.Seconds()
		return err == nil && n == 0
	}
	return false
}

// A Wait is how long a call may take. The zero Wait does not wait.
type Wait struct {
	Forever bool
	Limited bool          // by For, which may be 0 or negative
	For     time.Duration //
}

// Seconds returns an argument that is a number of seconds, or null for no limit.
func (c Call) Seconds(name string, usual Wait) (Wait, error) {
	v, ok := c.Args.Get(name)
	switch v := v.(type) {
	case nil:
		if !ok {
			return usual, nil
		}
		return Wait{Forever: true}, nil
	case Number:
		s, err := v.Seconds()
		return Wait{Limited: true, For: time.Duration(s * float64(time.Second))}, err
	}
	return Wait{}, fmt.Errorf("%s=%s is no number of seconds", name, Text(v))
}

// EventWait returns the argument wait of the two calls that read events: true is
// for ever, what is false does not wait, and a number is one of seconds, an
// integer too.
func (c Call) EventWait() (Wait, error) {
	v, _ := c.Args.Get("wait")
	switch {
	case v == true:
		return Wait{Forever: true}, nil
	case IsFalse(v):
		return Wait{}, nil
	}
	return c.Seconds("wait", Wait{})
}

// defaultAccept is how long accept waits if nothing else is said.
var defaultAccept = Wait{Limited: true, For: 15 * time.Second}

// WithFile calls send with the file that the call of send_fd_scm sends, and
// checks that it is still open afterwards.
func (c Call) WithFile(send func(*os.File) error) error {
	if c.Text("fd") == "bad" {
		f := os.NewFile(1<<20, "bad") // no process has so many
		err := send(f)
		f.Close()
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	err = send(w)
	if closeErr := w.Close(); closeErr != nil {
		return fmt.Errorf("the caller's descriptor is closed: %w", closeErr)
	}
	return err
}
