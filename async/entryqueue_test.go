package async

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/goqmp/qmp/internal/testing/growth"
)

// An entryQueue is as a sorted list would be.
func TestEntryQueueIsLikeAList(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var q entryQueue
		var list, gone []*entry // sorted; those that were removed
		insert := func(e *entry) {
			q.insert(e)
			list = append(list, e)
			slices.SortFunc(list, func(a, b *entry) int { return int(a.number) - int(b.number) })
		}
		for number := uint64(1); number < 200; number++ {
			insert(&entry{number: number})
			for rnd.IntN(3) > 0 && len(list) > 0 {
				i := rnd.IntN(len(list))
				if rnd.IntN(3) == 0 {
					if i = 0; q.pop() != list[0] {
						t.Fatalf("seed %d: pop returned another entry than the first", seed)
					}
				}
				q.remove(list[i])
				q.remove(list[i]) // does nothing
				gone = append(gone, list[i])
				list = slices.Delete(list, i, i+1)
			}
			if len(gone) > 0 && rnd.IntN(4) == 0 {
				insert(gone[len(gone)-1])
				gone = gone[:len(gone)-1]
			}
			if rnd.IntN(40) == 0 {
				odd := func(e *entry) bool { return e.number%2 == 1 }
				q.removeFunc(odd)
				list = slices.DeleteFunc(list, odd)
			}
			if q.len() != len(list) || 2*q.removed > len(q.entries) {
				t.Fatalf("seed %d: %d entries and %d that were removed, want %d entries", seed, q.len(), q.removed, len(list))
			}
		}
		for _, want := range list {
			if got := q.pop(); got != want {
				t.Fatalf("seed %d: pop returned number %d, want %d", seed, got.number, want.number)
			}
		}
		if len(q.entries) != 0 || q.removed != 0 {
			t.Fatalf("seed %d: %d entries are left", seed, len(q.entries))
		}
	}
}

// n calls wait for a connection and give up, in any order. (All entries were looked at
// for each of them.)
func TestGrowthOfGivingUpInTheGap(t *testing.T) {
	growth.Check(t, growth.Case{Sizes: []int{256, 1024, 4096, 16384}, Most: 8, Setup: func(_ testing.TB, n int) func() int {
		var q entryQueue
		entries := make([]*entry, n)
		for i := range entries {
			entries[i] = &entry{number: uint64(i + 1)}
			q.insert(entries[i])
		}
		rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		return func() int {
			for _, e := range entries {
				q.remove(e)
			}
			return n
		}
	}})
}
