package async

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/hashicorp/go-multierror"
)

// leastWait is the shortest wait before a further attempt. It keeps a policy that
// returns 0 from making the client busy.
const leastWait = 10 * time.Millisecond

// How many errors of a series are kept: the first ones and the last ones.
const (
	keepFirst = 4
	keepLast  = 4
)

// A series is the attempts that are made to connect since a Connect or Accept began, or
// since a useful session ended. It says how long to wait before the next attempt, and
// when to give up. It belongs to the goroutine that connects.
type series struct {
	policy Backoff
	limits Reconnect // MaxAttempts and MaxTime

	began    time.Time
	attempts int
	errs     []error // why the attempts failed, in order: at most keepFirst+keepLast
	omitted  int     // how many errors between the first and the last ones were dropped
}

// newSeries returns the series of a client with these options, or nil if the client
// makes one attempt only.
func newSeries(o *Options) *series {
	n := &series{}
	if o.Backoff != nil {
		n.policy = o.Backoff()
	}
	if o.Reconnect != nil {
		n.limits = *o.Reconnect
		if n.policy == nil {
			n.policy = Exponential()()
		}
	}
	if n.policy == nil {
		return nil
	}
	n.begin()
	return n
}

// begin begins a new series with the same policy.
func (n *series) begin() {
	n.policy.Reset()
	n.began, n.attempts, n.errs, n.omitted = time.Now(), 0, nil, 0
}

// failed notes why an attempt failed, or why the session ended that an attempt made. It
// returns how long to wait before the next attempt. Or it returns why there is none.
func (n *series) failed(err error) (wait time.Duration, why string) {
	if len(n.errs) == keepFirst+keepLast {
		n.errs = slices.Delete(n.errs, keepFirst, keepFirst+1)
		n.omitted++
	}
	n.errs = append(n.errs, err)
	if n.limits.MaxAttempts > 0 && n.attempts >= n.limits.MaxAttempts {
		return 0, fmt.Sprintf("no more than %d attempts: async.Options.Reconnect.MaxAttempts", n.limits.MaxAttempts)
	}
	wait = n.policy.NextBackOff()
	if wait < 0 {
		return 0, "the policy allows no more: async.Options.Backoff"
	}
	wait = max(wait, leastWait)
	if limit := n.limits.MaxTime; limit > 0 && wait >= limit-time.Since(n.began) {
		return 0, fmt.Sprintf("no longer than %v: async.Options.Reconnect.MaxTime", limit)
	}
	return wait, ""
}

// permanent returns why no attempt is made after err, or "" if one is made. A client that
// listens does not give up because of a peer's certificate: another peer may be next.
func (l *line) permanent(err error) string {
	if _, ok := errors.AsType[*backoff.PermanentError](err); ok {
		return "the last error is permanent"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && l.socket == nil {
		return "the server's certificate is not accepted"
	}
	return ""
}

// gaveUp returns the error of the series of a that ends here.
func (n *series) gaveUp(a *attempt, why string) *GaveUpError {
	errs, omitted := slices.Clone(n.errs), n.omitted
	return &GaveUpError{
		Op: a.op, Address: a.addr, Client: a.client.name(),
		Attempts: n.attempts, Took: time.Since(n.began), Why: why, Omitted: omitted,
		Err: &multierror.Error{Errors: errs, ErrorFormat: func(errs []error) string { return listErrors(errs, omitted) }},
	}
}

// listErrors returns the texts of errs on one line. Equal texts that follow one another
// are counted. omitted is how many errors are missing after the first keepFirst.
func listErrors(errs []error, omitted int) string {
	var parts []string
	for i := 0; i < len(errs); i++ {
		if i == keepFirst && omitted > 0 {
			parts = append(parts, fmt.Sprintf("(%d more)", omitted))
		}
		text, n := errs[i].Error(), 1
		for i+1 < len(errs) && errs[i+1].Error() == text && (i+1 != keepFirst || omitted == 0) {
			i++
			n++
		}
		if n > 1 {
			text = fmt.Sprintf("%s (%d times)", text, n)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; then: ")
}

// A GaveUpError says that a client with Options.Reconnect has lost its connection, and
// has given up connecting again.
type GaveUpError struct {
	Op       string // "connect", or "accept" after Listen
	Address  string // as the caller gave it to Connect or Listen
	Client   string // the client's nickname, or ""
	Attempts int    // how many attempts were made since the end of the last useful connection
	Took     time.Duration
	Why      string // which limit was reached, for people

	// Err has the causes in order: why the connection ended, and why each attempt
	// failed, or why the connection ended that it made. It is a *multierror.Error (of
	// package github.com/hashicorp/go-multierror). errors.Is and errors.As look into all
	// of its Errors. If there are many causes, it has only the first and the last ones.
	Err error

	Omitted int // how many causes were left out of Err, between the first and the last ones
}

func (e *GaveUpError) Error() string {
	what := e.Op
	if e.Address != "" {
		what += " " + e.Address
	}
	return fmt.Sprintf("%s%s: gave up connecting again after %d attempts in %v (%s): %v",
		prefix(e.Client), what, e.Attempts, e.Took.Round(time.Millisecond), e.Why, e.Err)
}

func (e *GaveUpError) Unwrap() error { return e.Err }
