// Package measure has what the programs in bench share: a job for one client, the loop
// that measures it, and the sample that comes out. A job runs in a process of its own,
// so that no client meets the heap of another one, and the peak of the memory is its own.
package measure

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/goqmp/qmp/internal/testing/usage"
)

// A Job says what one process measures.
type Job struct {
	Client string        // a name in the map given to Main
	Addr   string        // the unix socket of the server
	Time   time.Duration // about how long to measure, if Count is 0
	Count  int           // how many operations to measure; 0 means as many as Time allows
}

// A Sample is the result of a Job. Sums are over all N operations.
type Sample struct {
	N          int
	Wall, CPU  time.Duration // CPU is user and system time of the client's process
	Allocs     uint64
	Bytes      uint64 // allocated
	Peak       int64  // the largest resident memory of the process, in bytes; 0 if the system does not tell
	Resident   int64  // resident memory for what the client has open, in bytes; only where a row is about it
	Goroutines int    // likewise
}

// Main runs the job that is the program's argument, and prints the sample.
func Main(argument string, clients map[string]func(Job) (Sample, error)) error {
	var job Job
	if err := json.Unmarshal([]byte(argument), &job); err != nil {
		return err
	}
	run, ok := clients[job.Client]
	if !ok {
		return fmt.Errorf("no client has the name %q", job.Client)
	}
	s, err := run(job)
	if err != nil {
		return fmt.Errorf("%s: %w", job.Client, err)
	}
	if s.Peak == 0 {
		s.Peak = usage.Peak()
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}

// Run measures run, which executes n operations. It runs it before that, to warm up
// and to find the number for the time that the job allows.
func Run(job Job, run func(n int) error) (Sample, error) {
	count := job.Count
	if count > 0 {
		if err := run(1 + count/10); err != nil {
			return Sample{}, err
		}
	}
	for n := 1; count == 0; n *= 2 {
		began := time.Now()
		if err := run(n); err != nil {
			return Sample{}, err
		}
		if took := time.Since(began); took > job.Time/5 {
			count = max(1, int(float64(n)*float64(job.Time)/float64(took)))
		}
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began, used := time.Now(), usage.CPU()
	if err := run(count); err != nil {
		return Sample{}, err
	}
	s := Sample{N: count, Wall: time.Since(began), CPU: usage.CPU() - used}
	runtime.ReadMemStats(&after)
	s.Allocs, s.Bytes = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	return s, nil
}

// Loop measures one operation after the other.
func Loop(job Job, op func() error) (Sample, error) {
	return Run(job, func(n int) error {
		for range n {
			if err := op(); err != nil {
				return err
			}
		}
		return nil
	})
}

// Together measures operations of many callers at the same time.
func Together(job Job, callers int, op func() error) (Sample, error) {
	return Run(job, func(n int) error {
		errs := make(chan error, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				for range (n + i) / callers {
					if err := op(); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wg.Wait()
		close(errs)
		return <-errs
	})
}
