package iotests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goqmp/qmp/compat/machine"
)

// DefaultTimeout is how long a [Test] waits for anything by default: many times
// what a busy computer needs, so that only a hang gets there.
const DefaultTimeout = time.Minute

// TB is what the harness needs of a test. Every testing.TB is one, and so is what
// [RunProgram] passes.
type TB interface {
	machine.TB
	Name() string
	Context() context.Context
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Dict is a JSON object, as in arguments and replies.
type Dict = map[string]any

// Options configures a [Test]. A nil *Options, like the zero value, takes
// everything from the environment variables of iotests, or their defaults.
type Options struct {
	// Format is the image format. The default is $IMGFMT, or qcow2.
	Format string

	// Protocol is what lies below the format. The default is $IMGPROTO, or
	// file. The harness itself only makes files; the rest is for a test that
	// knows more.
	Protocol string

	// CacheMode and AIOMode are how [VM.AddDrive] opens images. The defaults are
	// $CACHEMODE, or writeback, and $AIOMODE, or threads.
	CacheMode, AIOMode string

	// Timeout bounds each thing that is waited for: a launch, a reply, an
	// event, a tool. Zero means [DefaultTimeout].
	Timeout time.Duration
}

// A Test is one test's surroundings: a directory that goes with it, an image
// format, a log to be compared, and the tools. Its methods fail the test where
// something does not work, with the command, what it said, and the end of the log.
//
// Like a testing.TB, a Test belongs to the goroutine of its test.
type Test struct {
	TB

	// Format, Protocol, CacheMode and AIOMode are those of the [Options].
	Format, Protocol   string
	CacheMode, AIOMode string

	// Dir is the test's own directory, which nobody else can enter. A relative
	// path means a file in there, to the tools and to machines alike.
	Dir string

	// Filters go over everything that is logged, behind those given with a
	// message. [New] sets those that every log needs: [FilterQMPEvent],
	// [Test.FilterTestFiles], [Test.FilterTestDir] and
	// [FilterGeneratedNodeIDs].
	Filters []Filter

	timeout time.Duration
	sockDir string
	vms     int

	mu   sync.Mutex // guards the fields below: progress callbacks may log
	log  []string
	told bool   // a failure has shown the log's end
	last string // the last command, of a VM or a tool
}

// New returns the surroundings of a test. At its end they go, and all that was
// started in them.
//
// With go test -short it skips the test, since everything here starts programs.
func New(tb TB, opts *Options) *Test {
	tb.Helper()
	if testing.Testing() && testing.Short() {
		tb.Skipf("skipped by -short: needs QEMU")
	}
	if opts == nil {
		opts = &Options{}
	}
	it := &Test{
		TB:        tb,
		Format:    first(opts.Format, os.Getenv("IMGFMT"), "qcow2"),
		Protocol:  first(opts.Protocol, os.Getenv("IMGPROTO"), "file"),
		CacheMode: first(opts.CacheMode, os.Getenv("CACHEMODE"), "writeback"),
		AIOMode:   first(opts.AIOMode, os.Getenv("AIOMODE"), "threads"),
		timeout:   opts.Timeout,
	}
	if it.timeout == 0 {
		it.timeout = DefaultTimeout
	}
	it.Dir = it.makeDir(os.Getenv("TEST_DIR"))
	it.sockDir = it.Dir
	if parent := os.Getenv("SOCK_DIR"); parent != "" || len(it.Dir) > maxSocketDir {
		it.sockDir = it.makeDir(first(parent, shortTempDir()))
	}
	it.Filters = []Filter{
		FilterQMPEvent,
		OverStrings(it.FilterTestFiles), OverStrings(it.FilterTestDir),
		OverStrings(FilterGeneratedNodeIDs),
	}
	it.Cleanup(func() {
		it.Helper()
		it.mu.Lock()
		told := it.told
		it.mu.Unlock()
		if tail := it.logTail(); it.Failed() && tail != "" && !told {
			it.Logf("the log ends:\n%s", tail)
		}
	})
	return it
}

// Each runs a test for each of the formats, as parallel subtests. Where the
// environment variable IMGFMT names one, only that one is run.
func Each(t *testing.T, formats []string, f func(*Test)) {
	t.Helper()
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			if only := os.Getenv("IMGFMT"); only != "" && only != format {
				t.Skipf("not for the format %s: IMGFMT is %s", format, only)
			}
			f(New(t, &Options{Format: format}))
		})
	}
}

// maxSocketDir is how long the directory of sockets may be: the address of a unix
// socket has room for some 100 bytes.
const maxSocketDir = 64

// shortTempDir is where directories have short names.
func shortTempDir() string {
	if runtime.GOOS == "windows" {
		return os.TempDir()
	}
	return "/tmp"
}

// makeDir makes a directory with mode 0700 that goes at the test's end.
func (it *Test) makeDir(parent string) string {
	it.Helper()
	// A machine has such a directory, launched or not, and also removes it where the
	// test program does not get to do so.
	m := machine.New("", &machine.Options{Name: it.Name(), TempDir: parent})
	dir, err := m.Dir()
	if err != nil {
		it.Fatalf("a directory for the test: %v", err)
	}
	it.Cleanup(func() {
		it.Helper()
		if err := m.Kill(); err != nil {
			it.Errorf("clean up: %v", err)
		}
	})
	return dir
}

// Path returns a path for a file of the test. Like all that is in the test's
// directory, the file goes with it. As in iotests the name carries the process's
// id, so that logs filtered by [Test.FilterTestFiles] look the same.
func (it *Test) Path(name string) string {
	return filepath.Join(it.Dir, fmt.Sprintf("%d-%s", os.Getpid(), name))
}

// SocketPath is [Test.Path] for a unix socket: the path is short enough for one.
func (it *Test) SocketPath(name string) string {
	return filepath.Join(it.sockDir, fmt.Sprintf("%d-%s", os.Getpid(), name))
}

// TempFile writes a file for the test and returns its path.
func (it *Test) TempFile(name string, content []byte) string {
	it.Helper()
	path := it.Path(name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		it.Fatalf("write a file for the test: %v", err)
	}
	return path
}

// Remove removes files before the test's end. One that is not there is fine.
func (it *Test) Remove(paths ...string) {
	it.Helper()
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			it.Errorf("remove a file of the test: %v", err)
		}
	}
}

// patience returns a context for one thing to be waited for.
func (it *Test) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(it.Context(), it.timeout, fmt.Errorf("not within %v", it.timeout))
}

// fail ends the test with a story: what failed, and one line for each pair of a
// heading and a text; empty texts are left out. The last command, if it is not
// among them, and the end of the log follow.
func (it *Test) fail(what string, pairs ...string) {
	it.Helper()
	var b strings.Builder
	b.WriteString(what)
	told := false
	for pair := range slices.Chunk(pairs, 2) {
		writeField(&b, pair[0], pair[1])
		told = told || pair[0] == "command"
	}
	it.mu.Lock()
	if !told {
		writeField(&b, "last command", it.last)
	}
	it.told = true
	it.mu.Unlock()
	writeField(&b, "log", it.logTail())
	it.Fatalf("%s", b.String())
}

// hasTold notes that the log was shown.
func (it *Test) hasTold() {
	it.mu.Lock()
	defer it.mu.Unlock()
	it.told = true
}

// note notes the last command, for failures that follow from it.
func (it *Test) note(command string) {
	it.mu.Lock()
	defer it.mu.Unlock()
	it.last = command
}

// writeField appends a heading and a text, further lines of which are indented.
func writeField(b *strings.Builder, heading, text string) {
	text = strings.TrimRight(text, " \r\n")
	if text == "" {
		return
	}
	const most = 4 << 10
	if len(text) > most {
		text = "..." + text[len(text)-most:]
	}
	separator := " "
	if strings.Contains(text, "\n") {
		separator = "\n    "
	}
	fmt.Fprintf(b, "\n  %s:%s%s", heading, separator, strings.ReplaceAll(text, "\n", "\n    "))
}

// first returns the first text that is not empty.
func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
