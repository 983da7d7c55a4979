package machine

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// errNoProcess says that no process has an id.
const errNoProcess = unix.ESRCH

// identify returns what identifies the process that has the id pid now.
func identify(pid int) (State, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return State{}, err
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return State{}, err
	}
	path := fmt.Sprintf("/proc/%d/stat", pid)
	stat, err := os.ReadFile(path)
	if err != nil {
		return State{}, err
	}
	// It is field 22 (proc_pid_stat(5)). Field 2 is a name in parentheses, which may
	// contain blanks and parentheses, so count from the last parenthesis.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const start = 22 - 3
	if len(fields) <= start {
		return State{}, fmt.Errorf("%s: it has only %d fields after the name", path, len(fields))
	}
	started, err := strconv.ParseUint(string(fields[start]), 10, 64)
	if err != nil {
		return State{}, fmt.Errorf("%s: %w", path, err)
	}
	return State{PID: pid, Started: started, Boot: strings.TrimSpace(string(boot)), Namespace: namespace}, nil
}
