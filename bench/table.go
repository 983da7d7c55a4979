package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/goqmp/qmp/bench/internal/measure"
)

// A spread is the median of some numbers, the least and the greatest.
type spread struct{ low, mid, high float64 }

func spreadOf(xs []float64) spread {
	xs = slices.Sorted(slices.Values(xs))
	n := len(xs)
	return spread{xs[0], (xs[(n-1)/2] + xs[n/2]) / 2, xs[n-1]}
}

// A stat is what the samples of one client say together. All but ratio are for one
// operation; times are in nanoseconds.
type stat struct {
	wall, cpu, allocs spread
	peak, resident    spread // bytes of the process
	goroutines        spread
	ratio             spread // to the baseline's sample of the same repetition
}

// summarize returns the stats of a group's clients that were measured. samples has, for
// each client, one sample of each repetition.
func summarize(g group, samples map[string][]measure.Sample) map[string]stat {
	stats := make(map[string]stat)
	base := samples[g.clients[0].name]
	for name, ss := range samples {
		column := func(value func(i int, s measure.Sample) float64) spread {
			var xs []float64
			for i, s := range ss {
				xs = append(xs, value(i, s))
			}
			return spreadOf(xs)
		}
		stats[name] = stat{
			wall:       column(func(_ int, s measure.Sample) float64 { return per(s.Wall, s.N) }),
			cpu:        column(func(_ int, s measure.Sample) float64 { return per(s.CPU, s.N) }),
			allocs:     column(func(_ int, s measure.Sample) float64 { return float64(s.Allocs) / float64(s.N) }),
			peak:       column(func(_ int, s measure.Sample) float64 { return float64(s.Peak) }),
			resident:   column(func(_ int, s measure.Sample) float64 { return float64(s.Resident) }),
			goroutines: column(func(_ int, s measure.Sample) float64 { return float64(s.Goroutines) }),
			ratio: column(func(i int, s measure.Sample) float64 {
				if i >= len(base) {
					return 1
				}
				x := per(s.Wall, s.N) / per(base[i].Wall, base[i].N)
				if !g.times {
					x = 1 / x
				}
				return x
			}),
		}
	}
	return stats
}

func per(d time.Duration, n int) float64 { return float64(d) / float64(n) }

// writeTable writes the table of a group, in Markdown.
func writeTable(w io.Writer, g group, stats map[string]stat) {
	ratio := "speed against "
	if g.times {
		ratio = "time against "
	}
	memory, open := false, false
	for _, s := range stats {
		memory = memory || g.count > 0 && s.peak.mid > 0
		open = open || s.goroutines.mid > 0 || s.resident.mid > 0
	}
	article := "a "
	if strings.ContainsRune("aeiou", rune(g.unit[0])) {
		article = "an "
	}
	head := []string{"", article + g.unit, ratio + g.clients[0].name, "CPU", "allocations"}
	switch {
	case open:
		head = append(head[:3], "MiB resident", "goroutines")
	case memory:
		head = append(head, "peak MiB")
	}
	head = append(head, "goal", "met")
	fmt.Fprintf(w, "### %s\n\n| %s |\n|%s\n", g.title, strings.Join(head, " | "), strings.Repeat(" --- |", len(head)))
	for _, c := range g.clients {
		s, ok := stats[c.name]
		if !ok {
			continue
		}
		cells := []string{c.name, duration(s.wall.mid), fmt.Sprintf("%.2f (%.2f to %.2f)", s.ratio.mid, s.ratio.low, s.ratio.high)}
		if open {
			cells = append(cells, mib(s.resident.mid), fmt.Sprintf("%.0f", s.goroutines.mid))
		} else {
			cells = append(cells, duration(s.cpu.mid), fmt.Sprintf("%.1f", s.allocs.mid))
			if memory {
				cells = append(cells, mib(s.peak.mid))
			}
		}
		var goals, met []string
		for _, goal := range c.goals {
			goals = append(goals, goal.text)
			if goal.met(s, stats) {
				met = append(met, "yes")
			} else {
				met = append(met, "**no**")
			}
		}
		fmt.Fprintf(w, "| %s | %s | %s |\n", strings.Join(cells, " | "), strings.Join(goals, "; "), strings.Join(met, "; "))
	}
	fmt.Fprintln(w)
}

// duration prints nanoseconds with three digits.
func duration(ns float64) string {
	unit := "ns"
	for _, u := range []string{"us", "ms", "s"} {
		if ns < 1000 {
			break
		}
		ns, unit = ns/1000, u
	}
	return fmt.Sprintf("%.*f %s", max(0, 2-digits(ns)), ns, unit)
}

// digits returns how many digits x has before the point, less one.
func digits(x float64) int {
	n := 0
	for ; x >= 10; x /= 10 {
		n++
	}
	return n
}

func mib(bytes float64) string { return fmt.Sprintf("%.1f", bytes/(1<<20)) }
