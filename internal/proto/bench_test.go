package proto

import (
	"bytes"
	stdjson "encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// BenchmarkNext frames a message and parses its members. For comparison, the same run
// measures encoding/json for the same work.
func BenchmarkNext(b *testing.B) {
	var rows []string
	for len(rows)*62 < 10<<20 {
		rows = append(rows, `{"name": "virtio-blk-pci", "value": [1, 2.5, true, null, "\u00e9"]}`)
	}
	for _, bm := range []struct{ name, text string }{
		{"reply", `{"return": {"status": "running", "singlestep": false, "running": true}, "id": 12345}` + "\r\n"},
		{"event", `{"timestamp": {"seconds": 1700000000, "microseconds": 123456}, "event": "BLOCK_JOB_READY", "data": {"device": "job0", "len": 1073741824, "offset": 1073741824, "speed": 0, "type": "mirror"}}` + "\r\n"},
		{"6KiB", `{"return": [` + strings.Join(rows[:90], ", ") + `], "id": 1}` + "\r\n"},
		{"30KiB", `{"return": [` + strings.Join(rows[:450], ", ") + `], "id": 1}` + "\r\n"},
		{"10MiB", `{"return": [` + strings.Join(rows, ", ") + `], "id": 1}` + "\r\n"},
	} {
		// The stream returns the text again and again, in pieces as a socket does.
		stream := func() io.Reader {
			whole := repeat{text: []byte(bm.text)}
			return readerFunc(func(p []byte) (int, error) { return whole.Read(p[:min(len(p), 200<<10)]) })
		}
		b.Run(bm.name+"/proto", func(b *testing.B) {
			b.SetBytes(int64(len(bm.text)))
			b.ReportAllocs()
			f := NewFramer(stream(), 0, nil)
			for b.Loop() {
				var m Message
				if err := f.Message(&m); err != nil {
					b.Fatal(err)
				}
				if m.Return == nil && m.Event == nil {
					b.Fatal("no member")
				}
			}
		})
		b.Run(bm.name+"/jsontext", func(b *testing.B) {
			b.SetBytes(int64(len(bm.text)))
			b.ReportAllocs()
			f := newJSONTextFramer(stream(), 0, nil)
			for b.Loop() {
				msg, err := f.Next()
				if err != nil {
					b.Fatal(err)
				}
				found := false
				spans(msg, func(string, span) bool { found = true; return true })
				if !found {
					b.Fatal("no member")
				}
			}
		})
		b.Run(bm.name+"/encoding-json", func(b *testing.B) {
			b.SetBytes(int64(len(bm.text)))
			b.ReportAllocs()
			dec := stdjson.NewDecoder(stream())
			for b.Loop() {
				var m map[string]stdjson.RawMessage
				if err := dec.Decode(&m); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bm.name+"/encoding-json-raw", func(b *testing.B) {
			b.SetBytes(int64(len(bm.text)))
			b.ReportAllocs()
			dec := stdjson.NewDecoder(stream())
			for b.Loop() {
				var m stdjson.RawMessage
				if err := dec.Decode(&m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecode decodes a reply into Go values.
func BenchmarkDecode(b *testing.B) {
	raw := []byte(`{"return": [` + strings.Repeat(`{"name": "virtio-blk-pci", "n": 1073741824, "value": [1, 2.5, true, null, "\u00e9"]},`, 100) + `{}], "id": 1}`)
	b.Run("proto", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Decode(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			dec := stdjson.NewDecoder(bytes.NewReader(raw))
			dec.UseNumber()
			var v any
			if err := dec.Decode(&v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSend encodes a command and checks it.
func BenchmarkSend(b *testing.B) {
	type args struct {
		Node string `json:"node-name"`
		Size int64  `json:"size"`
	}
	for _, bm := range []struct {
		name string
		args any
	}{
		{"struct", args{"disk0", 1 << 30}},
		{"map", map[string]any{"node-name": "disk0", "size": 1 << 30}},
		{"raw", stdjson.RawMessage(`{"node-name": "disk0", "size": 1073741824}`)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			var buf, obj []byte
			var err error
			for b.Loop() {
				if obj, err = AppendObject(obj[:0], bm.args); err != nil {
					b.Fatal(err)
				}
				buf = AppendCommand(buf[:0], "block_resize", false, obj, Number(7))
				if err := CheckSend(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkUnmarshal decodes a reply. For comparison, the same run measures package
// json without the rules about names and exact integers.
func BenchmarkUnmarshal(b *testing.B) {
	row := `{"iops_rd": 0, "detect_zeroes": "off", "image": {"virtual-size": 1073741824, "filename": "/tmp/disk.img", "format": "qcow2", "actual-size": 9007199254740993, "dirty-flag": false}, "ro": false, "node-name": "disk0", "backing_file_depth": 0, "drv": "qcow2", "iops": 0, "bps_wr": 0, "write_threshold": 0, "encrypted": false, "bps": 0, "bps_rd": 0, "cache": {"no-flush": false, "direct": false, "writeback": true}, "file": "/tmp/disk.img"}`
	raw := []byte("[" + strings.Repeat(row+", ", 19) + row + "]")
	type node struct {
		NodeName string `json:"node-name"`
		File     string `json:"file"`
		Image    struct {
			VirtualSize int64 `json:"virtual-size"`
			ActualSize  int64 `json:"actual-size"`
		} `json:"image"`
	}
	plain := json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for _, bm := range []struct {
		name   string
		target func() any
	}{
		{"struct", func() any { return new([]node) }},
		{"any", func() any { return new(any) }},
		{"maps", func() any { return new([]map[string]any) }},
	} {
		b.Run(bm.name+"/proto", func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if err := Unmarshal(raw, bm.target()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bm.name+"/json", func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if err := json.Unmarshal(raw, bm.target(), plain); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
