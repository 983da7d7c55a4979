package group

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/go-multierror"
)

// ErrLeft is the cause of a call for a member that left the group before the end of
// its turn. It is also the last that a listener gets of a member that has left.
var ErrLeft = errors.New("the member has left the group")

// ErrNotMember says that no member of the group has that name.
var ErrNotMember = errors.New("no member of the group has this name")

// ErrMember says that a machine cannot join, because it is in the group already, or
// because another machine has its name there.
var ErrMember = errors.New("already in the group")

// ErrNoEvents is the notice that a listener gets for a member that has no events to
// listen to: see [Group.NewListener].
var ErrNoEvents = errors.New("the member has no events: its type has neither a method NewListener as *async.Client has, nor a method Client that returns an *async.Client")

// An Error says what went wrong with one member of a group.
type Error struct {
	Member string // its name

	// NotBegun says that the turn of the member had not begun: the function was not
	// called for it, and so nothing was sent. It is false for a notice of a listener.
	NotBegun bool

	Err error
}

func (e *Error) Error() string {
	if e.NotBegun {
		return fmt.Sprintf("%s: not begun: %v", e.Member, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Member, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Errors returns what went wrong, by the name of the member. err is the error of [Do],
// [Call] or [Group.Each], or wraps one. If err has no [*Error] in it, the map is empty.
func Errors(err error) map[string]error {
	byName := make(map[string]error)
	addErrors(byName, err)
	return byName
}

// addErrors adds each Error in err to byName, but not what it wraps: that may be the
// error of a call for another group.
func addErrors(byName map[string]error, err error) {
	switch e := err.(type) {
	case *Error:
		byName[e.Member] = e
	case *multierror.Error:
		for _, err := range e.Errors {
			addErrors(byName, err)
		}
	case interface{ Unwrap() error }:
		addErrors(byName, e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			addErrors(byName, err)
		}
	}
}

// joined returns one error of the errors of members, or nil if there are none. of is how
// many members took part.
func joined(errs []error, of int) error {
	if len(errs) == 0 {
		return nil
	}
	return &multierror.Error{Errors: errs, ErrorFormat: func(errs []error) string {
		const most = 10 // so that the text of 1,000 errors can still be read
		var b strings.Builder
		fmt.Fprintf(&b, "%d of %d members failed", len(errs), of)
		separator := ": "
		for _, err := range errs[:min(len(errs), most)] {
			b.WriteString(separator)
			b.WriteString(err.Error())
			separator = "; "
		}
		if more := len(errs) - most; more > 0 {
			fmt.Fprintf(&b, "; and %d more", more)
		}
		return b.String()
	}}
}
