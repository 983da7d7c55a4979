package catalog

import (
	"context"
	"slices"
	"strings"
	"testing"
)

// labels returns what a menu shows, in order.
func labels(done Completion) []string {
	var names []string
	for _, c := range done.Candidates {
		names = append(names, c.Label)
	}
	return names
}

func TestComplete(t *testing.T) {
	c := loaded(t, newMachine(t, "7.2"))
	for _, tt := range []struct{ text, want string }{ // "|" is the cursor
		{"query-statu|", "query-status"},
		{"block-dirty-bitmap-r|", "block-dirty-bitmap-remove"},
		{"blockdev-add driver=qc|", "qcow qcow2"},
		{"set_link name=net0 |", "up"},
		{"set_link |", "name up"},
		{"set_link name=net0 up=|", "true false"},
		{"set_link up=| name=net0", "true false"},
		{"blockdev-add driver=raw of|", "offset"},
		{"blockdev-add driver=qcow2 file.driver=file file.fi|", "filename"},
		{"blockdev-add driver=qcow2 file.driver=file file.driver|", ""},
		{"transaction( blockdev-snapshot-i|", "blockdev-snapshot-internal-sync"},
		{"transaction( blockdev-backup sync=f|", "full"},
		{"transaction( blockdev-backup sync=full\nblockdev-snapshot-i|", "blockdev-snapshot-internal-sync"},
		{"migrate-set-capabilities capabilities.|", "0."},
		{"migrate-set-capabilities capabilities.0.capability=postcopy-r|", "postcopy-ram"},
		{`blockdev-add {"driver": "raw", "off|`, "offset"},
		{`{"execute": "query-statu|`, "query-status"},
		{`{"execute": "set_link", "arguments": {|`, "name up"},
		{"# query|", ""},
	} {
		before, after, _ := strings.Cut(tt.text, "|")
		done := c.Complete(context.Background(), before+after, len(before))
		if got := strings.Join(labels(done), " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.text, got, tt.want)
		}
	}
}

// With a driver, the members of what it stands on are offered too.
func TestCompleteNested(t *testing.T) {
	c := loaded(t, newMachine(t, "11.1"))
	text := "blockdev-add driver=qcow2 file.driver=file fi"
	got := labels(c.Complete(context.Background(), text, len(text)))
	for _, want := range []string{"file.filename", "file.locking", "file.aio"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}
