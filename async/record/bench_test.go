package record_test

import (
	"io"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/async/record"
)

// What recording adds to a round trip: the same commands, to the same kind of server, with
// and without a recorder. The metric x-of-plain is the time with a recorder as a multiple
// of the time without one, in the same run.
func BenchmarkRecording(b *testing.B) {
	dial := func(tracers ...*async.Tracer) *async.Client {
		vm := qmptest.Start(b, &qmptest.Options{NoRecord: true})
		c, err := async.Dial(b.Context(), vm.Addr(), &async.Options{Tracers: tracers})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		return c
	}
	const batch = 50
	execute := func(c *async.Client, cmd string) time.Duration {
		began := time.Now()
		for range batch {
			if _, err := c.Execute(b.Context(), cmd, nil); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(began)
	}
	for name, cmd := range map[string]string{"small": "query-status", "schema": "query-qmp-schema"} {
		b.Run(name, func(b *testing.B) {
			rec := record.New(io.Discard, &record.Options{MaxSize: -1})
			plain, traced := dial(), dial(rec.Tracer(""))
			var without, with time.Duration
			for b.Loop() {
				without += execute(plain, cmd)
				with += execute(traced, cmd)
			}
			b.ReportMetric(float64(with)/float64(without), "x-of-plain")
			b.ReportMetric(float64(with.Nanoseconds())/float64(b.N*batch), "ns/recorded")
			b.ReportMetric(float64(without.Nanoseconds())/float64(b.N*batch), "ns/plain")
			if err := rec.Close(); err != nil {
				b.Error(err)
			}
		})
	}
}
