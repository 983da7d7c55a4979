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
	"github.com/goqmp/qmp/internal/harmless"
)

// DefaultTimeout is how long a [Test] waits for one thing by default. It is many times
// what a busy computer needs, so only something that hangs reaches it.
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

	// Protocol is the protocol below the image format. The default is $IMGPROTO,
	// or file. The harness makes images as files, whatever the protocol is. A test
	// that supports other protocols reads this field.
	Protocol string

	// CacheMode and AIOMode are how [VM.AddDrive] opens images. The defaults are
	// $CACHEMODE, or writeback, and $AIOMODE, or threads.
	CacheMode, AIOMode string

	// OutputDir is where a test that fails leaves a folder with its name: for each VM a
	// recording of its monitor, which package record reads and qmptest.ReplayFile plays,
	// and the command line and output of its process. The failure names the files. They
	// are removed if the test passes. If the test program is killed, or reaches go
	// test's -timeout, the recordings are left there as far as they were written.
	//
	// The default is $OUTPUT_DIR, or with the flag -artifacts of go test the test's
	// artifact directory. Without these, the folder of a failed test is in os.TempDir(),
	// and nothing is left if the test program is killed.
	OutputDir string

	// Timeout limits each single wait: for a launch, a reply, an event, a tool.
	// Zero means [DefaultTimeout].
	Timeout time.Duration
}

// A Test is what one test works with: a directory, which is removed at the end, an image
// format, a log that is compared with a file, and QEMU's tools. If something does not
// work, its methods fail the test, and print the command, its output, and the end of the
// log.
//
// Like a testing.TB, a Test belongs to the goroutine of its test. Other goroutines may
// only call Log, LogIndent and Logged.
type Test struct {
	TB

	// Format, Protocol, CacheMode and AIOMode are those of the [Options], with the
	// defaults filled in.
	Format, Protocol   string
	CacheMode, AIOMode string

	// Dir is the test's own directory. Its mode is 0700. For tools and machines, a
	// relative path is relative to Dir.
	Dir string

	// Filters change everything that is logged, after the filters that are given
	// with a message. [New] sets those that every log needs: [FilterQMPEvent],
	// [Test.FilterTestFiles], [Test.FilterTestDir] and [FilterGeneratedNodeIDs].
	Filters []Filter

	timeout time.Duration // for each single wait
	sockDir string        // the directory of unix sockets; Dir unless that is too long
	vms     int           // how many machines and servers the test has made
	keep    keeper        // what is kept if the test fails

	mu       sync.Mutex // guards the fields below: other goroutines may log
	log      []string   // the lines of the log
	last     string     // the last command, of a VM or a tool
	logShown bool       // a failure has shown the end of the log
}

// New returns a [Test] for tb. When tb ends, the harness ends the processes that the
// Test has started, and removes its directories.
//
// With go test -short, New skips the test, since all such tests start programs.
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
	it.keep.output = outputDir(tb, opts)
	it.Filters = []Filter{
		FilterQMPEvent,
		OverStrings(it.FilterTestFiles), OverStrings(it.FilterTestDir),
		OverStrings(FilterGeneratedNodeIDs),
	}
	it.Cleanup(func() {
		it.Helper()
		it.mu.Lock()
		shown := it.logShown
		it.mu.Unlock()
		if tail := it.logTail(); it.Failed() && tail != "" && !shown {
			it.Logf("the log ends:\n%s", tail)
		}
		it.keep.end(it)
	})
	return it
}

// Each runs a test for each of the formats, as parallel subtests. If the environment
// variable IMGFMT is set, the subtests of other formats are skipped.
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

// maxSocketDir is how long the path of the directory of sockets may be, in bytes. The
// address of a unix socket has room for about 100 bytes.
const maxSocketDir = 64

// shortTempDir returns a directory for temporary files whose path is short.
func shortTempDir() string {
	if runtime.GOOS == "windows" {
		return os.TempDir()
	}
	return "/tmp"
}

// makeDir makes a directory with mode 0700, which is removed when the test ends.
func (it *Test) makeDir(parent string) string {
	it.Helper()
	// A machine has such a directory even before it is launched. It is removed also if
	// the test program is killed.
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

// Path returns a path for a file in [Test].Dir, which is removed with the directory. As
// in iotests, the process's id is part of the file's name. [Test.FilterTestFiles] hides
// it in logs. Path does not make the file.
func (it *Test) Path(name string) string {
	return filepath.Join(it.Dir, fmt.Sprintf("%d-%s", os.Getpid(), name))
}

// SocketPath is [Test.Path] for a unix socket. The path is short enough for a socket's
// address.
func (it *Test) SocketPath(name string) string {
	return filepath.Join(it.sockDir, fmt.Sprintf("%d-%s", os.Getpid(), name))
}

// TempFile writes a file with mode 0600 and returns its path, [Test.Path] of the name.
func (it *Test) TempFile(name string, content []byte) string {
	it.Helper()
	path := it.Path(name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		it.Fatalf("write a file for the test: %v", err)
	}
	return path
}

// Remove removes files before the test ends. A file that does not exist is not an error.
func (it *Test) Remove(paths ...string) {
	it.Helper()
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			it.Errorf("remove a file of the test: %v", err)
		}
	}
}

// withTimeout returns a context for one wait, which ends after the test's time limit.
func (it *Test) withTimeout() (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(it.Context(), it.timeout, fmt.Errorf("not within %v", it.timeout))
}

// fail fails the test and ends its goroutine. It prints what failed, one field for each
// pair of a heading and a text, and the end of the log. It leaves out empty texts. If no
// heading is "command", it also prints the last command.
func (it *Test) fail(what string, pairs ...string) {
	it.Helper()
	var b strings.Builder
	b.WriteString(harmless.Text(what))
	hasCommand := false
	for pair := range slices.Chunk(pairs, 2) {
		writeField(&b, pair[0], pair[1])
		hasCommand = hasCommand || pair[0] == "command"
	}
	it.mu.Lock()
	if !hasCommand {
		writeField(&b, "last command", it.last)
	}
	it.logShown = true
	it.mu.Unlock()
	writeField(&b, "log", it.logTail())
	it.Fatalf("%s", b.String())
}

// noteLogShown records that a failure has shown the log.
func (it *Test) noteLogShown() {
	it.mu.Lock()
	defer it.mu.Unlock()
	it.logShown = true
}

// note records a command, which later failures show as the last one.
func (it *Test) note(command string) {
	it.mu.Lock()
	defer it.mu.Unlock()
	it.last = command
}

// writeField appends a heading and a text. A text of several lines is indented, and of a
// long text only the last 4 KiB are shown.
func writeField(b *strings.Builder, heading, text string) {
	text = strings.TrimRight(text, " \r\n")
	if text == "" {
		return
	}
	const most = 4 << 10
	if len(text) > most {
		text = "..." + text[len(text)-most:]
	}
	text = harmless.Text(text) // after the cut, which may leave a part of a character
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
