package main

import (
	"fmt"

	"github.com/goqmp/qmp/bench/internal/measure"
)

// A group is a table of the result: clients that do the same against the same socket.
type group struct {
	name, title string
	socket      string // of the server; "" is QEMU's
	unit        string // an operation
	times       bool   // the ratio is of times, and otherwise of operations a second
	count       int    // operations of a sample; 0 means as many as the time allows
	clients     []client
}

// A client is a line of a table. The first of a group is the baseline of the ratios.
type client struct {
	name  string
	run   func(measure.Job) (measure.Sample, error)
	peer  string // the name in the program of bench/peers, in place of run
	goals []goal
}

// A goal is a limit that issue and documentation name.
type goal struct {
	text string
	met  func(s stat, others map[string]stat) bool
}

func ratioAtLeast(x float64) goal {
	return goal{fmt.Sprintf("%.2f", x), func(s stat, _ map[string]stat) bool { return s.ratio.mid >= x }}
}

func ratioUnder(x float64) goal {
	return goal{fmt.Sprintf("under %.2f", x), func(s stat, _ map[string]stat) bool { return s.ratio.mid < x }}
}

// costUnder limits the time for an operation as a multiple of another client's.
func costUnder(x float64, other string) goal {
	return goal{fmt.Sprintf("under %g times %s", x, other), func(s stat, others map[string]stat) bool {
		o, ok := others[other]
		return ok && s.wall.mid < x*o.wall.mid
	}}
}

func perSecond(x float64) goal {
	return goal{fmt.Sprintf("%.1f million a second", x/1e6), func(s stat, _ map[string]stat) bool { return 1e9/s.wall.mid >= x }}
}

func millisecondsUnder(x float64) goal {
	return goal{fmt.Sprintf("under %g ms", x), func(s stat, _ map[string]stat) bool { return s.wall.mid < x*1e6 }}
}

func allocsAtMost(x float64) goal {
	// A tenth is for what the runtime allocates now and then.
	return goal{fmt.Sprintf("%g allocations", x), func(s stat, _ map[string]stat) bool { return s.allocs.mid < x+0.1 }}
}

func peakUnder(x float64, reply int) goal {
	return goal{fmt.Sprintf("peak under %.0f MiB", x*float64(reply)/(1<<20)), func(s stat, _ map[string]stat) bool {
		return s.peak.mid > 0 && s.peak.mid < x*float64(reply)
	}}
}

func residentUnder(x int64) goal {
	return goal{fmt.Sprintf("under %d MiB resident", x>>20), func(s stat, _ map[string]stat) bool {
		return s.resident.mid > 0 && s.resident.mid < float64(x)
	}}
}

func goroutinesAtMost(x int) goal {
	return goal{fmt.Sprintf("at most %d goroutines", x), func(s stat, _ map[string]stat) bool { return s.goroutines.mid <= float64(x) }}
}

// peer is not in the tables of large replies: it reads no line of 64 KiB or more
// ("bufio.Scanner: token too long").
const peer = "digitalocean/go-qemu"

// groups are the tables, with the goals of the project.
var groups = []group{
	{
		name: "one", title: "One caller: round trips", socket: small, unit: "round trip",
		clients: []client{
			{name: "raw", run: runRaw},
			{name: "control", run: withControl(runControl)},
			{name: peer, peer: "one"},
			{name: "async, raw JSON", run: withAsync(runAsync), goals: []goal{ratioAtLeast(0.75), allocsAtMost(3)}},
			{name: "async, struct", run: withAsync(runAsyncStruct), goals: []goal{ratioAtLeast(0.75), allocsAtMost(5)}},
			{name: "qmpsync, struct", run: withSync(runSync), goals: []goal{ratioAtLeast(0.75)}},
			{name: "legacy", run: withLegacy(runLegacy), goals: []goal{ratioAtLeast(0.65), allocsAtMost(15)}},
		},
	},
	{
		name: "oob", title: "64 callers on one connection, out-of-band execution enabled: a window of eight", socket: oob, unit: "command",
		clients: []client{
			{name: "raw, 8 at once", run: runRawPipelined(8)},
			{name: "control", run: withControl(runControlTogether)},
			{name: "async", run: withAsync(runAsyncTogether), goals: []goal{ratioAtLeast(0.35)}},
			{name: "qmpsync", run: withSync(runSyncTogether)},
			{name: "legacy", run: withLegacy(runLegacyTogether)},
		},
	},
	{
		name: "together", title: "64 callers on one connection, without out-of-band execution", socket: small, unit: "command",
		clients: []client{
			{name: "raw, 8 at once", run: runRawPipelined(8)},
			{name: "raw, 64 at once", run: runRawPipelined(64)},
			{name: "control", run: withControl(runControlTogether)},
			{name: peer, peer: "together"},
			{name: "async", run: withAsync(runAsyncTogether), goals: []goal{ratioAtLeast(0.80)}},
			{name: "qmpsync", run: withSync(runSyncTogether)},
			{name: "legacy", run: withLegacy(runLegacyTogether)},
		},
	},
	{
		name: "events", title: "Events of about 150 bytes", socket: flood, unit: "event",
		clients: []client{
			{name: "raw", run: runRawEvents},
			{name: "control", run: withControl(runControlEvents)},
			{name: peer, peer: "events"},
			{name: "async, one listener", run: withAsync(runAsyncEvents(1)), goals: []goal{perSecond(3e6)}},
			{name: "async, ten listeners", run: withAsync(runAsyncEvents(listeners)), goals: []goal{costUnder(2, "async, one listener")}},
			{name: "legacy", run: withLegacy(runLegacyEvents), goals: []goal{perSecond(1.5e6)}},
		},
	},
	{
		name: "1MiB", title: "A reply of 1 MiB", socket: reply1, unit: "reply", times: true,
		clients: []client{
			{name: "raw", run: runRaw},
			{name: "bare scan", run: runRawScan},
			{name: "control, structs", run: withControl(runControlLarge)},
			{name: "async, raw JSON", run: withAsync(runAsyncLarge), goals: []goal{costUnder(1.5, "bare scan")}},
			{name: "async, structs", run: withAsync(runAsyncLargeStruct), goals: []goal{millisecondsUnder(5)}},
			{name: "legacy, maps", run: withLegacy(runLegacyLarge)},
			{name: "legacy, structs", run: withLegacy(runLegacyLargeStruct)},
		},
	},
	{
		name: "16MiB", title: "A reply of 16 MiB", socket: reply16, unit: "reply", times: true, count: 3,
		clients: []client{
			{name: "raw", run: runRaw},
			{name: "bare scan", run: runRawScan},
			{name: "control, structs", run: withControl(runControlLarge)},
			{name: "async, raw JSON", run: withAsync(runAsyncLarge), goals: []goal{peakUnder(3.5, 16<<20)}},
			{name: "async, structs", run: withAsync(runAsyncLargeStruct), goals: []goal{millisecondsUnder(60)}},
			{name: "legacy, maps", run: withLegacy(runLegacyLarge), goals: []goal{peakUnder(6, 16<<20)}},
			{name: "legacy, structs", run: withLegacy(runLegacyLargeStruct)},
		},
	},
	{
		name: "crowd", title: "1,000 connections", socket: small, unit: "connection", times: true, count: crowd,
		clients: []client{
			{name: "raw", run: runCrowd(dialCrowdRaw)},
			{name: "async", run: runCrowd(dialCrowd), goals: []goal{residentUnder(24 << 20), goroutinesAtMost(crowd)}},
			{name: "legacy", run: runCrowd(dialCrowdLegacy)},
		},
	},
	{
		name: "session", title: "Connect, negotiate, one command, disconnect", socket: small, unit: "connection", times: true,
		clients: []client{
			{name: "raw", run: runRawSession},
			{name: "control", run: runControlSession},
			{name: peer, peer: "session"},
			{name: "async", run: runAsyncSession, goals: []goal{ratioUnder(1.3)}},
			{name: "legacy", run: runLegacySession},
		},
	},
	{
		name: "qemu", title: "Real QEMU, one caller, out-of-band execution enabled", unit: "round trip",
		clients: []client{
			{name: "raw", run: runRawQEMU},
			{name: "control", run: withControl(runControl)},
			{name: peer, peer: "one"},
			{name: "async, struct", run: withAsync(runAsyncStruct), goals: []goal{ratioAtLeast(1)}},
			{name: "qmpsync, struct", run: withSync(runSync)},
			{name: "legacy", run: withLegacy(runLegacy), goals: []goal{ratioAtLeast(0.95)}},
		},
	},
}
