// Matrix runs the tests that drive QEMU against several versions of it, and prints
// a table of the results.
//
//	go run ./internal/testing/matrix 7.2 10.0 newest
//
// A version is an argument of scripts/qemu-fetch.sh, or "system" for the QEMU on the
// PATH. Matrix fails if a test failed or if no test of a package ran. If the
// environment variable CI is set, it also fails if a test was skipped for a reason
// that it does not know.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// oldEngineOnly has the versions that are too old for the harness (compat and the
// packages that use it). Only the packages of engine are tested with them.
var oldEngineOnly = []string{"5.2"}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: matrix VERSION...")
		os.Exit(2)
	}
	packages, err := packages()
	if err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
	var columns []*tally
	for _, version := range os.Args[1:] {
		t, err := run(version, packages)
		if err != nil {
			fmt.Fprintf(os.Stderr, "matrix: QEMU %s: %v\n", version, err)
			os.Exit(1)
		}
		columns = append(columns, t)
	}
	fmt.Print("\n", table(columns))
	failed := false
	for _, t := range columns {
		for _, fault := range t.faults(os.Getenv("CI") != "") {
			fmt.Fprintf(os.Stderr, "matrix: QEMU %s: %s\n", t.version, fault)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

// skipWithOld keeps a test from the oldest versions: in QEMU 5.2 a guest that was started
// with -kernel does not come back after a reset.
const skipWithOld = "-skip=^TestGuest_QEMU$/^reboot$"

// A testPackage holds tests that drive QEMU.
type testPackage struct {
	path string
	// engine says that the package also has tests that do not drive QEMU. The names
	// of those that do have QEMU in them.
	engine bool
}

// engine has the packages that are tested with the oldest versions, too.
var engine = []string{"async", "async/agent", "async/group", "async/jobs", "async/mux", "async/record", "internal/qemujson", "sync", "legacy", "compat"}

// drivers are the packages that start QEMU for the tests that import them.
var drivers = []string{"/internal/testing/qemutest", "/compat/machine", "/compat/iotests"}

// packages returns the packages whose tests drive QEMU.
func packages() ([]testPackage, error) {
	list, err := goCommand("list", "-json=ImportPath,Module,TestImports,XTestImports", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var all []testPackage
	for d := json.NewDecoder(bytes.NewReader(list)); ; {
		var p struct {
			ImportPath                string
			Module                    struct{ Path string }
			TestImports, XTestImports []string
		}
		switch err := d.Decode(&p); {
		case err == io.EOF:
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("go list: %w", err)
		}
		imports := append(p.TestImports, p.XTestImports...)
		imports = append(imports, p.ImportPath) // a driver's own tests count
		if !slices.ContainsFunc(drivers, func(d string) bool { return slices.Contains(imports, p.Module.Path+d) }) {
			continue
		}
		dir := strings.TrimPrefix(p.ImportPath, p.Module.Path+"/")
		all = append(all, testPackage{p.ImportPath, slices.Contains(engine, dir)})
	}
}

// run runs the tests with one version.
func run(version string, packages []testPackage) (*tally, error) {
	env := os.Environ()
	t := newTally(version)
	if version == "system" {
		words, err := exec.Command("qemu-system-x86_64", "--version").Output()
		if err != nil {
			return nil, err
		}
		t.version, t.pkg = about(string(words))
	} else {
		fetch := exec.Command("scripts/qemu-fetch.sh", version)
		fetch.Stderr = os.Stderr
		out, err := fetch.Output()
		if err != nil {
			return nil, fmt.Errorf("fetch it: %w", err)
		}
		bin := strings.TrimSpace(string(out))
		pkg, err := os.ReadFile(filepath.Join(filepath.Dir(bin), "package"))
		if err != nil {
			return nil, err
		}
		t.version, t.pkg = filepath.Base(filepath.Dir(bin)), strings.TrimSpace(string(pkg))
		env = using(env, bin)
	}
	start := time.Now()
	old := slices.Contains(oldEngineOnly, t.version)
	for _, ofEngine := range []bool{true, false} {
		args := []string{"test", "-json", "-race", "-count=1", "-shuffle=on", "-timeout=20m"}
		if ofEngine {
			args = append(args, "-run=QEMU")
		}
		if old {
			args = append(args, skipWithOld)
		}
		n := len(args)
		for _, p := range packages {
			if p.engine == ofEngine && (ofEngine || !old) {
				args = append(args, p.path)
			}
		}
		if len(args) == n {
			continue
		}
		fmt.Fprintf(os.Stderr, "matrix: QEMU %s: %s\n", t.version, strings.Join(args[n:], " "))
		if err := t.test(goCommand(args...), env); err != nil {
			return nil, err
		}
	}
	t.took = time.Since(start)
	return t, nil
}

// using returns env changed so that tests find QEMU's programs in bin, and no others.
func using(env []string, bin string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "PATH" || name == "QMP_TEST_QEMU" || strings.HasSuffix(name, "_PROG")
	})
	return append(env,
		"PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"),
		"QMP_TEST_QEMU="+filepath.Join(bin, "qemu-system-x86_64"))
}

// about returns the version and the package from the first line that QEMU prints,
// such as "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)".
func about(words string) (version, pkg string) {
	line, _, _ := strings.Cut(words, "\n")
	_, line, _ = strings.Cut(line, "version ")
	version, pkg, _ = strings.Cut(line, " ")
	return version, strings.TrimSuffix(strings.TrimPrefix(pkg, "(Debian "), ")")
}

// goCommand returns a command that runs go. The environment variable GO can name
// another go than the one on the PATH.
func goCommand(args ...string) *exec.Cmd {
	name := os.Getenv("GO")
	if name == "" {
		name = "go"
	}
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	return cmd
}

// test runs go test, and counts the results.
func (t *tally) test(cmd *exec.Cmd, env []string) error {
	cmd.Env = env
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := t.read(out)
	err = cmd.Wait()
	var status *exec.ExitError
	if errors.As(err, &status) && t.failed() {
		err = nil // the tally has the failure
	}
	return errors.Join(readErr, err)
}
