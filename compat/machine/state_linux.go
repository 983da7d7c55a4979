package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
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
	fields, err := statFields(pid)
	if err != nil {
		return State{}, err
	}
	started, err := strconv.ParseUint(string(fields[startField]), 10, 64)
	if err != nil {
		return State{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	return State{PID: pid, Started: started, Boot: strings.TrimSpace(string(boot)), Namespace: namespace}, nil
}

// The places of fields in the result of statFields. They are fields 3 and 22 in
// proc_pid_stat(5).
const (
	stateField = 0
	startField = 22 - 3
)

// statFields returns the fields of /proc/PID/stat that come after the name, at least as
// many as startField needs.
func statFields(pid int) ([][]byte, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	stat, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	// Field 2 is a name in parentheses, which may contain blanks and parentheses, so
	// count from the last parenthesis.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= startField {
		return nil, fmt.Errorf("%s: it has only %d fields after the name", path, len(fields))
	}
	return fields, nil
}

// stateNow returns the state of the process that has the id pid now.
func stateNow(pid int) ProcessState {
	fields, err := statFields(pid)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat("/proc/self/stat"); err == nil {
			return ProcessEnded // it was collected
		}
		return ProcessUnknown // /proc is not mounted here
	case err != nil:
		return ProcessUnknown
	}
	switch fields[stateField][0] {
	case 'T', 't':
		return ProcessStopped
	case 'Z', 'X', 'x':
		return ProcessZombie
	}
	return ProcessRuns
}
