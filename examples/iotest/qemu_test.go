package main

import (
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// needQEMU skips the test, or fails it, where programs are missing.
func needQEMU(t *testing.T) {
	t.Helper()
	qemutest.Find(t, qemutest.QEMU)
	qemutest.Find(t, qemutest.Img)
}
