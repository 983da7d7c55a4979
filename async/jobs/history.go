package jobs

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
)

// mostStates is how many states a history keeps.
const mostStates = 1000

// A history has the last mostStates states of a job or a migration.
type history[S any] struct {
	states []S // oldest first
	count  int // how many there have been
}

func (h *history[S]) add(state S) {
	if len(h.states) == mostStates {
		h.states = slices.Delete(h.states, 0, 1)
	}
	h.states = append(h.states, state)
	h.count++
}

// from returns the nth state, counted from 0, or the oldest one after that which is
// kept, and its number. There must be an nth state.
func (h *history[S]) from(n int) (S, int) {
	n = max(n, h.count-len(h.states))
	return h.states[n-(h.count-len(h.states))], n
}

// A subject is a job or a migration to a call that waits for its states.
type subject[S any] struct {
	mu      *sync.Mutex
	history *history[S]                                 // guarded by mu
	until   func(wanted string, done func() bool) error // waits until done, which is called with mu held, or until the subject is over
	result  func() error                                // of a subject that is over
}

// all returns an iterator over the states, from the first one that is known, until the
// subject is over.
func (s subject[S]) all() iter.Seq2[S, error] {
	return func(yield func(S, error) bool) {
		for next := 0; ; next++ {
			var state S
			some := false
			err := s.until("its next state", func() bool {
				if some = next < s.history.count; some {
					state, next = s.history.from(next)
				}
				return some
			})
			if err == nil && !some {
				if err = s.result(); !errors.Is(err, ErrGone) {
					return
				}
			}
			if !yield(state, err) || err != nil {
				return
			}
		}
	}
}

// waitFor waits until the subject is in a state whose status is wanted, or has been in
// one since the call. It returns "" if the subject is over before.
func waitFor[S any, T ~string](s subject[S], status func(S) T, wanted []T) (found T, err error) {
	s.mu.Lock()
	next := max(s.history.count-1, 0) // the present state counts
	s.mu.Unlock()
	err = s.until(oneOf(wanted), func() bool {
		for ; next < s.history.count; next++ {
			var state S
			state, next = s.history.from(next)
			if slices.Contains(wanted, status(state)) {
				found = status(state)
				return true
			}
		}
		return false
	})
	return found, err
}

// oneOf lists states for an error.
func oneOf[T ~string](states []T) string {
	list := make([]string, len(states))
	for i, state := range states {
		list[i] = string(state)
	}
	return fmt.Sprintf("the state %s", strings.Join(list, " or "))
}
