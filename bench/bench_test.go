package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/bench/internal/measure"
)

// TestMain is the server and the clients too: the program starts itself for them.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && (os.Args[1] == "serve" || os.Args[1] == "sample") {
		main()
	}
	if mode := os.Getenv("BENCH_TEST_PROGRAM"); mode != "" {
		pretendQEMU(mode)
	}
	os.Exit(m.Run())
}

// A short run of the tables that need no QEMU, with the clients of this module.
func TestRun(t *testing.T) {
	// The race detector would wait for a second at the end of each process.
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	for _, g := range groups {
		if g.socket == "" || g.socket == reply16 {
			continue // it has the clients of another table
		}
		t.Run(g.name, func(t *testing.T) {
			count, reps := "20", "2"
			if g.socket == reply1 {
				count, reps = "1", "1"
			}
			var out bytes.Buffer
			if err := run(t.Context(), []string{"-rows", g.name, "-reps", reps, "-count", count, "-peers", ""}, &out); err != nil {
				t.Fatal(err)
			}
			for _, c := range g.clients {
				if want := "\n| " + c.name + " | "; c.run != nil && !strings.Contains(out.String(), want) {
					t.Errorf("the table has no line of %s:\n%s", c.name, &out)
				}
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	err := run(t.Context(), []string{"-rows", "one,two"}, nil)
	if err == nil || !strings.Contains(err.Error(), `no table "two"`) {
		t.Errorf("got %v, want an error that names the table", err)
	}
}

// A goal compares the medians, and ratios are of samples of one repetition.
func TestSummarize(t *testing.T) {
	g := group{unit: "command", clients: []client{
		{name: "raw"},
		{name: "fast", goals: []goal{ratioAtLeast(0.5), allocsAtMost(3), perSecond(1e6)}},
		{name: "slow", goals: []goal{ratioAtLeast(0.5), costUnder(2, "fast"), millisecondsUnder(1)}},
	}}
	sample := func(micros int, allocs uint64) measure.Sample {
		return measure.Sample{N: 10, Wall: 10 * time.Duration(micros) * time.Microsecond, CPU: 10, Allocs: 10 * allocs}
	}
	stats := summarize(g, map[string][]measure.Sample{
		"raw":  {sample(100, 0), sample(200, 0), sample(400, 0)},
		"fast": {sample(200, 3), sample(400, 3), sample(800, 3)},
		"slow": {sample(1000, 4), sample(1000, 4), sample(1000, 4)},
	})
	if got, want := stats["fast"].ratio, (spread{0.5, 0.5, 0.5}); got != want {
		t.Errorf("fast has the ratio %v, want %v", got, want)
	}
	if got, want := stats["slow"].ratio, (spread{0.1, 0.2, 0.4}); got != want {
		t.Errorf("slow has the ratio %v, want %v", got, want)
	}
	var out bytes.Buffer
	writeTable(&out, g, stats)
	for _, want := range []string{
		"| fast | 400 us | 0.50 (0.50 to 0.50) | 1.00 ns | 3.0 | 0.50; 3 allocations; 1.0 million a second | yes; yes; **no** |",
		"| slow | 1.00 ms | 0.20 (0.10 to 0.40) | 1.00 ns | 4.0 | 0.50; under 2 times fast; under 1 ms | **no**; **no**; **no** |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &out)
		}
	}
}

// A table replaces what stands between its two comments, and nothing else.
func TestWritePage(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	const before = "# Title\n\n<!-- bench one -->\nold\n<!-- end of bench one -->\n\nText.\n"
	if err := os.WriteFile(page, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(t.Context(), page, "one", "| new |\n"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	pattern := `^# Title\n\n<!-- bench one -->\n\n\| new \|\n\n\(.+, \d+ processors, .+\)\n\n<!-- end of bench one -->\n\nText\.\n$`
	if !regexp.MustCompile(pattern).Match(got) {
		t.Errorf("the page is %q", got)
	}
	if err := write(t.Context(), page, "two", "| new |\n"); err == nil || !strings.Contains(err.Error(), "<!-- bench two -->") {
		t.Errorf("a table that the page lacks: got %v", err)
	}
	if got := majorMinor("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg)"); got != "7.2" {
		t.Errorf("got the version %q", got)
	}
}
