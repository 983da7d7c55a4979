package cli

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async/qmptest"
)

// Of several errors that come together, each is printed unless it was printed before.
func TestEachOfSeveralErrorsIsPrinted(t *testing.T) {
	vm := qmptest.Start(t, &qmptest.Options{ManyClients: true})
	r := run("nonsense\na=b\nquery-name\n", "-k", vm.Addr())
	want(t, r, 2, "", "standard input:2: column 1")
	if n := strings.Count(r.stderr, "standard input:1:"); n != 1 {
		t.Errorf("the refusal is printed %d times:\n%s", n, r.stderr)
	}
	if _, err := os.Stat("/dev/full"); !errors.Is(err, fs.ErrNotExist) { // other systems than Linux have none
		r := run("", "record", "/dev/full", "-k", "-c", "nonsense", vm.Addr())
		want(t, r, 1, "", "no space left on device")
		if n := strings.Count(r.stderr, "-c: nonsense:"); n != 1 {
			t.Errorf("the refusal is printed %d times:\n%s", n, r.stderr)
		}
	}
}
