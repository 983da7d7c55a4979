package faults

import (
	"testing"

	"go.uber.org/goleak"
)

// A goroutine that is left when all tests are over fails the run.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
