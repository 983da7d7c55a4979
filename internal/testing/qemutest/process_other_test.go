//go:build !linux

package qemutest

import (
	"strings"
	"testing"
)

// What needs proc(5) skips the test, also if CI is set.
func TestMethodsOfLinuxSkip(t *testing.T) {
	t.Setenv("CI", "true")
	for name, call := range map[string]func(p *Process, t testing.TB){
		"Freeze":   func(p *Process, t testing.TB) { p.Freeze(t) },
		"SameFile": func(p *Process, t testing.TB) { p.SameFile(t, 3, "f") },
		"Holds":    func(p *Process, t testing.TB) { p.Holds(t, "f") },
	} {
		s := &spy{TB: t}
		s.watch(func() { call(new(Process), s) })
		if !strings.HasPrefix(s.ended, "skip: ") || !strings.HasSuffix(s.ended, "needs Linux") {
			t.Errorf("%s ended with %q, want a skip", name, s.ended)
		}
	}
}
