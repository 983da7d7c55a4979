package machine_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/goqmp/qmp/compat/machine"
)

// A flood has blocks with so many lines, which are of 64 bytes.
const floodBlock = 1 << 12

func floodLine(i int) string { return fmt.Sprintf("%-63d\n", i) }

func init() {
	moreFakes["flood"] = func(args []string) {
		blocks, err := strconv.Atoi(args[len(args)-1])
		check(err)
		var block strings.Builder
		for i := range floodBlock {
			block.WriteString(floodLine(i))
		}
		for range blocks {
			_, err := io.WriteString(os.Stderr, block.String())
			check(err)
		}
	}
}

// A process that writes without end does not have to wait, and its log needs no more
// memory and disk space than the limit. The beginning and the end of what it wrote are in
// the log. The test does not run in parallel, since it measures memory.
func TestFlood(t *testing.T) {
	const blocks, size = 1 << 9, 128 // MiB
	file := filepath.Join(t.TempDir(), "log")
	must(t, os.WriteFile(file, []byte("before\n"), 0o600))
	m := newFake(t, "flood", machine.Options{Monitor: machine.MonitorNone, LogFile: file, Args: []string{strconv.Itoa(blocks)}})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	must(t, m.Launch(t.Context()))
	status, err := m.Wait(t.Context())
	is(t, status, machine.ExitStatus{}, err)
	text := m.Log()
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 32 {
		t.Errorf("%d MiB of output: %d MiB were allocated", size, got)
	}
	if got := after.HeapAlloc >> 20; got > 64 {
		t.Errorf("%d MiB of output: %d MiB are in use", size, got)
	}
	content, err := os.ReadFile(file)
	must(t, err)
	for what, text := range map[string]string{"log": text, "file": strings.TrimPrefix(string(content), "before\n")} {
		if len(text) > machine.DefaultLogLimit+200 || !strings.HasPrefix(text, floodLine(0)+floodLine(1)) ||
			!strings.HasSuffix(text, floodLine(floodBlock-2)+floodLine(floodBlock-1)) || strings.Count(text, " bytes are missing here") != 1 {
			t.Errorf("the %s has %d bytes: %q ... %q", what, len(text), text[:100], text[len(text)-100:])
		}
	}
	if !strings.HasPrefix(string(content), "before\n") {
		t.Error("what was in the file before is not there any more")
	}
	must(t, m.Shutdown(t.Context()))
	is(t, m.Log(), text, nil)
}

func TestLogLimit(t *testing.T) {
	t.Parallel()
	const blocks = 16
	for limit, want := range map[int]int{-1: blocks * floodBlock * 64, 1: 4 << 10, 1 << 16: 1 << 16} {
		m := newFake(t, "flood", machine.Options{Monitor: machine.MonitorNone, LogLimit: limit, Args: []string{strconv.Itoa(blocks)}})
		must(t, m.Launch(t.Context()))
		_, err := m.Wait(t.Context())
		must(t, err)
		if got := len(m.Log()); got < want || got > want+200 {
			t.Errorf("limit %d: the log has %d bytes", limit, got)
		}
		must(t, m.Shutdown(t.Context()))
	}
}
