package qapitest

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Introspection returns the result of query-qmp-schema of QEMU for x86_64, as it was
// recorded of a release: 7.2, 10.0 or 11.1.
func Introspection(t testing.TB, release string) []byte {
	t.Helper()
	path := filepath.Join("qapi", "testdata", "introspection-"+release+".json.gz")
	f, err := os.Open(path)
	for range 8 { // a test runs in its package's folder; the recordings are in one of those above
		if err == nil {
			break
		}
		path = filepath.Join("..", path)
		f, err = os.Open(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
