//go:build linux

package chaos

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
	"go.uber.org/goleak"
)

var (
	roundsFlag = flag.Int("rounds", len(faults), "rounds of each scenario")
	seedFlag   = flag.Uint64("seed", 0, "makes the choices of the run that printed it; 0 takes a new one")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A scenario says how many monitors QEMU has, and which side connects.
type scenario struct {
	name     string
	monitors int
	dials    bool // QEMU connects to the clients, and is used for one round only
}

var scenarios = []scenario{
	{name: "one client", monitors: 1},
	{name: "several monitors", monitors: 3},
	{name: "QEMU dials", monitors: 1, dials: true},
}

// Holds E2.
func TestChaos(t *testing.T) {
	qemutest.Find(t, qemutest.QEMU) // skip here, and not in each subtest
	seed := *seedFlag
	for seed == 0 {
		seed = rand.Uint64()
	}
	// Printed, and not logged: without -v, go test shows the log only of failed
	// tests.
	fmt.Printf("chaos: seed %d\n", seed)
	for i, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			sums := newTally()
			s.run(t, source{seed, uint64(i)}, sums)
			fmt.Printf("\n%s:\n%v", s.name, sums)
		})
	}
	if t.Failed() {
		t.Logf("the seed was %d", seed)
	}
}

// run runs all rounds, with one QEMU after another, until a failure.
func (s scenario) run(t *testing.T, src source, sums *tally) {
	for n := 0; n < *roundsFlag && !t.Failed(); {
		var dir string
		t.Run(fmt.Sprintf("from round %d", n), func(t *testing.T) {
			h := s.start(t)
			dir = h.dir
			for alive := true; alive && n < *roundsFlag && !t.Failed(); n++ {
				alive = h.round(t, n, src, sums)
			}
		})
		sums.hosts++
		if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
			sums.leaks++
			t.Errorf("the directory %s is still there (%v)", dir, err)
		}
	}
}

// A source makes the choices of one scenario.
type source struct{ seed, scenario uint64 }

// of returns the random numbers of a goroutine in a round.
func (s source) of(round, goroutine int) *rand.Rand {
	return rand.New(rand.NewPCG(s.seed, s.scenario<<48|uint64(round)<<16|uint64(goroutine)))
}
