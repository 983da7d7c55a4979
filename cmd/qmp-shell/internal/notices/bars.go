package notices

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/qapi"
)

// A Bar says how far a job or a migration is. It does not change later.
type Bar struct {
	Name     string // the job's id, or "migration"
	Type     string // such as "backup"; may be ""
	Status   string // in QEMU's words, such as "running"
	Fraction float64
	Known    bool   // Fraction is known
	Amount   string // such as "1.0 of 4.0 GiB"; "" if there is no unit
	Rate     string // such as "100 MiB/s"; "" if it is not known
	Left     string // such as "12s left"; "" if it is not known
}

// Bars returns a Bar for each job that is not over, and for a migration that goes on.
func (b *Board) Bars() []Bar {
	var bars []Bar
	for _, j := range b.jobs {
		if j.tracker.Concluded() {
			continue
		}
		info := j.tracker.Info()
		p := jobs.Progress{Status: info.Status, Current: info.Current, Total: info.Total, Rate: j.rate}
		bar := Bar{Name: info.ID, Type: string(info.Type), Status: string(info.Status), Fraction: p.Fraction(), Known: p.Total > 0}
		if inBytes(info.Type) && p.Total > 0 {
			bar.Amount = bytesOf(p.Current) + " of " + bytesOf(p.Total)
			bar.Rate = rate(p.Rate)
		}
		if left, ok := p.ETA(); ok && info.Status == qapi.JobStatusRunning {
			bar.Left = timeLeft(left)
		}
		bars = append(bars, bar)
	}
	if m := &b.migration; m.active() {
		p := m.progress
		bar := Bar{Name: "migration", Status: string(p.Status), Fraction: p.Fraction(), Known: p.Total > 0}
		if p.Total > 0 {
			bar.Amount = bytesOf(p.Remaining) + " of " + bytesOf(p.Total) + " left"
			bar.Rate = rate(p.Rate)
		}
		if left, ok := p.ETA(); ok {
			bar.Left = timeLeft(left)
		}
		bars = append(bars, bar)
	}
	return bars
}

// inBytes reports whether the progress of jobs of that type is in bytes.
func inBytes(t qapi.JobType) bool {
	switch t {
	case qapi.JobTypeBackup, qapi.JobTypeMirror, qapi.JobTypeCommit, qapi.JobTypeStream:
		return true
	}
	return false
}

// String returns the bar in one line.
func (b Bar) String() string { return b.Render(120) }

// Render returns the bar in one line of at most that many columns. Where there is less
// room, what matters less is left out: first the amount, then the rate, then the bar.
func (b Bar) Render(width int) string {
	name := b.Name
	if b.Type != "" {
		name += " " + b.Type
	}
	if b.Status != "running" && b.Status != "active" {
		name += " " + b.Status
	}
	percent := ""
	if b.Known {
		percent = fmt.Sprintf(" %3.0f%%", 100*b.Fraction)
	}
	parts := []string{b.Left, b.Rate, b.Amount} // the first one stays longest
	for n := len(parts); n >= 0; n-- {
		tail := percent
		for i := n - 1; i >= 0; i-- {
			if parts[i] != "" {
				tail += "  " + parts[i]
			}
		}
		room := width - ansi.StringWidth(name) - ansi.StringWidth(tail) - 3 // a space and two brackets
		if room < 10 && n > 0 {
			continue
		}
		if room < 4 {
			return ansi.Truncate(name+percent, width, "…")
		}
		room = min(room, 40)
		filled := int(b.Fraction * float64(room))
		return name + " [" + strings.Repeat("#", filled) + strings.Repeat("-", room-filled) + "]" + tail
	}
	return ""
}

// bytesOf returns a number of bytes for people.
func bytesOf(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, i := float64(n)/unit, 0
	for value >= 999.95 && i < 5 {
		value, i = value/unit, i+1
	}
	digits := 0
	if value < 9.95 {
		digits = 1
	}
	return fmt.Sprintf("%.*f %ciB", digits, value, "KMGTPE"[i])
}

func rate(r float64) string {
	if r < 1 {
		return ""
	}
	return bytesOf(int64(r)) + "/s"
}

// timeLeft returns how long something still takes.
func timeLeft(d time.Duration) string {
	if d < time.Second {
		return "<1s left"
	}
	return d.Round(time.Second).String() + " left"
}
