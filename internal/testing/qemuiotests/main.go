// Qemuiotests runs QEMU's own iotests that are written in Python: each of them twice,
// with QEMU's own library and with the one of compat/pybridge, and compares.
//
//	go run ./internal/testing/qemuiotests [-qemu VERSIONS] [-tests TESTS] [-formats FORMATS] [-short] [-rounds N] [-write FILE]
//
// It fails if a test has not the same verdict with both libraries. QEMU's files are
// fetched into the cache (scripts/qemu-fetch.sh --tests). docs/iotests.md describes it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// formats are the image formats of QEMU's check that QEMU can write.
const formats = "raw qcow2 qcow qed vdi vpc vhdx vmdk parallels luks"

// short are ten tests that use most of the library, and take a few seconds each.
const short = "096 132 152 196 202 203 208 228 236 280"

func main() {
	if isWrapper() {
		fmt.Fprintln(os.Stderr, wrap())
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "qemuiotests:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	qemu := flag.String("qemu", "7.2 10.0", "versions of scripts/qemu-fetch.sh, or system for the QEMU on the PATH")
	tests := flag.String("tests", "", "names of tests; none means all")
	wanted := flag.String("formats", "qcow2", "image formats; all means all of them; others means the other Python programs of QEMU that use the library")
	part := flag.String("part", "", "run only this part of the tests, such as 1/3, so that several processes can share them; with -results")
	quick := flag.Bool("short", false, "run ten short tests")
	rounds := flag.Int("rounds", 1, "how often each test runs")
	results := flag.String("results", "", "a folder that keeps the results, so that -write can use those of several runs")
	page := flag.String("write", "", "a page whose tables are written anew, from all results in the folder; with -tests none nothing is run")
	python := flag.String("python", "python3", "the Python that runs the tests")
	flag.Parse()
	if *quick {
		*tests = short
	}
	if *wanted == "all" {
		*wanted = formats
	}
	bridge, err := filepath.Abs("compat/pybridge/python")
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(bridge, "libgoqmp.so")); err != nil {
		return fmt.Errorf("%w: make pybridge builds it", err)
	}
	interpreter, err := exec.LookPath(*python)
	if err != nil {
		return err
	}

	if *page != "" && *results == "" {
		return fmt.Errorf("-write needs -results")
	}
	if *tests == "none" {
		return writePage(*page, *results)
	}

	different := 0
	for _, version := range strings.Fields(strings.ReplaceAll(*qemu, ",", " ")) {
		s, err := prepare(version, bridge, interpreter)
		if err == nil {
			err = func() error {
				defer s.close()
				for _, format := range split(*wanted) {
					run := func() (*report, error) { return s.compare(ctx, split(*tests), format, *part, *rounds) }
					if format == "others" {
						run = func() (*report, error) { return s.others(ctx, split(*tests)) }
					}
					r, err := run()
					if err != nil {
						return err
					}
					fmt.Printf("\n%s\n", r.summary())
					different += r.different()
					if *results != "" {
						if err := r.save(*results); err != nil {
							return err
						}
					}
				}
				return nil
			}()
		}
		if err != nil {
			return fmt.Errorf("QEMU %s: %w", version, err)
		}
	}
	if *page != "" {
		if err := writePage(*page, *results); err != nil {
			return err
		}
	}
	if different > 0 {
		return fmt.Errorf("with our library %d runs ended differently", different)
	}
	return nil
}

// compare runs the tests in one format, and prints a line for each.
func (s *setup) compare(ctx context.Context, tests []string, format, part string, rounds int) (*report, error) {
	if len(tests) == 0 {
		all, err := s.own.tests()
		if err != nil {
			return nil, err
		}
		tests = all
	}
	tests, err := share(tests, part)
	if err != nil {
		return nil, err
	}
	r := s.report(format)
	r.Part = part
	fmt.Printf("QEMU %s (%s), tests of %s, %s\n", r.Version, r.Package, r.Tests, r.Python)
	for range rounds {
		for _, test := range tests {
			row, err := s.both(ctx, test, format)
			if err != nil {
				return nil, err
			}
			r.Rows = append(r.Rows, row)
			if row.Own.Status != notRun || !strings.HasPrefix(row.Own.Why, unsuitable) {
				fmt.Println(row.line())
			}
			if row.differs() {
				fmt.Println(indent(row.worse().output))
			}
		}
	}
	return r, nil
}

// report returns a report without rows.
func (s *setup) report(format string) *report {
	return &report{Version: s.version, Package: s.pkg, Tests: s.tests, Python: versionOf(s.own.python), Format: format, Date: time.Now()}
}

// share returns the tests of a part such as "1/3"; "" means all.
func share(tests []string, part string) ([]string, error) {
	if part == "" {
		return tests, nil
	}
	var n, of int
	if _, err := fmt.Sscanf(part, "%d/%d", &n, &of); err != nil || n < 1 || n > of {
		return nil, fmt.Errorf("-part %s is not like 1/3", part)
	}
	var mine []string
	for i, test := range tests {
		if i%of == n-1 {
			mine = append(mine, test)
		}
	}
	return mine, nil
}

// both runs one test with both libraries.
func (s *setup) both(ctx context.Context, test, format string) (row, error) {
	r := row{Test: test, Format: format}
	if !s.own.suits(test, format) {
		r.Own = verdict{Status: notRun, Why: unsuitable + format}
		r.Ours = r.Own
		return r, nil
	}
	var err error
	if r.Own, err = s.own.run(ctx, test, format); err != nil {
		return r, err
	}
	if r.Own.Status == notRun {
		r.Ours = r.Own // the library does not matter then
		return r, nil
	}
	r.Ours, err = s.ours.run(ctx, test, format)
	return r, err
}

// split splits a list with spaces or commas.
func split(list string) []string { return strings.Fields(strings.ReplaceAll(list, ",", " ")) }

func versionOf(python string) string {
	out, err := exec.Command(python, "--version").Output()
	if err != nil {
		return python
	}
	return strings.TrimSpace(string(out))
}
