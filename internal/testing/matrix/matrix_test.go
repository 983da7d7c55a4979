package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// events is what go test -json writes for one package, shortened.
const events = `
{"Action":"start","Package":"github.com/goqmp/qmp/async"}
{"Action":"run","Package":"github.com/goqmp/qmp/async","Test":"TestA_QEMU"}
{"Action":"output","Package":"github.com/goqmp/qmp/async","Test":"TestA_QEMU","Output":"--- PASS: TestA_QEMU (0.00s)\n"}
{"Action":"pass","Package":"github.com/goqmp/qmp/async","Test":"TestA_QEMU","Elapsed":0}
{"Action":"output","Package":"github.com/goqmp/qmp/async","Test":"TestB_QEMU","Output":"=== RUN   TestB_QEMU\n"}
{"Action":"output","Package":"github.com/goqmp/qmp/async","Test":"TestB_QEMU","Output":"    b_test.go:1: something that it logs\n"}
{"Action":"output","Package":"github.com/goqmp/qmp/async","Test":"TestB_QEMU","Output":"    b_test.go:2: QEMU 5.2.0 has no command\n"}
{"Action":"output","Package":"github.com/goqmp/qmp/async","Test":"TestB_QEMU","Output":"        yank\n"}
{"Action":"output","Package":"github.com/goqmp/qmp/async","Test":"TestB_QEMU","Output":"--- SKIP: TestB_QEMU (0.00s)\n"}
{"Action":"skip","Package":"github.com/goqmp/qmp/async","Test":"TestB_QEMU","Elapsed":0}
`

const more = `
{"Action":"output","Package":"github.com/goqmp/qmp/async","Test":"TestC_QEMU/sub","Output":"    c_test.go:7: got 1, want 2\n"}
{"Action":"fail","Package":"github.com/goqmp/qmp/async","Test":"TestC_QEMU/sub","Elapsed":0}
{"Action":"fail","Package":"github.com/goqmp/qmp/async","Elapsed":0}
`

func read(t *testing.T, text string) *tally {
	t.Helper()
	counted := newTally("5.2")
	counted.pkg = "1:5.2+dfsg-11"
	if err := counted.read(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return counted
}

func TestTable(t *testing.T) {
	got := table([]*tally{read(t, events+more)})
	want := `QEMU  package        passed  skipped  failed  seconds
5.2   1:5.2+dfsg-11  1       1        1       0

skipped with 5.2: QEMU 5.2.0 has no command yank
  async TestB_QEMU

failed with 5.2: async TestC_QEMU/sub
      c_test.go:7: got 1, want 2

failed with 5.2: async
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestFaults(t *testing.T) {
	missing := strings.ReplaceAll(events, "QEMU 5.2.0 has no command", "qemu-ga is not installed:")
	unbuilt := `
{"ImportPath":"github.com/goqmp/qmp/sync [github.com/goqmp/qmp/sync.test]","Action":"build-output","Output":"x.go:1: undefined: y\n"}
{"ImportPath":"github.com/goqmp/qmp/sync [github.com/goqmp/qmp/sync.test]","Action":"build-fail"}
{"Action":"start","Package":"github.com/goqmp/qmp/sync"}
{"Action":"fail","Package":"github.com/goqmp/qmp/sync","Elapsed":0,"FailedBuild":"github.com/goqmp/qmp/sync [github.com/goqmp/qmp/sync.test]"}
`
	empty := `
{"Action":"start","Package":"github.com/goqmp/qmp/sync"}
{"Action":"output","Package":"github.com/goqmp/qmp/sync","Output":"testing: warning: no tests to run\n"}
{"Action":"pass","Package":"github.com/goqmp/qmp/sync","Elapsed":0}
`
	for name, tt := range map[string]struct {
		events string
		ci     bool
		want   []string // how each line begins
	}{
		"nothing is wrong":                    {events, true, nil},
		"a test fails":                        {events + more, false, []string{"1 failed"}},
		"no test ran":                         {"", false, []string{"no test ran"}},
		"none in one package":                 {events + empty, false, []string{"no test of github.com/goqmp/qmp/sync ran"}},
		"a package cannot be built":           {events + unbuilt, false, []string{"1 failed", "no test of github.com/goqmp/qmp/sync ran"}},
		"something is missing":                {missing, false, nil},
		"something is missing, and CI is set": {missing, true, []string{"with CI set, skipped for a reason"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, tt.events).faults(tt.ci)
			if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestBrokenEvents(t *testing.T) {
	if err := newTally("5.2").read(strings.NewReader(`{"Action":`)); err == nil {
		t.Error("half an event is not an error")
	}
}

func TestAbout(t *testing.T) {
	version, pkg := about("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) ...\n")
	if version != "7.2.22" || pkg != "1:7.2+dfsg-7+deb12u18+b3" {
		t.Errorf("got %q, %q", version, pkg)
	}
}

// using replaces what the environment said before about QEMU's programs.
func TestUsing(t *testing.T) {
	t.Setenv("PATH", "/usr/bin")
	path := "PATH=/cache/11.1/bin" + string(filepath.ListSeparator) + "/usr/bin"
	program := "QMP_TEST_QEMU=" + filepath.Join("/cache/11.1/bin", "qemu-system-x86_64")
	got := using([]string{"HOME=/home/me", "PATH=/usr/bin", "QEMU_IMG_PROG=/opt/qemu-img", "QMP_TEST_QEMU=/opt/qemu"}, "/cache/11.1/bin")
	want := []string{"HOME=/home/me", path, program}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The list comes from what the tests import. It must have these packages.
func TestPackages(t *testing.T) {
	t.Chdir("../../..")
	all, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []testPackage{
		{path: "github.com/goqmp/qmp/async", engine: true},
		{path: "github.com/goqmp/qmp/async/qmptest"},
		{path: "github.com/goqmp/qmp/compat/iotests"},
	} {
		if !slices.Contains(all, want) {
			t.Errorf("%+v is not among %+v", want, all)
		}
	}
}
