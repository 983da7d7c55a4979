//go:build unix

package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// story is what the program prints, whether the machine is simulated or not.
const story = `Refused: the server asks for a client certificate; set Certificates in the tls.Config, to one that a CA of the server has signed
Running: true
`

func wantStory(t *testing.T, simulate bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), qemutest.Patience)
	defer cancel()
	dir := qemutest.Dir(t)
	t.Setenv("TMPDIR", dir)
	var out strings.Builder
	if err := run(ctx, &out, simulate); err != nil {
		t.Error(err)
	}
	if out.String() != story {
		t.Errorf("it prints:\n%s\nwant:\n%s", out.String(), story)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 || err != nil {
		t.Errorf("the program left %v, %v", left, err)
	}
}

func TestSimulated(t *testing.T) { wantStory(t, true) }

func TestReal_QEMU(t *testing.T) {
	qemutest.Find(t, qemutest.QEMU)
	wantStory(t, false)
}
