package qemutest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestNeedsCommands(t *testing.T) {
	Find(t, QEMU)
	for _, tt := range []struct {
		names []string
		ended string
	}{
		{[]string{"query-status", "quit"}, ""},
		{[]string{"quit", "no-such-command"}, "has no command no-such-command"},
	} {
		t.Setenv("CI", "true")
		s := &spy{TB: t}
		s.watch(func() { NeedsCommands(s, tt.names...) })
		if !strings.HasSuffix(s.ended, tt.ended) || tt.ended != "" && !strings.HasPrefix(s.ended, "skip: QEMU ") {
			t.Errorf("%v: ended with %q, want %q", tt.names, s.ended, tt.ended)
		}
	}
}

// A program that cannot answer fails the test. A skip would hide the problem.
func TestNeedsCommandsOfAnother(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short Find skips every test")
	}
	dir := program(t, QEMU)
	t.Setenv("QMP_TEST_QEMU", filepath.Join(dir, QEMU))
	for text, want := range map[string]string{
		"echo no >&2; exit 3": "exit status 3: no",
		"echo Hello":          "invalid character 'H'",
		"exit 0":              "EOF",
	} {
		if err := os.WriteFile(filepath.Join(dir, QEMU), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		s := &spy{TB: t}
		s.watch(func() { NeedsCommands(s, "quit") })
		if !strings.HasPrefix(s.ended, "fatal: ") || !strings.Contains(s.ended, want) {
			t.Errorf("%s: ended with %q, want %q", text, s.ended, want)
		}
	}
}

// A monitor that OnChardev describes works, and QEMU prints no warning about its
// options.
func TestOnChardev(t *testing.T) {
	args := append([]string{"-nodefaults", "-machine", "none", "-display", "none", "-chardev", "stdio,id=c"}, OnChardev(t, "c", "pretty=on")...)
	cmd := exec.CommandContext(Context(t), Find(t, QEMU), args...)
	cmd.Stdin = strings.NewReader(`{"execute":"qmp_capabilities"}{"execute":"quit","id":"mine"}`)
	var warnings strings.Builder
	cmd.Stderr = &warnings
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "\n    \"id\": \"mine\"") && !strings.Contains(string(out), "\"id\": \"mine\"\r\n}") {
		t.Errorf("%v, %q; want the reply to quit, on many lines", err, out)
	}
	if warnings.Len() > 0 {
		t.Errorf("%q: %s", args, &warnings)
	}
}
