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
	"session":  runSession,
}

type statusInfo struct {
	Status  string `json:"status"`
	Running bool   `json:"running"`
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
