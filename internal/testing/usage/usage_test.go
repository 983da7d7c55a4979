package usage

import (
	"runtime"
	"testing"
	"time"
)

func TestCPU(t *testing.T) {
	before := CPU()
	for x := 0; CPU() == before; x++ {
		runtime.KeepAlive(x)
	}
	if got := CPU() - before; got < 0 || got > time.Minute {
		t.Errorf("a loop took %v", got)
	}
}

func TestMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	before := Resident()
	b := make([]byte, 64<<20)
	for i := 0; i < len(b); i += 512 {
		b[i] = 1
	}
	if grown := Resident() - before; grown < 32<<20 || Peak() < before+32<<20 {
		t.Errorf("64 MiB more: resident %d bytes more, and the peak is %d, after %d", grown, Peak(), before)
	}
	runtime.KeepAlive(b)
}
