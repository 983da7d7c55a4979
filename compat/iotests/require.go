package iotests

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// RequireFormats skips the test unless its image format is one of those given.
func (it *Test) RequireFormats(formats ...string) {
	it.Helper()
	if !slices.Contains(formats, it.Format) {
		it.Skipf("not for the format %s, but for %s", it.Format, strings.Join(formats, ", "))
	}
}

// SkipFormats skips the test if its image format is one of those given. why says what
// these formats lack.
func (it *Test) SkipFormats(why string, formats ...string) {
	it.Helper()
	if slices.Contains(formats, it.Format) {
		it.Skipf("not for the format %s: %s", it.Format, why)
	}
}

// RequireProtocols skips the test unless its protocol is one of those given.
func (it *Test) RequireProtocols(protocols ...string) {
	it.Helper()
	if !slices.Contains(protocols, it.Protocol) {
		it.Skipf("not for the protocol %s, but for %s", it.Protocol, strings.Join(protocols, ", "))
	}
}

// RequireCacheModes skips the test unless its cache mode is one of those given.
func (it *Test) RequireCacheModes(modes ...string) {
	it.Helper()
	if !slices.Contains(modes, it.CacheMode) {
		it.Skipf("not for the cache mode %s, but for %s", it.CacheMode, strings.Join(modes, ", "))
	}
}

// RequireAIOModes skips the test unless its AIO mode is one of those given.
func (it *Test) RequireAIOModes(modes ...string) {
	it.Helper()
	if !slices.Contains(modes, it.AIOMode) {
		it.Skipf("not for the AIO mode %s, but for %s", it.AIOMode, strings.Join(modes, ", "))
	}
}

// RequireDrivers skips the test unless QEMU has all of the given block drivers.
func (it *Test) RequireDrivers(drivers ...string) {
	it.Helper()
	known := it.drivers()
	for _, driver := range drivers {
		if !slices.Contains(known, driver) {
			it.Skipf("this QEMU has no block driver %s", driver)
		}
	}
}

// RequireVersion skips the test unless [Test.Version] is at least the given one.
func (it *Test) RequireVersion(major, minor int) {
	it.Helper()
	haveMajor, haveMinor := it.Version()
	if c := cmp.Compare(haveMajor, major); c < 0 || c == 0 && haveMinor < minor {
		it.Skipf("needs QEMU %d.%d, this is %d.%d", major, minor, haveMajor, haveMinor)
	}
}

// Version returns QEMU's version, as qemu-img prints it.
func (it *Test) Version() (major, minor int) {
	it.Helper()
	text := it.cached(imgProgram, "--version")
	m := versionNumber.FindStringSubmatch(text)
	if m == nil {
		it.fail("qemu-img --version does not print a version", "output", text)
	}
	major, _ = strconv.Atoi(m[1]) // digits, or they would not have matched
	minor, _ = strconv.Atoi(m[2])
	return major, minor
}

var versionNumber = regexp.MustCompile(`version ([0-9]{1,4})\.([0-9]{1,4})`)

// drivers returns QEMU's block drivers.
func (it *Test) drivers() []string {
	it.Helper()
	text := it.cached(qemuProgram, "-machine", "none", "-nodefaults", "-display", "none", "-drive", "format=help")
	var all []string
	for line := range strings.Lines(text) {
		// One line is "Supported formats: a b c". Another one lists those that can only
		// be read.
		if _, list, ok := strings.Cut(line, ":"); ok {
			all = append(all, strings.Fields(list)...)
		}
	}
	if len(all) == 0 {
		it.fail("QEMU does not list its block drivers", "output", text)
	}
	return all
}

// answers holds the output of programs that stays the same while tests run.
var answers struct {
	mu     sync.Mutex
	byLine map[string]string // by command line; guarded by mu
}

// cached returns the output of a program. It runs the program if no test has done so
// before.
func (it *Test) cached(p program, args ...string) string {
	it.Helper()
	line := fmt.Sprintf("%q", append([]string{it.find(p)}, args...))
	answers.mu.Lock()
	text, ok := answers.byLine[line]
	answers.mu.Unlock()
	if ok {
		return text
	}
	// A program that prints its help ends with exit code 0 or 1, which depends on the
	// version. Only the text counts.
	text = it.run(p, args...).Output
	answers.mu.Lock()
	defer answers.mu.Unlock()
	if answers.byLine == nil {
		answers.byLine = make(map[string]string)
	}
	answers.byLine[line] = text
	return text
}
