package main

import (
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// needQEMU skips the test if QEMU's programs are missing. Where CI is set, it fails the
// test instead.
func needQEMU(t *testing.T) {
	t.Helper()
	qemutest.Find(t, qemutest.QEMU)
	qemutest.Find(t, qemutest.Img)
}
