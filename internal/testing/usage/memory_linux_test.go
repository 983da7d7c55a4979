package usage

import (
	"runtime"
	"testing"
)

func TestMemory(t *testing.T) {
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
