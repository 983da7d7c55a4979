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

// surroundings is what there was before a round: nothing else may be there
// behind it.
type surroundings struct {
	goroutines  goleak.Option
	descriptors map[string]bool
}

// look takes stock. A QEMU that lives over the round has its pipe, its pidfd and
// its goroutines already.
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

// leaks returns what is there and should not be.
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
		// A socket at which QEMU listens is QEMU's.
		if h.dials || !h.isMonitor(f.Name()) {
			leaks = append(leaks, "file "+f.Name())
		}
	}
	return leaks
}

// openDescriptors returns this process's descriptors, each with what it stands
// for (proc(5)).
func openDescriptors() (descriptors []string, err error) {
	const dir = "/proc/self/fd"
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		target, err := os.Readlink(filepath.Join(dir, f.Name()))
		switch {
		case err != nil: // that was the one for dir
		case target == "anon_inode:[eventpoll]", target == "anon_inode:[eventfd]": // the runtime's own
		default:
			descriptors = append(descriptors, f.Name()+" "+target)
		}
	}
	return descriptors, nil
}

// children returns the processes that this one has started and not reaped.
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
