package qga_test

import (
	"testing"

	"github.com/goqmp/qmp/internal/testing/qapitest"
	"github.com/goqmp/qmp/qapi/qga"
)

// What was decoded encodes to the same JSON.
func TestLaw(t *testing.T) {
	t.Parallel()
	qapitest.Law(t, "qga", qga.Commands(), nil)
}

// Every function sends its command, and returns its result.
func TestFunctions(t *testing.T) {
	t.Parallel()
	qapitest.Functions(t, "qga", qga.Commands(), calls)
}

// The same for each type by itself.
func TestTypes(t *testing.T) {
	t.Parallel()
	qapitest.Types(t, "qga", types)
}
