package transcripts

import (
	"fmt"
	"os"
	"time"
)

// Arg returns an argument of the call as a Go value. An object has the form in
// which the scenario is replayed. ok is false if the call has no such argument.
func (c Call) Arg(name string) (v any, ok bool) {
	v, ok = c.Args.Get(name)
	return c.form.Go(v), ok
}

// Object returns an argument as Arg does, or nil if it is absent or null.
func (c Call) Object(name string) any {
	v, _ := c.Arg(name)
	return v
}

// Text returns an argument that is a string, or "" if it is absent.
func (c Call) Text(name string) string {
	v, _ := c.Args.Get(name)
	s, _ := v.(string)
	return s
}

// IsTrue reports whether Python takes an argument for true. If the argument is
// absent, it returns usual.
func (c Call) IsTrue(name string, usual bool) bool {
	v, ok := c.Args.Get(name)
	if !ok {
		return usual
	}
	return !IsFalse(v)
}

// IsFalse reports whether Python takes v for false: null, false, zero, and
// everything empty.
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
	Limited bool          // the call waits for the time For
	For     time.Duration // may be 0 or negative
}

// Seconds returns an argument that is a number of seconds, or null for no limit.
// If the argument is absent, it returns usual.
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
	return Wait{}, fmt.Errorf("%s=%s is not a number of seconds", name, Text(v))
}

// EventWait returns the argument wait of the two calls that read events. true waits
// for ever, a value that is false for Python does not wait, and a number is a
// number of seconds.
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

// defaultAccept is how long accept waits if its argument is absent.
var defaultAccept = Wait{Limited: true, For: 15 * time.Second}

// WithFile calls send with the file that the call of send_fd_scm sends, and
// checks that it is still open afterwards.
func (c Call) WithFile(send func(*os.File) error) error {
	if c.Text("fd") == "bad" {
		f := os.NewFile(1<<20, "bad") // no process has that many descriptors
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
