package faults

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the run if a goroutine is left after all tests.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
