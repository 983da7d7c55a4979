// Helpers that measure what this process has: goroutines, descriptors and memory.
package async_test

import (
	"os"
	"runtime"
	"strings"
)

// engineGoroutines returns one line for each goroutine that works for a
// connection: the innermost function of the engine on its stack.
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
		// Callers have functions of the engine on their stacks, too. Only
		// goroutines that the engine has started count.
		if i := strings.Index(g, "/async.(*session)."); i >= 0 && strings.Contains(g, "created by sync.(*WaitGroup).Go") {
			line, _, _ := strings.Cut(g[i+1:], "\n")
			list = append(list, line)
		}
	}
	return list
}

// openFiles returns how many descriptors this process has, or -1 where the
// system does not tell.
func openFiles() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(list)
}

// memoryInUse returns how many bytes the heap and the stacks hold.
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
