package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rows are of the four kinds: passed with both, failed with both, different, not run.
func rows() []row {
	v := func(status string, seconds float64) verdict { return verdict{Status: status, Seconds: seconds} }
	never := verdict{Status: notRun, Why: "no fuse"}
	return []row{
		{"030", "qcow2", v(passed, 2), v(passed, 1.5)},
		{"040", "qcow2", v(failed, 3), v(failed, 3)},
		{"055", "qcow2", v(passed, 4), v(failed, 4)},
		{"056", "qcow2", never, never},
		{"057", "qcow2", v(passed, 1), v(notRun, 0)},
	}
}

func TestCount(t *testing.T) {
	r := &report{Version: "7.2", Format: "qcow2", Rows: rows()}
	want := count{own: 3, ours: 1, bothFailed: 1, different: 2, notRun: 1, ownSeconds: 2, oursSeconds: 1.5}
	if got := r.count(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if r.different() != 2 {
		t.Errorf("%d are different", r.different())
	}
	if !strings.Contains(r.Rows[2].line(), "DIFFERENT") || strings.Contains(r.Rows[0].line(), "DIFFERENT") {
		t.Errorf("%s\n%s", r.Rows[2].line(), r.Rows[0].line())
	}
}

// TestPage saves two parts of a report and another report, and writes the page twice.
func TestPage(t *testing.T) {
	dir := t.TempDir()
	date := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	all := rows()
	for _, r := range []*report{
		{Version: "10.0", Format: "raw", Package: "p10", Tests: "t10", Python: "Python 3.11.2", Date: date, Rows: all[:1]},
		{Version: "7.2", Format: "qcow2", Package: "p7", Tests: "t7", Python: "Python 3.11.2", Date: date, Part: "2/2", Rows: all[2:]},
		{Version: "7.2", Format: "qcow2", Package: "p7", Tests: "t7", Python: "Python 3.11.2", Date: date, Part: "1/2", Rows: all[:2]},
		// The other part is missing.
		{Version: "7.2", Format: "raw", Date: date, Part: "1/2", Rows: all[:1]},
	} {
		if err := r.save(dir); err != nil {
			t.Fatal(err)
		}
	}
	page := filepath.Join(dir, "page.md")
	if err := os.WriteFile(page, []byte("head\n"+begin+"\nold\n"+end+"\ntail\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := "head\n" + begin + `

| QEMU | format | passed, own | passed, ours | failed with both | different | not run | seconds, own | seconds, ours |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| 7.2 | qcow2 | 3 | 1 | 1 | 2 | 1 | 2.0 | 1.5 |
| 10.0 | raw | 1 | 1 | 0 | 0 | 0 | 2.0 | 1.5 |

### QEMU 7.2

2 January 2026. Programs: Debian's p7; tests: Debian's t7; Python 3.11.2.

| test | format | own | ours | seconds, own | seconds, ours |
| --- | --- | --- | --- | ---: | ---: |
| 030 | qcow2 | pass | pass | 2.0 | 1.5 |
| 040 | qcow2 | fail | fail | 3.0 | 3.0 |
| 055 | qcow2 | pass | **fail** | 4.0 | 4.0 |
| 057 | qcow2 | pass | **not run** | 1.0 | 0.0 |

Not run, by the reason that the test gives:

* no fuse: 056 (qcow2)


### QEMU 10.0

2 January 2026. Programs: Debian's p10; tests: Debian's t10; Python 3.11.2.

| test | format | own | ours | seconds, own | seconds, ours |
| --- | --- | --- | --- | ---: | ---: |
| 030 | qcow2 | pass | pass | 2.0 | 1.5 |

` + end + "\ntail\n"
	for range 2 {
		if err := writePage(page, dir); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Fatalf("got:\n%s\nwant:\n%s", got, want)
		}
	}
	if err := os.WriteFile(page, []byte("no comments"), 0o600); err != nil {
		t.Fatal(err)
	}
	if writePage(page, dir) == nil {
		t.Error("a page without the comments is not an error")
	}
}

func TestShare(t *testing.T) {
	tests := []string{"a", "b", "c"}
	for part, want := range map[string]string{"": "a b c", "1/2": "a c", "2/2": "b", "1/1": "a b c", "0/2": "error", "3/2": "error", "x": "error"} {
		got, err := share(tests, part)
		text := strings.Join(got, " ")
		if err != nil {
			text = "error"
		}
		if text != want {
			t.Errorf("%q: %s, want %s", part, text, want)
		}
	}
}
