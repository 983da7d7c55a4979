// Helpers that measure what this process has: goroutines, descriptors and memory.
package async_test

import (
	"os"
	"runtime"
	"strings"
)

// engineGoroutines returns the innermost engine function of each goroutine that
// works for a connection.
func engineGoroutines() (list []string) {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	for g := range strings.SplitSeq(string(buf), "\n\n") {
		// Callers have the engine on their stacks, too: what counts is what
		// it has started.
		if i := strings.Index(g, "/async.(*session)."); i >= 0 && strings.Contains(g, "created by sync.(*WaitGroup).Go") {
			line, _, _ := strings.Cut(g[i+1:], "\n")
			list = append(list, line)
		}
	}
	return list
}

// openFiles returns how many descriptors this process has, or -1 where it
// cannot be told.
func openFiles() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(list)
}

// memoryInUse is what the heap and the stacks hold.
func memoryInUse() int {
	m := collected()
	return int(m.HeapAlloc + m.StackInuse)
}

func heapInUse() int { return int(collected().HeapAlloc) }

func collected() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}
