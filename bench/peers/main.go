// Peers measures QMP clients of other projects. The program in bench runs it. It is a
// module of its own, so that users of the library do not inherit its dependencies.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/digitalocean/go-qemu/qmp"

	"github.com/goqmp/qmp/bench/internal/measure"
)

// callers is how many goroutines use one connection. It is the number of the program in
// bench.
const callers = 64

func main() {
	if len(os.Args) != 3 || os.Args[1] != "sample" {
		fmt.Fprintln(os.Stderr, "peers: go run ./bench runs this program")
		os.Exit(2)
	}
	if err := measure.Main(os.Args[2], jobs); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

var jobs = map[string]func(measure.Job) (measure.Sample, error){
	"one":      withMonitor(runOne),
	"together": withMonitor(runTogether),
	"events":   withMonitor(runEvents),
	"large":    withMonitor(runLarge),
	"session":  runSession,
}

type statusInfo struct {
	Status  string `json:"status"`
	Running bool   `json:"running"`
}

// A node is the struct that the clients in bench have for a row of a large reply.
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

func dial(addr string) (*qmp.SocketMonitor, error) {
	mon, err := qmp.NewSocketMonitor("unix", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return mon, mon.Connect()
}

func withMonitor(run func(measure.Job, *qmp.SocketMonitor) (measure.Sample, error)) func(measure.Job) (measure.Sample, error) {
	return func(job measure.Job) (measure.Sample, error) {
		mon, err := dial(job.Addr)
		if err != nil {
			return measure.Sample{}, err
		}
		defer mon.Disconnect()
		return run(job, mon)
	}
}

// execute encodes a command, runs it and decodes the value of the reply, as the
// module's own package qemu does.
func execute(mon *qmp.SocketMonitor, command qmp.Command, result any) error {
	text, err := json.Marshal(command)
	if err != nil {
		return err
	}
	raw, err := mon.Run(text)
	if err != nil {
		return err
	}
	reply := struct {
		Return any `json:"return"`
	}{result}
	return json.Unmarshal(raw, &reply)
}

func status(mon *qmp.SocketMonitor) error {
	var s statusInfo
	if err := execute(mon, qmp.Command{Execute: "query-status"}, &s); err != nil {
		return err
	}
	if s.Status == "" {
		return fmt.Errorf("the reply has no status")
	}
	return nil
}

func runOne(job measure.Job, mon *qmp.SocketMonitor) (measure.Sample, error) {
	return measure.Loop(job, func() error { return status(mon) })
}

func runTogether(job measure.Job, mon *qmp.SocketMonitor) (measure.Sample, error) {
	return measure.Together(job, callers, func() error { return status(mon) })
}

func runEvents(job measure.Job, mon *qmp.SocketMonitor) (measure.Sample, error) {
	events, err := mon.Events(context.Background())
	if err != nil {
		return measure.Sample{}, err
	}
	return measure.Run(job, func(n int) error {
		command := qmp.Command{Execute: "flood", Args: map[string]any{"count": n}}
		if err := execute(mon, command, &struct{}{}); err != nil {
			return err
		}
		for range n {
			if _, ok := <-events; !ok {
				return fmt.Errorf("the channel of events was closed")
			}
		}
		return nil
	})
}

func runLarge(job measure.Job, mon *qmp.SocketMonitor) (measure.Sample, error) {
	return measure.Loop(job, func() error {
		var nodes []node
		if err := execute(mon, qmp.Command{Execute: "query-named-block-nodes"}, &nodes); err != nil {
			return err
		}
		if len(nodes) == 0 {
			return fmt.Errorf("no nodes")
		}
		return nil
	})
}

func runSession(job measure.Job) (measure.Sample, error) {
	return measure.Loop(job, func() error {
		mon, err := dial(job.Addr)
		if err != nil {
			return err
		}
		if err := status(mon); err != nil {
			return err
		}
		return mon.Disconnect()
	})
}
