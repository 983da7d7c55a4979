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
