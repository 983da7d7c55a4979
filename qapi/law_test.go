package qapi_test

import (
	"testing"

	"github.com/goqmp/qmp/internal/testing/qapitest"
	"github.com/goqmp/qmp/qapi"
)

// A decoded value encodes to the same JSON.
func TestLaw(t *testing.T) {
	t.Parallel()
	qapitest.Law(t, "qemu", qapi.Commands(), qapi.Events())
}

// Every function sends its command, and returns its result.
func TestFunctions(t *testing.T) {
	t.Parallel()
	qapitest.Functions(t, "qemu", qapi.Commands(), calls)
}

// The same for each type by itself.
func TestTypes(t *testing.T) {
	t.Parallel()
	qapitest.Types(t, "qemu", types)
}
