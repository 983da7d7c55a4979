package terminal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestHistoryPath(t *testing.T) {
	for _, tt := range []struct{ state, home, want string }{
		{"/state", "/home/a", "/state/qmp-shell/history"},
		{"relative", "/home/a", "/home/a/.local/state/qmp-shell/history"},
		{"", "/home/a", "/home/a/.local/state/qmp-shell/history"},
	} {
		env := map[string]string{"XDG_STATE_HOME": tt.state, "HOME": tt.home}
		if got := HistoryPath(func(name string) string { return env[name] }); filepath.ToSlash(got) != tt.want {
			t.Errorf("%+v: got %s", tt, got)
		}
	}
}

// A later session has the entries of earlier ones, whatever is in them.
func TestHistoryIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "history")
	want := []string{"query-status", "transaction(\nabort\n)", `"quoted" text`, `{"execute": "stop"}`, "größe=1"}
	h, err := OpenHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range want {
		if err := h.Add(text + "\n"); err != nil {
			t.Fatal(err)
		}
		h.Add(text) // the same again is not kept
		h.Add("  ")
	}
	again, err := OpenHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Entries(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A file that others can read is closed to them, and an older session's lines are kept.
func TestHistoryIsForTheOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	if err := os.WriteFile(path, []byte("stop\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h, err := OpenHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Add("cont"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(path)
	if info.Mode().Perm() != 0o600 || string(b) != "stop\ncont\n" {
		t.Errorf("mode %v, content %q", info.Mode(), b)
	}
}

func TestLongHistoryIsShortened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	var all strings.Builder
	for i := range 2*mostEntries + 1 {
		all.WriteString("query-" + strconv.Itoa(i) + "\n")
	}
	if err := os.WriteFile(path, []byte(all.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenHistory(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "\n"); n != mostEntries || !strings.HasSuffix(string(b), "query-"+strconv.Itoa(2*mostEntries)+"\n") {
		t.Errorf("%d lines are left", n)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".history-*")); len(left) != 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

// A history that cannot be shortened says so, and is kept.
func TestHistoryThatCannotBeShortened(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "history")
	if err := os.WriteFile(path, []byte(strings.Repeat("stop\n", 2*mostEntries+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	reason := errors.New("no space left")
	h, err := openHistory(path, func(string, []string) error { return reason })
	if !errors.Is(err, reason) {
		t.Errorf("the error is %v", err)
	}
	if err := h.Add("cont"); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(path); err != nil || !strings.HasSuffix(string(b), "stop\ncont\n") {
		t.Errorf("%v: the file ends with %q", err, b[max(len(b)-20, 0):])
	}
}

// A history that cannot be read or written says so once, and works in memory.
func TestHistoryThatCannotBeKept(t *testing.T) {
	dir := t.TempDir()
	h, err := OpenHistory(dir) // a folder
	if err == nil || h == nil {
		t.Fatalf("a folder was opened: %v", err)
	}
	if err := h.Add("stop"); err != nil || len(h.Entries()) != 1 {
		t.Errorf("Add: %v, entries %v", err, h.Entries())
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h = &History{path: filepath.Join(file, "history")} // its folder cannot be made
	if err := h.Add("stop"); err == nil {
		t.Error("the first Add returns nil")
	}
	if err := h.Add("cont"); err != nil || len(h.Entries()) != 2 {
		t.Errorf("the second Add: %v, entries %v", err, h.Entries())
	}
}

// What is in a file of a history, whoever wrote it, becomes entries without control
// characters, and an entry that is written is read as it was.
func FuzzHistory(f *testing.F) {
	f.Add("stop\n\"a\\nb\"\n\x1b[2J\n\"\n")
	f.Fuzz(func(t *testing.T, content string) {
		for line := range strings.SplitSeq(content, "\n") {
			entry := decodeEntry(line)
			if clean(entry) != entry {
				t.Fatalf("%q has control characters", entry)
			}
			encoded := encodeEntry(entry)
			if strings.Contains(encoded, "\n") || decodeEntry(encoded) != entry {
				t.Fatalf("%q is written as %q and read as %q", entry, encoded, decodeEntry(encoded))
			}
		}
	})
}
