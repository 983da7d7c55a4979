//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fake is a tree whose check prints a text for each test.
func fake(t *testing.T, prints string, status string) *tree {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "tests/qemu-iotests")
	if err := os.MkdirAll(filepath.Join(dir, "tests"), 0o700); err != nil {
		t.Fatal(err)
	}
	script := "printf '" + prints + "'\nexit " + status + "\n"
	for name, text := range map[string]string{
		"check":           script,
		"030":             "#!/usr/bin/env python3\nsupported_fmts=['qcow2', 'qed']\n",
		"040":             "#!/usr/bin/env python3\nsupported_fmts=[\"generic\"]\n",
		"041":             "#!/bin/bash\n",
		"tests/named":     "#!/usr/bin/env python3\n",
		"tests/named.out": "#!/usr/bin/env python3\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return &tree{top: top, scratch: t.TempDir(), sockets: t.TempDir(), python: "/bin/sh"}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct{ prints, status, want, why string }{
		{`030   ...        [05:00:00]             ...     \r030   pass       [05:00:00] [05:00:02]   2.1s                 \n`, "0", passed, ""},
		{`030   pass       [05:00:00] [05:00:02]   2.1s   (last: 3.0s) \n`, "0", passed, ""},
		{`030   fail       [05:00:00] [05:00:02]   2.1s                 failed, exit status 1\n--- a\n`, "1", failed, "failed, exit status 1"},
		{`030   not run    [05:00:00] [05:00:00]   ...                  not suitable for this image format: raw\n`, "0", notRun, "not suitable for this image format: raw"},
	} {
		tree := fake(t, tt.prints, tt.status)
		left := filepath.Join(tree.scratch, "left")
		if err := os.WriteFile(left, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := tree.run(t.Context(), "030", "raw")
		if err != nil || v.Status != tt.want || v.Why != tt.why {
			t.Errorf("%s: %+v, %v", tt.prints, v, err)
		}
		if v.Status != notRun && v.Seconds != 2.1 {
			t.Errorf("%s: %v seconds", tt.prints, v.Seconds)
		}
		if _, err := os.Stat(left); err == nil {
			t.Error("a file of a test is left")
		}
	}
	if _, err := fake(t, "QEMU_PROG does not exist", "1").run(t.Context(), "030", "raw"); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("check that does not run the test: %v", err)
	}
}

func TestTests(t *testing.T) {
	tree := fake(t, "", "0")
	tests, err := tree.tests()
	if err != nil || strings.Join(tests, " ") != "030 040 named" {
		t.Errorf("%v, %v", tests, err)
	}
	for _, tt := range []struct {
		test, format string
		want         bool
	}{{"030", "qed", true}, {"030", "raw", false}, {"040", "raw", true}, {"named", "raw", true}, {"none", "raw", true}} {
		if got := tree.suits(tt.test, tt.format); got != tt.want {
			t.Errorf("%s %s: %v", tt.test, tt.format, got)
		}
	}
}
