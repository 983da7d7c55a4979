package machine_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// fakeMode is the environment variable that makes this test binary play a
// program to be started, in place of running tests.
const fakeMode = "QMP_MACHINE_FAKE"

func TestMain(m *testing.M) {
	if mode := os.Getenv(fakeMode); mode != "" {
		playFake(mode, os.Args[1:])
		os.Exit(0)
	}
	os.Exit(runTests(m))
}

// runTests runs the tests. Then it checks that they have left no goroutine, file or
// process.
func runTests(m *testing.M) int {
	// A directory of our own shows what is left in it. Its name is short, since
	// there will be sockets in it.
	dir, err := os.MkdirTemp("", "m")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv("TMPDIR", dir)
	// The tests wait for processes more than they compute. A flag on the command
	// line overrides this.
	if err := flag.Set("test.parallel", "6"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if code := m.Run(); code != 0 {
		return code
	}
	if err := nothingLeft(dir); err != nil {
		fmt.Fprintln(os.Stderr, "the tests have left:", err)
		return 1
	}
	return 0
}

func nothingLeft(dir string) error {
	if err := goleak.Find(); err != nil {
		return err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(files) > 0 {
		return fmt.Errorf("files in %s: %v", dir, files)
	}
	if kids := children(os.Getpid()); len(kids) > 0 {
		return fmt.Errorf("processes %v", kids)
	}
	return nil
}

// children returns the processes whose parent is pid, including those that have ended
// and were not collected. It works only on Linux.
func children(pid int) []string {
	var kids []string
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		if text, parent := readStat(stat); parent == strconv.Itoa(pid) {
			kids = append(kids, text)
		}
	}
	return kids
}

// readStat returns a process's line in /proc, and its parent there.
func readStat(path string) (text, parent string) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", ""
	}
	text = string(b)
	// The state and the parent follow the name in parentheses, which may contain any
	// character.
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	return text, fields[1]
}

// gone reports whether a process has ended, whether or not somebody has collected
// it.
func gone(pid int) bool {
	text, _ := readStat(fmt.Sprintf("/proc/%d/stat", pid))
	return text == "" || strings.Contains(text, ") Z ")
}

// eventually waits until done reports true. It is for what other processes do.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not so after 20 s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is[T comparable](t *testing.T, got, want T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
