// Replay records a program that drives QEMU and fails, and runs it again without QEMU.
//
//	go run ./examples/replay                # with QEMU, and again without it
//	go run ./examples/replay -record FILE   # the same, and keep the recording
//	go run ./examples/replay -play FILE     # only again, from a recording
//
// It uses qemu-system-x86_64 on the PATH, or the program that QMP_TEST_QEMU names. If
// there is no such program, it plays a recording that was made with QEMU 7.2.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// withQEMU72 was made by this program.
//
//go:embed testdata/qemu-7.2.qmp.jsonl
var withQEMU72 []byte

func main() {
	keep := flag.String("record", "", "the file for the recording; by default it is a temporary one")
	play := flag.String("play", "", "play this recording, without QEMU")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Stdout, *keep, *play); err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		cancel()
		os.Exit(1)
	}
}

// run makes a recording, in the file keep unless that is "", and plays it. It only plays if
// play is not "".
func run(ctx context.Context, out io.Writer, keep, play string) error {
	if play != "" {
		return playFailure(ctx, out, play)
	}
	dir, err := os.MkdirTemp("", "replay")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if keep == "" {
		keep = filepath.Join(dir, "vm1.qmp.jsonl")
	}
	binary := os.Getenv("QMP_TEST_QEMU")
	if binary == "" {
		binary = "qemu-system-x86_64"
	}
	if path, err := exec.LookPath(binary); err == nil {
		fmt.Fprintln(out, "With QEMU:")
		if err := recordFailure(ctx, out, path, keep); err != nil {
			return err
		}
	} else if err := os.WriteFile(keep, withQEMU72, 0o600); err != nil {
		return err
	}
	fmt.Fprintln(out, "Without QEMU:")
	return playFailure(ctx, out, keep)
}
