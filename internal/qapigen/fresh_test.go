package qapigen

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The generated files in the tree equal what the generator writes now.
func TestGeneratedFilesAreFresh(t *testing.T) {
	t.Parallel()
	for program, dir := range map[string]string{"qemu": "../../qapi", "qga": "../../qapi/qga"} {
		files, err := FromFacts(program, filepath.Base(dir))
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range files {
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s is stale (%v): run 'make generate'", filepath.Join(dir, name), err)
			}
		}
		old, err := Generated(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range old {
			if files[name] == nil {
				t.Errorf("the generator no longer writes %s: run 'make generate'", filepath.Join(dir, name))
			}
		}
	}
}
