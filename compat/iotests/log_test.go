package iotests

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// golden compares a log of the given lines with testdata/it.golden, and returns how that
// fails. The caller has changed to a directory of its own.
func golden(lines ...string) string {
	return failureOf(func(tb TB) {
		it := &Test{TB: tb}
		for _, line := range lines {
			it.Log(line)
		}
		it.CheckGolden("it")
	})
}

// CheckGolden compares the log with the file, and writes the file with -update.
func TestCheckGolden(t *testing.T) {
	t.Chdir(t.TempDir())
	update := flag.Lookup("update").Value
	before := update.String()
	t.Cleanup(func() { _ = update.Set(before) })

	_ = update.Set("false")
	if text := golden("one", "two"); !strings.Contains(text, "-update") || !strings.Contains(text, "one\ntwo\n") {
		t.Errorf("without a file: %s", text)
	}
	_ = update.Set("true")
	if text := golden("one", "two", "three"); text != "" {
		t.Errorf("update: %s", text)
	}
	_ = update.Set("false")
	if text := golden("one", "two", "three"); text != "" {
		t.Errorf("the same: %s", text)
	}
	text := golden("one", "2", "three", "four")
	if !strings.Contains(text, "@@ -1,3 +1,4 @@\n one\n-two\n+2\n three\n+four\n") {
		t.Errorf("another log: %s", text)
	}
	path := filepath.Join("testdata", "it.golden")
	if err := os.WriteFile(path, []byte("one\r\ntwo\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text := golden("one", "two"); text != "" {
		t.Errorf("a file with Windows's line ends: %s", text)
	}
	left, err := filepath.Glob(filepath.Join("testdata", ".*"))
	if len(left) > 0 || err != nil {
		t.Errorf("files were left: %v %v", left, err)
	}
}

// A failure shows a difference with three lines around it, not the whole log. If the log
// and the file have nothing in common, the failure is shortened.
func TestGoldenDifference(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("testdata", 0o700); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf("line %d", i))
	}
	if err := os.WriteFile(filepath.Join("testdata", "it.golden"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines[500] = "another"
	text := golden(lines...)
	const want = "@@ -498,7 +498,7 @@\n line 497\n line 498\n line 499\n-line 500\n+another\n line 501\n line 502\n line 503\n"
	if !strings.Contains(text, want) || strings.Contains(text, "line 504") || strings.Contains(text, "line 496\n") {
		t.Errorf("one line of 1000: %s", text)
	}
	for i := range lines {
		lines[i] = "other " + lines[i]
	}
	if text := golden(lines...); strings.Count(text, "\n") > 130 || !strings.Contains(text, "more lines") {
		t.Errorf("1000 lines of 1000: %d lines", strings.Count(text, "\n"))
	}
}

// A message that cannot be encoded as JSON fails the test, and is not logged.
func TestLogWhatIsNotJSON(t *testing.T) {
	for name, log := range map[string]func(*Test){
		"message": func(it *Test) { it.Log(make(chan int)) },
		"inside":  func(it *Test) { it.LogIndent(Dict{"a": []any{func() {}}}) },
		"filter":  func(it *Test) { it.Log("x", func(any) any { return make(chan int) }) },
	} {
		text := failureOf(func(tb TB) {
			it := &Test{TB: tb}
			log(it)
			it.Errorf("it was logged: %s", it.Logged())
		})
		if !strings.Contains(text, "cannot be logged") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// FormatJSON writes JSON as Python's json.dumps does, with sorted names.
func TestFormatJSON(t *testing.T) {
	type s struct {
		B int `json:"b"`
	}
	for _, tt := range []struct {
		v    any
		want string
	}{
		{nil, "null"},
		{Dict{"b": 1, "a": []any{true, 1.5, 2.0, "x"}}, `{"a": [true, 1.5, 2.0, "x"], "b": 1}`},
		{"\"\\\n\r\t\x01\u00e9\U0001f600", `"\"\\\n\r\t\u0001\u00e9\ud83d\ude00"`},
		{uint64(1) << 63, "9223372036854775808"},
		{1e300, "1e+300"},
		{[]any{1234567.5, 1e15, 1e16, -1e-4, 1e-5, 0.0}, "[1234567.5, 1000000000000000.0, 1e+16, -0.0001, 1e-05, 0.0]"},
		{"\b\f\x7f", `"\b\f\u007f"`},
		{[]s{{1}}, `[{"b": 1}]`},
		{[]any{Dict{}, []any{}}, "[{}, []]"},
	} {
		if got := FormatJSON(tt.v); got != tt.want {
			t.Errorf("%#v: %s, want %s", tt.v, got, tt.want)
		}
	}
	if got, want := FormatJSONIndent(Dict{"b": []any{1, 2}, "a": Dict{"c": nil}, "e": []any{}}),
		"{\n  \"a\": {\n    \"c\": null\n  },\n  \"b\": [\n    1,\n    2\n  ],\n  \"e\": []\n}"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// QMPToOpts converts values that are not texts. The original fails for them.
func TestQMPToOptsConverts(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
	}{
		{Dict{"a": 1, "b": true, "c": false, "d": nil, "e": []any{"x", Dict{"f": 1.5}}}, "a=1,b=on,c=off,d=,e.0=x,e.1.f=1.5"},
		{Dict{"a": uint64(1) << 63}, "a=9223372036854775808"},
		{5, "=5"},
		{nil, "="},
	} {
		if got := QMPToOpts(tt.v); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.v, got, tt.want)
		}
	}
}

// The filters do what their comments say, where the recorded tables do not cover it.
func TestFilters(t *testing.T) {
	it := &Test{Format: "qcow2", Dir: "/d", sockDir: "/s"}
	for _, tt := range []struct{ got, want string }{
		{
			FilterQemuIO("wrote 1/1 bytes at offset 0\r\n1 B, 1 ops; 00.00 sec (1.1 GiB/sec and 5.2 ops/sec)\n"),
			"wrote 1/1 bytes at offset 0\n1 B, X ops; XX:XX:XX.X (XXX YYY/sec and XXX ops/sec)\n",
		},
		{it.FilterTestDir("/d/x /s/y"), "TEST_DIR/x SOCK_DIR/y"},
		{
			// QEMU 8.0 and later print the child nodes.
			it.FilterImgInfo("image: x\nfile format: qcow2\nFormat specific information:\n    compat: 1.1\nChild node '/file':\n    filename: x\n    protocol: y\nChild node '/backing':\n    z\n", "x"),
			"image: TEST_IMG\nfile format: IMGFMT\nFormat specific information:\n    compat: 1.1\n",
		},
		{FormatJSON(FilterSizes("disk size: 5 MiB\nx")), `"disk size: SIZE\nx"`},
	} {
		if tt.got != tt.want {
			t.Errorf("got\n%s\nwant\n%s", tt.got, tt.want)
		}
	}
}

// When the context of RunProgram ends, so does the test's context, and the cleanups run.
func TestRunProgramInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out strings.Builder
	cleaned := 0
	err := RunProgram(ctx, &out, "it", func(tb TB) {
		tb.Cleanup(func() { cleaned++ })
		tb.Cleanup(func() { tb.Fatalf("a cleanup fails: %v", tb.Context().Err()) })
		tb.Logf("%s", tb.Name())
	})
	if err == nil || cleaned != 1 || out.String() != "it\na cleanup fails: context canceled\n" {
		t.Errorf("%v, %d cleanups, %q", err, cleaned, out.String())
	}
}
