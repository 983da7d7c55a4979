package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

// startQEMU starts a QEMU without a machine. It returns the socket of its monitor, the
// first line of its --version, and what ends it. The program is what QMP_TEST_QEMU
// names, or else qemu-system-x86_64. If its monitor does not answer within the limit,
// startQEMU returns an error.
func startQEMU(ctx context.Context, dir string, limit time.Duration) (addr, version string, stop func(), err error) {
	program := cmp.Or(os.Getenv("QMP_TEST_QEMU"), "qemu-system-x86_64")
	text, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return "", "", nil, fmt.Errorf("%s --version: %w", program, err)
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	addr = filepath.Join(dir, "qemu")
	// QEMU waits for the first client, since one that connects while QEMU starts may
	// get no answer.
	cmd := exec.CommandContext(ctx, program, "-machine", "none", "-nodefaults", "-display", "none",
		"-chardev", "socket,id=monitor,path="+addr+",server=on,wait=on", "-mon", "chardev=monitor,mode=control")
	var output bytes.Buffer
	cmd.Stderr = &output
	if err := cmd.Start(); err != nil {
		return "", "", nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop = func() {
		cmd.Process.Kill()
		<-ended
	}
	starting, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("its monitor has not answered within %v", limit))
	defer cancel()
	for {
		r, err := dialRaw(starting, addr, enableOOB)
		if err == nil {
			r.conn.Close()
			return addr, string(line), stop, nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case err := <-ended:
			if ctx.Err() != nil { // which kills QEMU
				err = context.Cause(ctx)
			}
			return "", "", nil, fmt.Errorf("%s ended: %w: %s", program, err, &output)
		case <-starting.Done():
			stop()
			return "", "", nil, fmt.Errorf("%s: %w: %s", program, context.Cause(starting), &output)
		}
	}
}

// majorMinor returns the version, such as 10.0, in the first line of --version.
func majorMinor(line string) string { return versionNumber.FindString(line) }

var versionNumber = regexp.MustCompile(`\d+\.\d+`)
