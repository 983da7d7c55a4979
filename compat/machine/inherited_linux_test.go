package machine_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/goqmp/qmp/compat/machine"
)

func init() {
	// A program that says which descriptors it has inherited.
	moreFakes["descriptors"] = func([]string) {
		self, _ := os.ReadDir("/proc/self/fd")
		var open []string
		for _, e := range self {
			fd, _ := strconv.Atoi(e.Name())
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
				open = append(open, e.Name())
			}
		}
		fmt.Println("open:", strings.Join(open, " "))
		fmt.Println("keeper:", strings.Join(ofProcess(unix.Getpgrp()), " "))
	}
}

// ofProcess returns to which files the descriptors of a process lead.
func ofProcess(pid int) (targets []string) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		target, _ := os.Readlink(dir + "/" + e.Name())
		targets = append(targets, target)
	}
	return targets
}

// Neither the process nor the keeper inherits a descriptor that this program has inherited
// from its own parent. The files that they are given arrive. (Not parallel: until the
// descriptors are closed, other processes inherit them.)
// Holds secure.
func TestInheritedDescriptorsAreClosed(t *testing.T) {
	precious, err := os.Create(t.TempDir() + "/precious")
	must(t, err)
	defer precious.Close()
	for _, fd := range []int{60, 200} { // dup2 makes descriptors without close-on-exec
		must(t, unix.Dup2(int(precious.Fd()), fd))
		defer unix.Close(fd)
	}
	given, err := os.Open(os.DevNull)
	must(t, err)
	defer given.Close()
	m := newFake(t, "descriptors", machine.Options{Monitor: machine.MonitorNone})
	is(t, m.Inherit(given), 3, nil)
	must(t, m.Launch(t.Context()))
	_, err = m.Wait(t.Context())
	must(t, err)
	lines := strings.Split(m.Log(), "\n")
	if !slices.Contains(lines, "open: 0 1 2 3") {
		t.Errorf("the process has inherited more or less than 0 to 3: %q", lines)
	}
	if strings.Contains(m.Log(), "precious") || !strings.Contains(m.Log(), "keeper: /") && !strings.Contains(m.Log(), "keeper: pipe") {
		t.Errorf("the keeper has inherited it, or was not seen: %q", lines)
	}
	must(t, m.Shutdown(t.Context()))
}
