package growth

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// A fake records what Check says.
type fake struct {
	testing.TB
	errors, logs []string
}

func (f *fake) Helper() {}

func (f *fake) Errorf(format string, args ...any) {
	f.errors = append(f.errors, fmt.Sprintf(format, args...))
}

func (f *fake) Logf(format string, args ...any) {
	f.logs = append(f.logs, fmt.Sprintf(format, args...))
}

func (f *fake) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// once returns a setup that counts all operations of another one as one.
func once(setup func(testing.TB, int) func() int) func(testing.TB, int) func() int {
	return func(tb testing.TB, n int) func() int {
		run := setup(tb, n)
		return func() int { run(); return 1 }
	}
}

// Finding a number at the end of a list costs more, the longer the list is. At its
// beginning it does not.
func TestCheck(t *testing.T) {
	find := func(first bool) func(testing.TB, int) func() int {
		return func(_ testing.TB, n int) func() int {
			list := make([]int, n)
			if list[n-1] = 1; first {
				list[0] = 1
			}
			return func() int {
				const ops = 2000
				for range ops {
					i := 0
					for list[i] == 0 {
						i++
					}
					runtime.KeepAlive(i)
				}
				return ops
			}
		}
	}
	allocate := func(_ testing.TB, n int) func() int {
		return func() int { runtime.KeepAlive(make([]byte, n)); return 1 }
	}
	keep := func(_ testing.TB, n int) func() int {
		var kept []byte
		return func() int { kept = make([]byte, n<<10); kept[0] = 1; return n }
	}
	drop := func(_ testing.TB, n int) func() int {
		return func() int { runtime.KeepAlive(make([]byte, n<<10)); return 1 }
	}
	sizes := []int{1 << 7, 1 << 9, 1 << 11, 1 << 13}
	for _, tt := range []struct {
		name   string
		c      Case
		errors int
	}{
		{"constant", Case{Sizes: sizes, Setup: find(true), Most: 20}, 0},
		{"linear", Case{Sizes: sizes, Setup: find(false), Most: 20}, 1},
		{"memory", Case{Cost: Allocated, Sizes: sizes, Setup: allocate, Most: 4}, 1},
		{"kept, in proportion", Case{Cost: Kept, Sizes: sizes, Setup: keep, Most: 2}, 0},
		{"kept, all as one operation", Case{Cost: Kept, Sizes: sizes, Setup: once(keep), Most: 4}, 1},
		{"not kept", Case{Cost: Kept, Sizes: sizes, Setup: drop, Most: 1 << 20}, 0},
	} {
		f := new(fake)
		Check(f, tt.c)
		if len(f.errors) != tt.errors || len(f.logs) != 1 {
			t.Errorf("%s: got the errors %q and the log %q, want %d errors", tt.name, f.errors, f.logs, tt.errors)
		}
	}
}

func TestCheckWantsFourSizes(t *testing.T) {
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "3 sizes, want four") {
			t.Errorf("got the panic %q", got)
		}
	}()
	Check(new(fake), Case{Sizes: []int{1, 2, 3}})
}

func BenchmarkCheck(b *testing.B) {
	Check(b, Case{Cost: Allocated, Sizes: []int{1, 2, 3, 4}, Setup: func(testing.TB, int) func() int {
		return func() int { return 1 }
	}})
}
