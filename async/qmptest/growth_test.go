package qmptest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/goqmp/qmp/internal/testing/growth"
)

// A script answers n messages, the oldest first. (Oldest looked at all messages for each
// answer.)
func TestGrowthOfAnsweringTheOldest(t *testing.T) {
	growth.Check(t, growth.Case{Sizes: []int{100, 400, 1600, 6400}, Most: 6, Setup: func(tb testing.TB, n int) func() int {
		near, _ := Pipe()
		s := &Peer{conn: near}
		for range n {
			s.got = append(s.got, &got{})
		}
		return func() int {
			for range n {
				if _, err := s.Answer(Oldest()); err != nil {
					tb.Fatal(err)
				}
			}
			return n
		}
	}})
}

// A message is cut into n pieces. (Each byte was compared with each cut.)
func TestGrowthOfCuts(t *testing.T) {
	growth.Check(t, growth.Case{Sizes: []int{50, 200, 800, 3200}, Most: 6, Setup: func(tb testing.TB, n int) func() int {
		s, text := &Peer{}, make([]byte, n)
		var cuts []int
		for i := range n {
			cuts = append(cuts, (i*7)%n)
		}
		return func() int {
			const pieces = 12800
			for range pieces / n {
				s.cuts = cuts
				if got := s.cut(text); len(got) != n {
					tb.Fatalf("%d pieces, want %d", len(got), n)
				}
			}
			return pieces
		}
	}})
}

// cut cuts where SplitEvery and SplitAt say, and SplitEvery counts from the last cut.
func TestCut(t *testing.T) {
	for _, tt := range []struct {
		text  string
		every int
		cuts  []int
		want  string
	}{
		{"abcdefgh", 0, nil, "[abcdefgh]"},
		{"abcdefgh", 3, nil, "[abc def gh]"},
		{"abcdefgh", 0, []int{5, 2, 2, 0, -1, 8, 9}, "[ab cde fgh]"},
		{"abcdefgh", 3, []int{2}, "[ab cde fgh]"},
		{"abcdefgh", 4, nil, "[abcd efgh]"},
		{"", 3, []int{2}, "[]"},
	} {
		s := &Peer{every: tt.every, cuts: tt.cuts}
		pieces := s.cut([]byte(tt.text))
		if got := fmt.Sprintf("%s", pieces); got != tt.want || s.cuts != nil || !bytes.Equal(bytes.Join(pieces, nil), []byte(tt.text)) {
			t.Errorf("%+v: got %s and the cuts %v", tt, got, s.cuts)
		}
	}
}
