package qapi_test

import (
	"compress/gzip"
	"io"
	"os"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qapitest"
)

// The definitions agree with what QEMU 7.2, 10.0 and 11.1 say about themselves.
// TestIntrospection_QEMU compares them with a running QEMU.
func TestDefinitionsAgree(t *testing.T) {
	t.Parallel()
	for _, release := range []string{"7.2", "10.0", "11.1"} {
		qapitest.Agree(t, "qemu", recorded(t, release), release)
	}
}

// recorded returns the result of query-qmp-schema of QEMU for x86_64, as it was recorded.
func recorded(t testing.TB, release string) []byte {
	t.Helper()
	f, err := os.Open("testdata/introspection-" + release + ".json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
