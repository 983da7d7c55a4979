// Benchmarks of parts of the engine, in memory. Those of frames, members, encoding and
// decoding are in internal/proto.
package async_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/goqmp/qmp/async"
)

// The way of a command through the engine and back, with a server in this process: with
// one caller, and with many, whose replies are routed.
func BenchmarkRoute(b *testing.B) {
	for _, callers := range []int{1, 64} {
		for _, capabilities := range []string{"", `"oob"`} {
			b.Run(fmt.Sprintf("callers=%d/oob=%t", callers, capabilities != ""), func(b *testing.B) {
				c, _ := plainServer(b, capabilities, `{"status": "running"}`, nil)
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for i := range callers {
					wg.Go(func() {
						for range (b.N + i) / callers {
							if _, err := c.Execute(b.Context(), "query-status", nil); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

// The way of an event from the socket to its listeners. The others were made for another
// name.
func BenchmarkDispatch(b *testing.B) {
	for _, bm := range []struct{ listeners, others int }{{1, 0}, {10, 0}, {1, 1000}} {
		b.Run(fmt.Sprintf("listeners=%d/others=%d", bm.listeners, bm.others), func(b *testing.B) {
			c, far := plainServer(b, "", "{}", nil)
			for range bm.listeners - 1 {
				c.NewListener(&async.ListenerOptions{Limit: 100})
			}
			for i := range bm.others {
				c.NewListener(nil, fmt.Sprint("OTHER", i))
			}
			l := c.NewListener(nil)
			b.ReportAllocs()
			b.ResetTimer()
			sendEvents(b, far, l, "BLOCK_IO_ERROR", max(100, b.N))
		})
	}
}

// A reply as maps, which is what package legacy returns, and in structs.
func BenchmarkReply(b *testing.B) {
	row := `{"device": "drive0", "locked": false, "removable": true, "inserted": {"node-name": "disk0", "ro": false, "drv": "qcow2", "iops": 0, "image": {"virtual-size": 1073741824, "filename": "/var/lib/disk.qcow2"}}}`
	type inserted struct {
		NodeName string `json:"node-name"`
		Driver   string `json:"drv"`
		Image    struct {
			VirtualSize int64 `json:"virtual-size"`
		}
	}
	for _, rows := range []int{1, 1000} {
		text := []byte(`{"return": [` + strings.Repeat(row+", ", rows-1) + row + `], "id": 1}`)
		reply, err := async.ParseReply("query-block", text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("rows=%d/maps", rows), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := reply.Object(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("rows=%d/structs", rows), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				var devices []struct {
					Device   string
					Inserted inserted
				}
				if err := reply.Decode(&devices); err != nil || len(devices) != rows {
					b.Fatal(err)
				}
			}
		})
	}
}
