// Bench compares the clients of this project with what a Go program can do at most with
// a socket, with a plain client on encoding/json, and with other Go clients. make bench
// runs it. It prints tables with medians, the ratio to a baseline, its spread, and the
// goals of the project.
//
//	go run ./bench [-rows one,oob] [-clients async,legacy] [-time 200ms] [-reps 5]
//
// The times of a table are medians. "speed against raw" is a ratio of operations a
// second, with the least and the greatest in brackets; for replies and connections it is
// "time against raw", a ratio of times. CPU is the processor time of the client, user
// and system, for one operation.
//
// The server is a process of its own, and so is every sample of every client. The
// repetitions of the clients of one table take turns, and each ratio is taken between
// samples of one repetition, so that a noisy machine hits both.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goqmp/qmp/bench/internal/measure"
)

// A bench is one run of the program.
type bench struct {
	time    time.Duration
	reps    int
	count   int
	rows    []string // names of groups; none means all
	clients []string // parts of names of clients; none means all
	page    string   // a file for the tables; "" for none
	dir     string   // the folder of the server's sockets
	self    string   // this program
	peers   string   // the program of bench/peers; "" if it was not built
}

func main() {
	if len(os.Args) == 3 {
		switch os.Args[1] {
		case "serve":
			exit(serve(os.Args[2]))
		case "sample":
			exit(measure.Main(os.Args[2], jobs()))
		}
	}
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt)
	exit(run(ctx, os.Args[1:], os.Stdout))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// jobs returns the clients of all groups that this program runs, by group and name.
func jobs() map[string]func(measure.Job) (measure.Sample, error) {
	all := make(map[string]func(measure.Job) (measure.Sample, error))
	for _, g := range groups {
		for _, c := range g.clients {
			if c.run != nil {
				all[g.name+"/"+c.name] = c.run
			}
		}
	}
	return all
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var b bench
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.DurationVar(&b.time, "time", 150*time.Millisecond, "how long to measure each sample, about")
	flags.IntVar(&b.reps, "reps", 5, "how many samples to take of each client")
	flags.IntVar(&b.count, "count", 0, "how many operations a sample has, in place of -time")
	rows := flags.String("rows", "", "names of tables, with commas: "+names()+"; without it all but qemu, which starts a QEMU")
	clients := flags.String("clients", "", "parts of names of clients, with commas; the baseline always runs")
	flags.StringVar(&b.page, "write", "", "also put the tables into this file, such as docs/performance.md")
	peers := flags.String("peers", "bench/peers", "the folder of the program with the clients of other projects; empty for none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b.rows, b.clients = list(*rows), list(*clients)
	for _, name := range b.rows {
		if !slices.ContainsFunc(groups, func(g group) bool { return g.name == name }) {
			return fmt.Errorf("there is no table %q, but %s", name, names())
		}
	}
	var err error
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "qmp-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if *peers != "" {
		if b.peers, err = buildPeers(ctx, *peers, b.dir); err != nil {
			fmt.Fprintln(os.Stderr, "bench: without the clients of other projects:", err)
		}
	}
	stop, err := b.startServer(ctx)
	if err != nil {
		return err
	}
	defer stop()
	for _, g := range groups {
		if !slices.Contains(b.rows, g.name) && (len(b.rows) > 0 || g.socket == "") {
			continue
		}
		if err := b.table(ctx, out, g); err != nil {
			return err
		}
	}
	return nil
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func names() string {
	var all []string
	for _, g := range groups {
		all = append(all, g.name)
	}
	return strings.Join(all, ",")
}

// buildPeers builds the program of bench/peers and returns its path.
func buildPeers(ctx context.Context, folder, dir string) (string, error) {
	program := filepath.Join(dir, "peers")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return program, nil
}

// startServer starts the server and returns what ends it.
func (b *bench) startServer(ctx context.Context) (stop func(), err error) {
	cmd := exec.CommandContext(ctx, b.self, "serve", b.dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		stdin.Close()
		cmd.Wait()
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		stop()
		return nil, fmt.Errorf("the server did not start: %w", err)
	}
	return stop, nil
}

// table measures the clients of a group and writes its table.
func (b *bench) table(ctx context.Context, out io.Writer, g group) error {
	addr, name := filepath.Join(b.dir, g.socket), g.name
	if g.socket == "" {
		socket, version, stop, err := startQEMU(ctx, b.dir, time.Minute)
		if err != nil {
			return err
		}
		defer stop()
		addr, g.title, name = socket, g.title+": "+version, name+" "+majorMinor(version)
	}
	samples, err := b.measure(ctx, g, addr)
	if err != nil {
		return err
	}
	var table strings.Builder
	writeTable(&table, g, summarize(g, samples))
	if _, err := io.WriteString(out, table.String()); err != nil || b.page == "" {
		return err
	}
	return write(ctx, b.page, name, table.String())
}

// measure takes the samples of a group, from the server at addr. The clients take turns.
func (b *bench) measure(ctx context.Context, g group, addr string) (map[string][]measure.Sample, error) {
	samples := make(map[string][]measure.Sample)
	for range b.reps {
		for i, c := range g.clients {
			if i > 0 && !b.wanted(c) {
				continue
			}
			s, err := b.sample(ctx, g, c, addr)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", g.name, c.name, err)
			}
			samples[c.name] = append(samples[c.name], s)
		}
	}
	return samples, nil
}

func (b *bench) wanted(c client) bool {
	if c.run == nil && b.peers == "" {
		return false
	}
	return len(b.clients) == 0 || slices.ContainsFunc(b.clients, func(part string) bool { return strings.Contains(c.name, part) })
}

// sample measures a client once, in a process of its own.
func (b *bench) sample(ctx context.Context, g group, c client, addr string) (measure.Sample, error) {
	job := measure.Job{Client: g.name + "/" + c.name, Addr: addr, Time: b.time, Count: g.count}
	if b.count > 0 {
		job.Count = b.count
	}
	program := b.self
	if c.run == nil {
		program, job.Client = b.peers, c.peer
	}
	text, err := json.Marshal(job)
	if err != nil {
		return measure.Sample{}, err
	}
	cmd := exec.CommandContext(ctx, program, "sample", string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return measure.Sample{}, err
	}
	var s measure.Sample
	err = json.Unmarshal(out, &s)
	return s, err
}
