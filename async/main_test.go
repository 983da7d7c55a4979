// The check that no goroutine is left when all tests have run.
package async_test

import (
	"testing"

	"go.uber.org/goleak"
)

// A goroutine that is left after all tests fails the run.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
