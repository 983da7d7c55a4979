package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// dialer is the least that a program in Go can do: it connects, and reads the greeting.
const dialer = `package main

import (
	"net"
	"os"
)

func main() {
	c, err := net.Dial("unix", os.Args[1])
	if err != nil {
		os.Exit(1)
	}
	if _, err := c.Read(make([]byte, 4096)); err != nil {
		os.Exit(1)
	}
}
`

// BenchmarkStart is the whole run of the program: it starts, connects to a QEMU, executes
// query-status, and ends. In the same run stands what a program takes that only connects
// and reads the greeting, in turns. shell-ms and dial-ms are wall time, and shell-cpu-ms
// and dial-cpu-ms are the time of the processor, user and system.
func BenchmarkStart(b *testing.B) {
	addr := qemutest.Monitor(b)
	dir := b.TempDir()
	source, least := filepath.Join(dir, "main.go"), filepath.Join(dir, "least")
	if err := os.WriteFile(source, []byte(dialer), 0o600); err != nil {
		b.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", least, source).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	var wall, cpu [2]time.Duration
	measure := func(i int, name string, args ...string) {
		cmd := exec.Command(name, args...)
		start := time.Now()
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
		wall[i] += time.Since(start)
		cpu[i] += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	for b.Loop() {
		measure(0, shell, "-c", "query-status", addr)
		measure(1, least, addr)
	}
	for i, name := range []string{"shell", "dial"} {
		b.ReportMetric(wall[i].Seconds()*1000/float64(b.N), name+"-ms")
		b.ReportMetric(cpu[i].Seconds()*1000/float64(b.N), name+"-cpu-ms")
	}
	b.ReportMetric(0, "ns/op")
}
