package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/bench/internal/measure"
	"github.com/goqmp/qmp/internal/testing/usage"
	"github.com/goqmp/qmp/legacy"
	qmpsync "github.com/goqmp/qmp/sync"
)

// The clients of this project: packages async, qmpsync and legacy, and listeners.

const (
	callers   = 64   // on one connection
	listeners = 10   // of one connection
	crowd     = 1000 // connections
)

type statusInfo struct {
	Status  string `json:"status"`
	Running bool   `json:"running"`
}

type floodArgs struct {
	Count int `json:"count"`
}

// A node is what a caller's struct for a row of the large replies looks like.
type node struct {
	NodeName         string `json:"node-name"`
	File             string `json:"file"`
	Driver           string `json:"drv"`
	ReadOnly         bool   `json:"ro"`
	Encrypted        bool   `json:"encrypted"`
	DetectZeroes     string `json:"detect_zeroes"`
	BackingFileDepth int    `json:"backing_file_depth"`
	WriteThreshold   int64  `json:"write_threshold"`
	IOPS             int64  `json:"iops"`
	IOPSRead         int64  `json:"iops_rd"`
	IOPSWrite        int64  `json:"iops_wr"`
	BPS              int64  `json:"bps"`
	BPSRead          int64  `json:"bps_rd"`
	BPSWrite         int64  `json:"bps_wr"`
	Cache            struct {
		NoFlush   bool `json:"no-flush"`
		Direct    bool `json:"direct"`
		Writeback bool `json:"writeback"`
	} `json:"cache"`
	Image struct {
		VirtualSize int64  `json:"virtual-size"`
		ActualSize  int64  `json:"actual-size"`
		Filename    string `json:"filename"`
		Format      string `json:"format"`
		Dirty       bool   `json:"dirty-flag"`
	} `json:"image"`
}

// checkNodes returns an error if nodes are not those that the server has sent.
func checkNodes(nodes []node) error {
	if len(nodes) == 0 {
		return fmt.Errorf("no nodes")
	}
	last := nodes[len(nodes)-1]
	if want := fmt.Sprintf("disk%06d", len(nodes)-1); last.NodeName != want || last.Image.VirtualSize != 1<<30 {
		return fmt.Errorf("the last node is %q with %d bytes; want %q with %d bytes", last.NodeName, last.Image.VirtualSize, want, 1<<30)
	}
	return nil
}

// checkStatus returns an error if s is not the status that the server has sent.
func checkStatus(s statusInfo, err error) error {
	if err == nil && s.Status == "" {
		return fmt.Errorf("the reply has no status")
	}
	return err
}

// withAsync measures one of the operations of package async.
func withAsync(run func(context.Context, measure.Job, *async.Client) (measure.Sample, error)) func(measure.Job) (measure.Sample, error) {
	return func(job measure.Job) (measure.Sample, error) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		c, err := async.Dial(ctx, job.Addr, nil)
		if err != nil {
			return measure.Sample{}, err
		}
		defer c.Close()
		return run(ctx, job, c)
	}
}

func runAsync(ctx context.Context, job measure.Job, c *async.Client) (measure.Sample, error) {
	return measure.Loop(job, func() error {
		_, err := c.Execute(ctx, "query-status", nil)
		return err
	})
}

func runAsyncStruct(ctx context.Context, job measure.Job, c *async.Client) (measure.Sample, error) {
	return measure.Loop(job, func() error {
		return checkStatus(async.Call[statusInfo](ctx, c, "query-status", nil))
	})
}

func runAsyncTogether(ctx context.Context, job measure.Job, c *async.Client) (measure.Sample, error) {
	return measure.Together(job, callers, func() error {
		return checkStatus(async.Call[statusInfo](ctx, c, "query-status", nil))
	})
}

// runAsyncEvents measures events that every one of n listeners gets. Each listener has
// a reader.
func runAsyncEvents(n int) func(context.Context, measure.Job, *async.Client) (measure.Sample, error) {
	return func(ctx context.Context, job measure.Job, c *async.Client) (measure.Sample, error) {
		ls := make([]*async.EventListener, n)
		for i := range ls {
			ls[i] = c.NewListener(nil)
			defer ls[i].Close()
		}
		return measure.Run(job, func(count int) error {
			errs := make(chan error, n)
			for _, l := range ls {
				go func() {
					for range count {
						if _, err := l.Next(ctx); err != nil {
							errs <- err
							return
						}
					}
					errs <- nil
				}()
			}
			if _, err := c.Execute(ctx, "flood", floodArgs{count}); err != nil {
				return err
			}
			for range ls {
				if err := <-errs; err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func runAsyncLarge(ctx context.Context, job measure.Job, c *async.Client) (measure.Sample, error) {
	return measure.Loop(job, func() error {
		_, err := c.Execute(ctx, "query-named-block-nodes", nil)
		return err
	})
}

func runAsyncLargeStruct(ctx context.Context, job measure.Job, c *async.Client) (measure.Sample, error) {
	return measure.Loop(job, func() error {
		nodes, err := async.Call[[]node](ctx, c, "query-named-block-nodes", nil)
		if err != nil {
			return err
		}
		return checkNodes(nodes)
	})
}

func runAsyncSession(job measure.Job) (measure.Sample, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	return measure.Loop(job, func() error {
		c, err := async.Dial(ctx, job.Addr, nil)
		if err != nil {
			return err
		}
		if _, err := c.Execute(ctx, "query-status", nil); err != nil {
			return err
		}
		return c.Disconnect(ctx)
	})
}

// runCrowd measures what connections cost that are open and have executed a command.
func runCrowd[C any](dial func(addr string) (C, error)) func(measure.Job) (measure.Sample, error) {
	return func(job measure.Job) (measure.Sample, error) {
		clients := make([]C, job.Count)
		resident, goroutines := settled(), runtime.NumGoroutine()
		began := time.Now()
		for i := range clients {
			c, err := dial(job.Addr)
			if err != nil {
				return measure.Sample{}, err
			}
			clients[i] = c
		}
		s := measure.Sample{N: job.Count, Wall: time.Since(began)}
		s.Resident, s.Goroutines = settled()-resident, runtime.NumGoroutine()-goroutines
		runtime.KeepAlive(clients)
		return s, nil
	}
}

// settled returns the resident memory of this process after garbage was collected.
func settled() int64 {
	runtime.GC()
	runtime.GC()
	return usage.Resident()
}

func dialCrowdRaw(addr string) (*raw, error) {
	r, err := dialRaw(context.Background(), addr, noOOB)
	if err != nil {
		return nil, err
	}
	if _, err := r.send(query); err != nil {
		r.conn.Close()
		return nil, err
	}
	return r, nil
}

func dialCrowd(addr string) (*async.Client, error) {
	c, err := async.Dial(context.Background(), addr, nil)
	if err != nil {
		return nil, err
	}
	return c, checkStatus(async.Call[statusInfo](context.Background(), c, "query-status", nil))
}

func dialCrowdLegacy(addr string) (*legacy.QEMUMonitorProtocol, error) {
	q, err := legacy.New(addr, nil)
	if err != nil {
		return nil, err
	}
	if _, err := q.Connect(true); err != nil {
		return nil, err
	}
	_, err = q.Command("query-status", nil)
	return q, err
}

// withSync measures one of the operations of package qmpsync.
func withSync(run func(measure.Job, *qmpsync.Client) (measure.Sample, error)) func(measure.Job) (measure.Sample, error) {
	return func(job measure.Job) (measure.Sample, error) {
		c, err := qmpsync.Dial(job.Addr, nil)
		if err != nil {
			return measure.Sample{}, err
		}
		defer c.Close()
		return run(job, c)
	}
}

func runSync(job measure.Job, c *qmpsync.Client) (measure.Sample, error) {
	return measure.Loop(job, func() error {
		return checkStatus(qmpsync.Call[statusInfo](c, "query-status", nil))
	})
}

func runSyncTogether(job measure.Job, c *qmpsync.Client) (measure.Sample, error) {
	return measure.Together(job, callers, func() error {
		return checkStatus(qmpsync.Call[statusInfo](c, "query-status", nil))
	})
}

// withLegacy measures one of the operations of package legacy.
func withLegacy(run func(measure.Job, *legacy.QEMUMonitorProtocol) (measure.Sample, error)) func(measure.Job) (measure.Sample, error) {
	return func(job measure.Job) (measure.Sample, error) {
		q, err := legacy.New(job.Addr, nil)
		if err != nil {
			return measure.Sample{}, err
		}
		defer q.Close()
		if _, err := q.Connect(true); err != nil {
			return measure.Sample{}, err
		}
		return run(job, q)
	}
}

func runLegacy(job measure.Job, q *legacy.QEMUMonitorProtocol) (measure.Sample, error) {
	return measure.Loop(job, func() error { return legacyStatus(q) })
}

func legacyStatus(q *legacy.QEMUMonitorProtocol) error {
	v, err := q.Command("query-status", nil)
	if err != nil {
		return err
	}
	m, _ := v.(map[string]any)
	text, _ := m["status"].(string)
	return checkStatus(statusInfo{Status: text}, nil)
}

func runLegacyTogether(job measure.Job, q *legacy.QEMUMonitorProtocol) (measure.Sample, error) {
	return measure.Together(job, callers, func() error { return legacyStatus(q) })
}

func runLegacyEvents(job measure.Job, q *legacy.QEMUMonitorProtocol) (measure.Sample, error) {
	return measure.Run(job, func(n int) error {
		var wg sync.WaitGroup
		var commandErr error
		wg.Go(func() { _, commandErr = q.Command("flood", floodArgs{n}) })
		defer wg.Wait()
		for range n {
			if ev, err := q.PullEvent(legacy.Forever); err != nil || ev["event"] == nil {
				return fmt.Errorf("event %v: %w", ev, err)
			}
		}
		wg.Wait()
		return commandErr
	})
}

func runLegacyLarge(job measure.Job, q *legacy.QEMUMonitorProtocol) (measure.Sample, error) {
	return measure.Loop(job, func() error {
		v, err := q.Command("query-named-block-nodes", nil)
		if list, _ := v.([]any); err == nil && len(list) == 0 {
			return fmt.Errorf("no nodes")
		}
		return err
	})
}

// runLegacyLargeStruct turns the maps into the caller's structs, as a program has to
// that wants structs.
func runLegacyLargeStruct(job measure.Job, q *legacy.QEMUMonitorProtocol) (measure.Sample, error) {
	return measure.Loop(job, func() error {
		v, err := q.Command("query-named-block-nodes", nil)
		if err != nil {
			return err
		}
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		var nodes []node
		if err := json.Unmarshal(text, &nodes); err != nil {
			return err
		}
		return checkNodes(nodes)
	})
}

func runLegacySession(job measure.Job) (measure.Sample, error) {
	return measure.Loop(job, func() error {
		q, err := dialCrowdLegacy(job.Addr)
		if err != nil {
			return err
		}
		return q.Close()
	})
}
