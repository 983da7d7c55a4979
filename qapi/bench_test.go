package qapi_test

import (
	"context"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/qapi"
)

// fixed is a Caller whose reply is parsed once.
type fixed struct{ reply async.Reply }

func (f fixed) Do(context.Context, async.Command) (async.Reply, error) { return f.reply, nil }

// BenchmarkTyped compares typed calls with the same calls into structs written by
// hand, in one run: the difference is what the types cost.
func BenchmarkTyped(b *testing.B) {
	reply := func(command, raw string) fixed {
		r, err := async.ParseReply(command, []byte(raw))
		if err != nil {
			b.Fatal(err)
		}
		return fixed{r}
	}
	ctx := b.Context()
	run := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}

	status := reply("query-status", `{"return":{"status":"running","running":true}}`)
	run("query-status/typed", func() error { _, err := qapi.QueryStatus(ctx, status); return err })
	run("query-status/by-hand", func() error {
		_, err := async.Call[*struct {
			Running bool   `json:"running"`
			Status  string `json:"status"`
		}](ctx, status, "query-status", nil)
		return err
	})

	jobs := reply("query-block-jobs", `{"return":[{"type":"mirror","device":"job0","len":1073741824,"offset":65536,"busy":true,"paused":false,"speed":0,`+
		`"io-status":"ok","ready":false,"status":"running","auto-finalize":true,"auto-dismiss":true,"actively-synced":false}]}`)
	run("query-block-jobs/typed", func() error { _, err := qapi.QueryBlockJobs(ctx, jobs); return err })
	run("query-block-jobs/by-hand", func() error {
		_, err := async.Call[[]struct {
			Type           string  `json:"type"`
			Device         string  `json:"device"`
			Len            int64   `json:"len"`
			Offset         int64   `json:"offset"`
			Busy           bool    `json:"busy"`
			Paused         bool    `json:"paused"`
			Speed          int64   `json:"speed"`
			IOStatus       string  `json:"io-status"`
			Ready          bool    `json:"ready"`
			Status         string  `json:"status"`
			AutoFinalize   bool    `json:"auto-finalize"`
			AutoDismiss    bool    `json:"auto-dismiss"`
			ActivelySynced *bool   `json:"actively-synced"`
			Error          *string `json:"error"`
		}](ctx, jobs, "query-block-jobs", nil)
		return err
	})
}
