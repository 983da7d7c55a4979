package qapi_test

import (
	"testing"

	"github.com/goqmp/qmp/internal/testing/qapitest"
)

// The definitions agree with what QEMU 7.2, 10.0 and 11.1 say about themselves.
// TestIntrospection_QEMU compares them with a running QEMU.
func TestDefinitionsAgree(t *testing.T) {
	t.Parallel()
	for _, release := range []string{"7.2", "10.0", "11.1"} {
		qapitest.Agree(t, "qemu", qapitest.Introspection(t, release), release)
	}
}
