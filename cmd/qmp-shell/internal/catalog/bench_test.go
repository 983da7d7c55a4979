package catalog

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// How long a person waits for completion, with the full schema of QEMU 11.1. The baseline
// is what cannot be saved: finding the names that begin with what is typed.
func BenchmarkComplete(b *testing.B) {
	c := loaded(b, newMachine(b, "11.1"))
	b.Run("baseline", func(b *testing.B) {
		names := c.Commands()
		for b.Loop() {
			var found []string
			for _, name := range names {
				if strings.HasPrefix(name, "") {
					found = append(found, name)
				}
			}
			if len(found) < 200 {
				b.Fatal(found)
			}
		}
	})
	for name, text := range map[string]string{
		"all commands": "",
		"command":      "query-st",
		"argument":     "blockdev-add driver=qcow2 file.driver=file fi",
		"value":        "blockdev-add driver=qc",
		"transaction":  "transaction( blockdev-backup device=a target=b sync=full blockdev-snapshot node=",
		"JSON":         `{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "file": {"driver": "file", "fi`,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				c.Complete(context.Background(), text, len(text))
			}
		})
	}
}

// How long it takes to build a catalog from QEMU's answer of 200 kB. The baseline decodes
// the same text.
func BenchmarkLoad(b *testing.B) {
	m := newMachine(b, "11.1")
	b.Run("baseline", func(b *testing.B) {
		for b.Loop() {
			var v any
			if err := json.Unmarshal([]byte(m.replies["query-qmp-schema"]), &v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("catalog", func(b *testing.B) {
		for b.Loop() {
			if err := New(m).Load(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("names of types", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			c := New(m)
			if err := c.Load(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			c.known().typeNames()
		}
	})
}
