//go:build linux

package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// surroundings are the goroutines and descriptors before a round. After it there may
// be no others.
type surroundings struct {
	goroutines  goleak.Option
	descriptors map[string]bool
}

// look returns the present surroundings. They include the pipe, the pidfd and the
// goroutines of a QEMU that was started before.
func look(t *testing.T) surroundings {
	t.Helper()
	descriptors, err := openDescriptors()
	if err != nil {
		t.Fatal(err)
	}
	s := surroundings{goroutines: goleak.IgnoreCurrent(), descriptors: make(map[string]bool)}
	for _, d := range descriptors {
		s.descriptors[d] = true
	}
	return s
}

// leaks returns what a round has left.
func (s surroundings) leaks(h *host) (leaks []string) {
	found := func(err error) {
		if err != nil {
			leaks = append(leaks, err.Error())
		}
	}
	found(goleak.Find(s.goroutines))
	descriptors, err := openDescriptors()
	found(err)
	for _, d := range descriptors {
		if !s.descriptors[d] {
			leaks = append(leaks, "descriptor "+d)
		}
	}
	children, err := children()
	found(err)
	for _, pid := range children {
		if pid != fmt.Sprint(h.vm.Pid) || !h.alive() {
			leaks = append(leaks, "process "+pid)
		}
	}
	files, err := os.ReadDir(h.dir)
	found(err)
	for _, f := range files {
		// The sockets at which QEMU listens may be there.
		if h.dials || !h.isMonitor(f.Name()) {
			leaks = append(leaks, "file "+f.Name())
		}
	}
	return leaks
}

// openDescriptors returns this process's descriptors, each with the file that it
// refers to (proc(5)).
func openDescriptors() (descriptors []string, err error) {
	const dir = "/proc/self/fd"
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		target, err := os.Readlink(filepath.Join(dir, f.Name()))
		switch {
		case err != nil: // the descriptor with which dir was read
		case target == "anon_inode:[eventpoll]", target == "anon_inode:[eventfd]": // the runtime's own
		default:
			descriptors = append(descriptors, f.Name()+" "+target)
		}
	}
	return descriptors, nil
}

// children returns the processes that this one has started and whose exit it has not
// waited for.
func children() (pids []string, err error) {
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return nil, err
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil && !os.IsNotExist(err) { // a thread may have ended
			return nil, err
		}
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids, nil
}
