package docs_test

import (
	"strings"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	finish := qemutest.OwnTempDir()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { finish(code) }))
}

// printed calls f and returns what f writes to the standard output. The test fails
// if f returns an error. A test that calls printed must not be parallel.
func printed(t *testing.T, f func() error) string {
	t.Helper()
	return qemutest.Printed(t, func() {
		if err := f(); err != nil {
			t.Error(err)
		}
	})
}

// trimmed returns text without indentation and empty lines.
func trimmed(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
