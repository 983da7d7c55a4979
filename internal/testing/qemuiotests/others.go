package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// QEMU has other Python programs that use its library: tests of whole machines, and
// tools that take the socket of a monitor or of a guest agent. Here are those that need
// nothing from the network and nothing that Debian does not have.

//go:embed pycotap/pycotap.py
var pycotap []byte

// functional are the tests in tests/functional that need no images. QEMU 7.2 does not
// have them in this form.
var functional = []string{
	"cpu_queries", "empty_cpu_model", "info_usernet", "mem_addr_space", "pc_cpu_hotplug_props",
	"version", "virtio_version", "vnc", "x86_cpu_model_versions",
}

// A tool is a shell script that runs one of QEMU's tools. It prints what both libraries
// have to agree about.
type tool struct{ name, script string }

// monitor starts a QEMU, and agent a guest agent, whose socket is then $S.
const (
	waitFor = `pid=$!
trap 'kill $pid; wait $pid' EXIT
until [ -S "$S" ]; do kill -0 $pid || exit; sleep 0.05; done
`
	monitor = `"$QEMU_PROG" -machine q35 -nodefaults -display none -S -accel tcg -qmp unix:"$S",server=on,wait=off 2>/dev/null &` + "\n" + waitFor
	agent   = `qemu-ga -m unix-listen -p "$S" -t "$TEST_DIR" -f "$TEST_DIR/pid" >/dev/null 2>&1 &` + "\n" + waitFor
)

var tools = []tool{
	{"qom-list", monitor + `"$PYTHON" scripts/qmp/qom-list -s "$S" / && "$PYTHON" scripts/qmp/qom-list -s "$S" /machine/peripheral`},
	{"qom-get", monitor + `"$PYTHON" scripts/qmp/qom-get -s "$S" /machine.type; "$PYTHON" scripts/qmp/qom-get -s "$S" /nonsense.type && exit 1; exit 0`},
	{"qom-set", monitor + `"$PYTHON" scripts/qmp/qom-set -s "$S" /machine.append words && "$PYTHON" scripts/qmp/qom-get -s "$S" /machine.append`},
	{"qom-tree", monitor + `"$PYTHON" scripts/qmp/qom-tree -s "$S" /machine/peripheral`},
	{"qemu-ga-client", agent + `c() { "$PYTHON" scripts/qmp/qemu-ga-client --address="$S" "$@"; }
c ping && c info | head -n 3 && c cat /etc/debian_version && c fsfreeze status; c cat /nonexistent 2>&1 | tail -n 1`},
	{"no-server", `"$PYTHON" scripts/qmp/qom-get -s "$S" /machine.type && exit 1; exit 0`},
}

// others runs QEMU's other users of the library: those with the names, or all.
func (s *setup) others(ctx context.Context, names []string) (*report, error) {
	r := s.report("others")
	both := func(name string, run func(context.Context, *tree) (verdict, error)) error {
		if len(names) > 0 && !slices.Contains(names, name) {
			return nil
		}
		row := row{Test: name, Format: r.Format}
		var err error
		if row.Own, err = run(ctx, s.own); err != nil {
			return err
		}
		if row.Ours, err = run(ctx, s.ours); err != nil {
			return err
		}
		r.Rows = append(r.Rows, row)
		fmt.Println(row.line())
		if row.differs() {
			fmt.Println(indent(row.worse().output))
		}
		return nil
	}
	for _, name := range functional {
		if _, err := os.Stat(s.own.functional(name)); err != nil {
			continue
		}
		if err := both("functional/"+name, func(ctx context.Context, t *tree) (verdict, error) { return t.whole(ctx, name) }); err != nil {
			return nil, err
		}
	}
	for _, tool := range tools {
		own := ""
		err := both(tool.name, func(ctx context.Context, t *tree) (verdict, error) {
			v, err := t.tool(ctx, tool.script)
			if t == s.own {
				own = v.output
			} else if own != v.output && v.Status == passed {
				v.Status, v.Why = failed, "the output differs"
				v.output = own + "\nwith our library:\n" + v.output
			}
			return v, err
		})
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// functional returns the path of a test of whole machines.
func (t *tree) functional(name string) string {
	return filepath.Join(t.top, "tests/functional", "test_"+name+".py")
}

// counts are in the last lines that Python's unittest prints.
var counts = regexp.MustCompile(`(?s)Ran (\d+) tests?.*OK(?: \(skipped=(\d+)\))?\s*$`)

// whole runs a test of whole machines. It is not run if it skips everything.
func (t *tree) whole(ctx context.Context, name string) (verdict, error) {
	runner := filepath.Join(t.scratch, "pycotap")
	if err := os.MkdirAll(runner, 0o700); err != nil {
		return verdict{}, err
	}
	if err := os.WriteFile(filepath.Join(runner, "pycotap.py"), pycotap, 0o600); err != nil {
		return verdict{}, err
	}
	cmd := exec.CommandContext(ctx, t.python, t.functional(name))
	cmd.Env = append(slices.Clone(t.env),
		"PYTHONPATH="+runner+string(filepath.ListSeparator)+filepath.Join(t.top, "python"),
		"QEMU_TEST_QEMU_BINARY="+t.program, "QEMU_BUILD_ROOT="+t.scratch, "QEMU_TEST_NO_DOWNLOAD=1")
	v, err := t.start(cmd)
	if m := counts.FindStringSubmatch(v.output); m != nil && m[1] == m[2] {
		v.Status, v.Why = notRun, "it skips everything"
	}
	return v, err
}

// tool runs a script in the tree.
func (t *tree) tool(ctx context.Context, script string) (verdict, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", script)
	cmd.Env = append(slices.Clone(t.env), "S="+filepath.Join(t.sockets, "s"), "TEST_DIR="+t.scratch, "PYTHON="+t.python)
	v, err := t.start(cmd)
	// What the two runs cannot have in common.
	for _, dir := range []string{t.top, t.scratch, t.sockets} {
		v.output = string(bytes.ReplaceAll([]byte(v.output), []byte(dir), []byte("DIR")))
	}
	return v, err
}

// start runs a program that says by its exit code whether it passed.
func (t *tree) start(cmd *exec.Cmd) (verdict, error) {
	cmd.Dir = t.top
	ownGroup(cmd)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	v := verdict{Status: passed, Seconds: time.Since(start).Seconds(), output: string(out)}
	t.clean()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		v.Status, v.Why, err = failed, "exit code "+strconv.Itoa(exit.ExitCode()), nil
	}
	return v, err
}
